"""A benchmark's folder as tables: its runs, what was measured of them, and their curves.

Text that is not there is empty, a number NaN; what cannot be seen in a text is escaped. A folder
without the runs' own folders, but with the tables of an earlier report, is read from these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from wsrl.recorded import is_plain
from wsrl.strict_json import read_json
from wsrl.studies.benchmark.results import (
    KINDS,
    TRIALS,
    Cost,
    Result,
    Trial,
    read_record,
    read_results,
)
from wsrl.studies.report.words import flat
from wsrl.terminal import printable

RUNS, RESULTS, PROPERTIES = "runs.csv", "results.csv", "properties.csv"
MEASURED = "properties.json"
"""The file in the folder of a trial that measures properties."""

AND = " && "
"""Between the commands of a run."""

ABOUT = (
    *("zoo", "kind", "encoder", "target", "mode"),
    *("ablation_of", "option", "option_value", "seed"),
)
"""Columns that say what a run is; ``seed`` is empty where chance plays no part in it."""

COSTS = tuple(field.name for field in fields(Cost))
RUN = ("folder", *ABOUT, "state", "error", "wall_seconds", *COSTS, "made_with", "command")
"""Columns of the table of runs."""

NUMBER = ("folder", "split", "metric", "value")
POINT = ("folder", "split", "metric", "step", "value")
PROPERTY = ("encoder", "group", "fact", "value")
"""Columns of the tables of results, curves and properties."""

_NUMBERS = ("seed", "wall_seconds", *COSTS)
_TRAINED = ("emulation", "prediction")
_KNOWN = {"kind": KINDS, "state": ("done", "failed", "missing")}


@dataclass(frozen=True)
class Benchmark:
    """A benchmark, finished or not, as tables with the columns that are named above.

    Attributes:
        runs: a row for each run in the order planned; also ``setting``, the folder without the
            seed, and ``label``, the encoder's name or ``NAME (baseline)``.
        properties: what was measured of the encoders, as text.
        stored: whether the runs' folders are there.
    """

    folder: Path
    settings: dict[str, Any]
    runs: pd.DataFrame
    results: pd.DataFrame
    curves: pd.DataFrame
    properties: pd.DataFrame
    stored: bool = True

    @classmethod
    def read(cls, folder: Path) -> Benchmark:
        """Read a benchmark's folder.

        Raises:
            ValueError: where it is none, or one of its files is damaged; naming the file.
        """
        record = read_record(folder)
        if (folder / TRIALS).is_dir() or not (folder / RUNS).is_file():
            return cls.of(folder, record.settings, record.cells, read_results(folder))
        runs = _described(_read_csv(folder / RUNS, RUN, _NUMBERS))
        results = _read_csv(folder / RESULTS, NUMBER, ["value"])
        properties = _read_csv(folder / PROPERTIES, PROPERTY)
        return cls(folder, record.settings, runs, results, _points(()), properties, stored=False)

    @classmethod
    def of(
        cls,
        folder: Path,
        settings: dict[str, Any],
        planned: Iterable[Trial],
        done: Sequence[Result],
    ) -> Benchmark:
        """Make the tables of planned runs and of results, also of those that were not planned."""
        trials = {trial.name: trial for trial in planned}
        trials |= {r.trial.name: r.trial for r in done if r.trial.name not in trials}
        results = {result.trial.name: result for result in done}
        runs = _table((_run(t, results.get(name)) for name, t in trials.items()), RUN)
        ended = [results[n] for n in trials if n in results and results[n].error is None]
        numbers = (
            (f"{TRIALS}/{result.trial.name}", *_split_and_metric(name), value)
            for result in ended
            for name, value in result.metrics.items()
        )
        properties = (
            (printable(result.trial.encoder), *row)
            for result in ended
            if result.trial.kind == "properties"
            for row in _measured(folder / TRIALS / result.trial.name / MEASURED)
        )
        measured = _table(numbers, NUMBER, ["value"])
        described = _table(properties, PROPERTY)
        return cls(folder, settings, _described(runs), measured, _points(ended), described)

    @property
    def compare_with(self) -> str | None:
        """The encoder that differences are taken against; ``None`` where it has no run."""
        given = printable(self.settings.get("compare_with") or "")
        return given if given in set(self.runs.encoder) else None

    @cached_property
    def entrants(self) -> list[str]:
        """The labels of encoders in the order of training, then of baselines; no variants."""
        own = self.runs[(self.runs.ablation_of == "") & (self.runs.kind != "zoo")]
        place = own.kind.map({"properties": 1, "baseline": 2}).fillna(0)
        return list(own.label[place.sort_values(kind="stable").index].unique())

    def index(self, label: str) -> int | None:
        """Return the index of an entrant; ``None`` of a variant."""
        return self.entrants.index(label) if label in self.entrants else None

    @property
    def zoos(self) -> list[str]:
        """The zoos' names."""
        return [zoo for zoo in self.runs.zoo.unique() if zoo]

    @property
    def seeds(self) -> list[int]:
        """The seeds of training."""
        return sorted(self.runs.seed[self.runs.kind.isin(_TRAINED)].dropna().unique())

    def works(self, zoo: str) -> list[tuple[str, str, str]]:
        """Return zoo, target and mode: of emulation, and of the main target in each mode.

        Of emulation target and mode are empty. The main target is by default the first one.
        """
        own = self.runs[(self.runs.zoo == zoo) & (self.runs.target != "")]
        given = self.settings.get("zoos", {}).get(zoo, {}).get("target")
        targets = list(own.target.unique())
        target = given if given in targets else next(iter(targets), "")
        modes = own["mode"][(own.target == target) & (own["mode"] != "")].unique()
        return [(zoo, "", ""), *((zoo, target, mode) for mode in modes)]

    def first_runs(self, zoo: str, file: str) -> Iterator[tuple[str, Path]]:
        """Yield for each encoder its first emulation that left a file: its label and the path."""
        runs = self.runs[(self.runs.kind == "emulation") & (self.runs.state == "done")]
        runs = runs[(runs.zoo == zoo) & (runs.ablation_of == "")]
        for label, own in runs.groupby("label", sort=False):
            paths = (self.folder / folder / file for folder in own.folder)
            if self.stored and (found := next((p for p in paths if p.is_file()), None)):
                yield str(label), found


