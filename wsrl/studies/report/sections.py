"""The sections of a report: what stands where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from wsrl.studies.report.charts import bars, learning, trades
from wsrl.studies.report.cost_tables import ablations, costs
from wsrl.studies.report.layout import Folded, Part, Section, Table, Value, name_of
from wsrl.studies.report.maps import embeddings, scores
from wsrl.studies.report.probing import probing_sequences
from wsrl.studies.report.properties import flat, properties
from wsrl.studies.report.reading import Benchmark, distinct, without_seed
from wsrl.studies.report.standings import Contest, Standing
from wsrl.studies.report.tables import contests_of, differences, judges, mean_ranks, table_of

_READING = (
    "Means over seeds with 95% percentile-bootstrap intervals in brackets. Bold: the best of the "
    "column; ≈: its interval overlaps that of the best. Arrows say which way is better. With few "
    "seeds an interval is little more than the range of the seeds (of 3 it is that range, and "
    "holds the true mean in about 3 of 4 cases rather than 19 of 20); with one there is none. What "
    "failed, or has not been run yet, is said in its place."
)


def find_sections(benchmark: Benchmark, standings: Sequence[Standing]) -> list[Section]:
    """Return the sections; those without anything to show are left out."""
    sections = [
        Section("overview", "What this is", tuple(_overview(benchmark))),
        Section("results", "Main results", tuple(_lead(benchmark, standings))),
        Section("bars", "Bars", tuple(bars(benchmark, standings))),
        Section("differences", "Differences", tuple(_differences(benchmark, standings))),
        Section("ranks", "Ranks", tuple(_ranks(standings))),
        Section("targets", "All targets", tuple(_targets(benchmark, standings))),
        Section("learning", "Learning curves", tuple(learning(benchmark, standings))),
        Section("scores", "Single RNNs", tuple(scores(benchmark))),
        Section("maps", "Embeddings", tuple(embeddings(benchmark))),
        Section("probing", "Probing sequences", tuple(probing_sequences(benchmark))),
        Section("ablations", "Ablations", tuple(ablations(benchmark, standings))),
        Section("properties", "Properties of the encoders", tuple(properties(benchmark))),
        Section("cost", "Cost", tuple(_cost(benchmark, standings))),
        Section("trouble", "Failed and missing", tuple(_trouble(benchmark))),
        Section("settings", "Settings", tuple(_settings(benchmark))),
    ]
    return [section for section in sections if section.parts]


def lead_contests(benchmark: Benchmark, standings: Sequence[Standing], zoo: str) -> list[Contest]:
    """Return what a zoo's main table shows: emulation, clones, the main target in its first mode.

    Of a target's metrics: the one it is judged by and the accuracy per part.
    """
    target = benchmark.main_target(zoo)
    mode = next(iter(benchmark.modes(zoo, target)), None)
    emulation = contests_of(standings, zoo, None, None)
    prediction = contests_of(standings, zoo, target, mode) if target else []
    return [
        *judges(emulation),
        *(contest for contest in emulation if contest.metric == "clone_difference"),
        *judges(prediction),
        *(contest for contest in prediction if contest.metric == "part_accuracy"),
    ]


def _overview(benchmark: Benchmark) -> Iterator[Part]:
    states = Counter(benchmark.state(cell) for cell in benchmark.cells)
    yield (
        f"{len(benchmark.cells)} cells: {states['done']} done, {states['failed']} failed, "
        f"{states['missing']} missing. Seeds: {', '.join(map(str, benchmark.seeds)) or 'none'}."
    )
    made_with = dict.fromkeys(
        f"{name} {value}"
        for result in benchmark.results.values()
        for name, value in result.made_with.items()
    )
    if made_with:
        yield f"Made with {', '.join(made_with)}."
    yield _READING


def _lead(benchmark: Benchmark, standings: Sequence[Standing]) -> Iterator[Part]:
    for zoo in benchmark.zoos:
        columns = lead_contests(benchmark, standings, zoo)
        if columns:
            yield table_of(_caption(columns), standings, columns)


def _differences(benchmark: Benchmark, standings: Sequence[Standing]) -> Iterator[Part]:
    chosen = benchmark.compare_with
    if chosen is None:
        return
    found = []
    for zoo in benchmark.zoos:
        columns = lead_contests(benchmark, standings, zoo)
        if any(s.difference for s in standings if s.contest in columns):
            caption = f"{_caption(columns)}: less that of {chosen}"
            found.append(differences(caption, standings, columns))
    if found:
        yield (
            f"Each encoder's number less that of {chosen}, seed by seed, over the seeds that both "
            "have. Better or worse: by the exact sign-flip test the difference is of a size that "
            "chance gives two equal encoders in 1 of 20 cases at most, which takes 6 seeds or "
            "more. Otherwise it leans to one side where its interval does not hold 0, and that "
            "proves little: of two equal encoders all of 3 seeds fall on one side in 1 of 4 cases. "
            "No account is taken of how many differences are looked at."
        )
        yield from found


def _ranks(standings: Sequence[Standing]) -> Iterator[Part]:
    table = mean_ranks(standings)
    if table is not None:
        yield (
            "In each contest (a zoo, a target, a mode and a split) all encoders and baselines are "
            "ranked by their mean over seeds in what the target is judged by; ties share a rank, "
            "what failed or diverged comes last, what is missing takes no part."
        )
        yield table


def _targets(benchmark: Benchmark, standings: Sequence[Standing]) -> Iterator[Part]:
    for zoo in benchmark.zoos:
        targets = distinct(s.contest.target for s in standings if s.contest.zoo == zoo)
        for target in targets:
            of_target = [
                s.contest for s in standings if (s.contest.zoo, s.contest.target) == (zoo, target)
            ]
            tables = []
            for mode in dict.fromkeys(contest.mode for contest in of_target):
                columns = contests_of(standings, zoo, target, mode)
                if columns:
                    tables.append(table_of(_caption(columns), standings, columns))
            if tables:
                title = f"{zoo}: {'emulation' if target is None else name_of(target)}"
                yield Folded(title, tuple(tables))


def _cost(benchmark: Benchmark, standings: Sequence[Standing]) -> Iterator[Part]:
    tables = tuple(costs(benchmark))
    if tables:
        yield (
            "Seconds are those of training steps alone, without validation. Cells that ran at the "
            "same time shared the machine, and medians over seeds are shown: small differences are "
            "none."
        )
        yield from trades(benchmark, standings)
        yield from tables


def _trouble(benchmark: Benchmark) -> Iterator[Part]:
    failed = [c for c in benchmark.cells if benchmark.state(c) == "failed"]
    missing = [c.name for c in benchmark.cells if benchmark.state(c) == "missing"]
    if failed:
        rows = tuple(
            (c.name, (Value(str(benchmark.results[c.name].error), without_seed(c)),))
            for c in failed
        )
        yield Table("Cells that failed", ("cell", "error"), rows)
    if missing:
        rows = tuple((name, (Value("missing"),)) for name in missing)
        table = Table("Cells without a result", ("cell", "state"), rows)
        yield Folded(f"{len(missing)} cells have not been run, or not to their end", (table,))


def _settings(benchmark: Benchmark) -> Iterator[Part]:
    rows = tuple((name, (Value(text),)) for name, text in flat(benchmark.settings).items())
    yield Folded("All settings", (Table("Settings", ("setting", "value"), rows),))


def _caption(columns: Sequence[Contest]) -> str:
    """Say what a table of contests on one zoo shows."""
    prediction = next((c for c in columns if c.target is not None), None)
    words = ["emulation"] if any(c.target is None for c in columns) else []
    if prediction is not None and prediction.target is not None:
        mode = f" ({prediction.mode})" if prediction.mode else ""
        words.append(f"{name_of(prediction.target)}{mode}")
    return f"{columns[0].zoo}: {', '.join(words)}"
