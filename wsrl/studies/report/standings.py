"""Where every encoder stands: its mean over seeds, its rank and its difference, by contest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from wsrl.analysis.comparison import (
    BETTER,
    Difference,
    Estimate,
    estimate,
    paired_difference,
    ranks,
)
from wsrl.studies.benchmark.results import Trial
from wsrl.studies.report.reading import Benchmark, State, distinct, has_seed, without_seed


@dataclass(frozen=True)
class Contest:
    """One number that encoders compete for.

    Attributes:
        zoo: the zoo's name.
        target: what is predicted; ``None`` of emulation.
        mode: of the prediction; ``None`` of emulation.
        split: ``validation`` or ``ood``.
        metric: its name.
    """

    zoo: str
    target: str | None
    mode: str | None
    split: str
    metric: str


@dataclass(frozen=True)
class Standing:
    """An encoder, or a baseline, in a contest.

    Attributes:
        contest: the contest.
        encoder: its name.
        kind: of its cells: ``emulation``, ``prediction`` or ``baseline``.
        cells: one for each seed.
        states: how far each of them is.
        values: by seed.
        estimate: over seeds; ``None`` without values.
        rank: among all that ended, in any way; those that failed share the last place. ``None``
            where none of its cells ended, for variants of an encoder, and where no value is better
            than another.
        difference: against the encoder compared with, over common seeds, as far as both are there.
    """

    contest: Contest
    encoder: str
    kind: str
    cells: tuple[Trial, ...]
    states: tuple[State, ...]
    values: dict[int, float]
    estimate: Estimate | None
    rank: float | None = None
    difference: Difference | None = None

    @property
    def failed(self) -> int:
        """How many of its cells failed."""
        return self.states.count("failed")

    @property
    def is_variant(self) -> bool:
        """Whether it is an encoder's variant in an ablation, which does not compete."""
        return any(cell.ablation is not None for cell in self.cells)

    @property
    def setting(self) -> str:
        """The name of its cells without their seeds."""
        return without_seed(self.cells[0])


def find_standings(benchmark: Benchmark) -> list[Standing]:
    """Find the standings in all contests: those of a contest after each other, in cells' order."""
    found: list[Standing] = []
    for group in _competitors(benchmark):
        cells = [cell for entrant in group for cell in entrant]
        names = distinct(name for cell in cells for name in benchmark.metrics(cell))
        trained = next((cell for cell in cells if cell.kind != "baseline"), cells[0])
        for name in names:
            split, _, metric = name.partition("/")
            contest = Contest(trained.zoo, trained.target, trained.mode, split, metric)
            standings = [_standing(benchmark, contest, entrant) for entrant in group]
            found += _compared(_ranked(standings), benchmark)
    return found


def _competitors(benchmark: Benchmark) -> Iterator[list[tuple[Trial, ...]]]:
    """Yield those who compete: each is the cells of one encoder or baseline, over seeds.

    Baselines, which know no modes, compete in all of them.
    """
    groups: dict[tuple[str, str | None, str | None], dict[str, list[Trial]]] = {}
    baselines: dict[tuple[str, str | None], dict[str, list[Trial]]] = {}
    for cell in benchmark.cells:
        if cell.kind == "baseline":
            of_target = baselines.setdefault((cell.zoo, cell.target), defaultdict(list))
            of_target[cell.encoder].append(cell)
        elif cell.kind in ("emulation", "prediction"):
            of_mode = groups.setdefault((cell.zoo, cell.target, cell.mode), defaultdict(list))
            of_mode[cell.encoder].append(cell)
    met = {(zoo, target) for zoo, target, _ in groups}
    for (zoo, target), alone in baselines.items():
        if (zoo, target) not in met:
            yield [tuple(cells) for cells in alone.values()]
    for (zoo, target, _), trained in groups.items():
        others = baselines.get((zoo, target), {}) if target is not None else {}
        yield [tuple(cells) for cells in (*trained.values(), *others.values())]


def _standing(benchmark: Benchmark, contest: Contest, cells: tuple[Trial, ...]) -> Standing:
    name = f"{contest.split}/{contest.metric}"
    measured = {cell.seed: benchmark.metrics(cell).get(name) for cell in cells}
    values = {seed: value for seed, value in measured.items() if value is not None}
    mean = estimate(list(values.values())) if values else None
    states = tuple(benchmark.state(cell) for cell in cells)
    return Standing(contest, cells[0].encoder, cells[0].kind, cells, states, values, mean)


def _ranked(standings: Sequence[Standing]) -> list[Standing]:
    """Give ranks to those that ended; what failed counts as no number."""
    metric = standings[0].contest.metric
    ended = [s for s in standings if (s.estimate or s.failed) and not s.is_variant]
    if metric not in BETTER or not ended:
        return list(standings)
    means = [s.estimate.mean if s.estimate else float("nan") for s in ended]
    places = dict(zip((id(s) for s in ended), ranks(means, metric).tolist(), strict=True))
    return [replace(standing, rank=places.get(id(standing))) for standing in standings]


def _compared(standings: Sequence[Standing], benchmark: Benchmark) -> list[Standing]:
    """Give differences; a baseline without a seed has the same value for every seed."""
    chosen = next((s for s in standings if s.encoder == benchmark.compare_with), None)
    if chosen is None:
        return list(standings)
    found = []
    for standing in standings:
        ours = standing.values
        if ours and not has_seed(standing.cells[0]):
            ours = dict.fromkeys(chosen.values, next(iter(ours.values())))
        other = standing.encoder != chosen.encoder
        difference = paired_difference(ours, chosen.values) if other else None
        found.append(replace(standing, difference=difference))
    return found