def rows_of(table: pd.DataFrame) -> Iterator[Any]:
    """Return the rows of a table as named tuples."""
    return iter(table.itertuples())


def _table(
    rows: Iterable[Any], columns: Sequence[str], numeric: Sequence[str] = ()
) -> pd.DataFrame:
    table = pd.DataFrame(list(rows), columns=list(columns), dtype=object)
    return table.astype(dict.fromkeys(numeric, float))


def _run(trial: Trial, result: Result | None) -> dict[str, Any]:
    row: dict[str, Any] = {"folder": f"{TRIALS}/{trial.name}", "state": "missing"}
    row |= {name: getattr(trial, name) for name in ("zoo", "kind", "encoder", "target", "mode")}
    row["seed"] = trial.seed if f"/seed{trial.seed}/" in trial.name else None
    if (ablation := trial.ablation) is not None:
        row |= {"ablation_of": ablation.of, "option": ablation.option}
        row["option_value"] = str(ablation.value)
    if result is None:
        return row
    row |= {"state": "done" if result.error is None else "failed", "error": result.error}
    row["made_with"] = "; ".join(f"{name} {value}" for name, value in result.made_with.items())
    row |= {"command": AND.join(result.commands), "wall_seconds": result.wall_seconds}
    return row | (asdict(result.cost) if result.cost else {})


def _described(runs: pd.DataFrame) -> pd.DataFrame:
    """Give columns their types, and text without controls; add ``setting`` and ``label``."""
    text = [name for name in RUN if name not in ("folder", *_NUMBERS)]
    kinds: dict[str, Any] = {"seed": "Int64", "wall_seconds": float}
    kinds |= {f.name: "Int64" if f.type == "int" else float for f in fields(Cost)}
    runs = runs.astype({**dict.fromkeys(text, object), **kinds})
    runs[text] = runs[text].where(runs[text].notna(), "").map(printable)
    pairs = zip(runs.folder, runs.seed, strict=True)
    runs["setting"] = [folder.replace(f"/seed{seed}/", "/") for folder, seed in pairs]
    runs["label"] = runs.encoder.where(runs.kind != "baseline", runs.encoder + " (baseline)")
    return runs


def _points(results: Iterable[Result]) -> pd.DataFrame:
    points = (
        (f"{TRIALS}/{result.trial.name}", *_split_and_metric(name), step, value)
        for result in results
        for name, curve in result.curves.items()
        for step, value in zip(*curve, strict=True)
    )
    return _table(points, POINT, ["step", "value"])


def _split_and_metric(name: str) -> tuple[str, str]:
    split, _, metric = name.partition("/")
    return printable(split), printable(metric)


def _measured(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the groups, facts and values of a file of properties, if it is there."""
    if not path.is_file():
        return
    try:
        found = read_json(path)
        if not is_plain(found):
            raise ValueError("it holds too many facts, or too deep ones")
    except ValueError as error:
        raise ValueError(f"{path} is no table of properties: {error}") from error
    found.pop("name", None)
    for group, value in found.items():
        facts = value if isinstance(value, dict) else {group: value}
        yield from ((group, fact, text) for fact, text in flat(facts).items())


def _read_csv(path: Path, columns: Sequence[str], numeric: Sequence[str] = ()) -> pd.DataFrame:
    """Return columns of a table of an earlier report; those that are not there are empty."""
    try:
        found = pd.read_csv(path, dtype=str, keep_default_na=False)
        # Undo what keeps spreadsheets from computing text.
        found = found.replace(r"^'(?=[=+\-@])", "", regex=True)
        found = found.reindex(columns=list(columns), fill_value="").astype(object)
        for name in numeric:
            found[name] = found[name].replace("", "nan").astype(float)
        if not all(found[name].isin(_KNOWN[name]).all() for name in _KNOWN if name in found):
            raise ValueError("unknown kinds or states of runs")
        return found
    except (OSError, ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{path} is no table of a report: {error}") from error
