"""A benchmark's folder as tables: its runs, what was measured of them, and their curves.

Text that is not there is empty, a number NaN; what cannot be seen in a text is escaped.
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
    TRIALS,
    Cost,
    Result,
    Trial,
    read_record,
    read_results,
)
from wsrl.studies.tables import shown
from wsrl.terminal import printable

MEASURED = "properties.json"
"""The file in the folder of a trial that measures properties."""

COSTS = [field.name for field in fields(Cost)]
ABOUT = ["zoo", "kind", "encoder", "target", "mode"]
ABOUT += ["ablation_of", "option", "option_value", "seed"]
"""Columns that say what a run is; ``seed`` is empty where chance plays no part in it."""

_TYPES = {"seed": "Int64", "wall_seconds": "float"}
_TYPES |= {field.name: "Int64" if field.type == "int" else "float" for field in fields(Cost)}
RUN = ["folder", *ABOUT, "state", "error", "wall_seconds", *COSTS, "made_with", "command"]
NUMBER = ["folder", "split", "metric", "value"]
OF_SPEC = ["folder", "spec", "split", "metric", "value"]
POINT = ["folder", "split", "metric", "step", "value"]
PROPERTY = ["encoder", "fact", "value"]
"""Columns of the tables of runs, results, results of one spec, curves and properties."""


@dataclass(frozen=True)
class Benchmark:
    """A benchmark, finished or not, as tables with the columns that are named above.

    ``runs`` has a row for each run in the order planned, and its ``label``: the encoder's name, or
    ``NAME (baseline)``. ``properties`` are text.
    """

    folder: Path
    settings: dict[str, Any]
    runs: pd.DataFrame
    results: pd.DataFrame
    by_spec: pd.DataFrame
    curves: pd.DataFrame
    properties: pd.DataFrame

    @classmethod
    def read(cls, folder: Path) -> Benchmark:
        """Read a benchmark's folder.

        Raises:
            ValueError: where it is none, or one of its files is damaged; naming the file.
        """
        record = read_record(folder)
        return cls.of(folder, record.settings, record.cells, read_results(folder))

    @classmethod
    def of(
        cls,
        folder: Path,
        settings: dict[str, Any],
        planned: Iterable[Trial],
        done: Sequence[Result],
    ) -> Benchmark:
        """Make the tables of planned runs and of results, also of those that were not planned."""
        results = {result.trial.name: result for result in done}
        trials = {trial.name: trial for trial in (*planned, *(r.trial for r in done))}
        runs = pd.DataFrame((_run(t, results.get(n)) for n, t in trials.items()), columns=RUN)
        text = runs.columns.difference(["folder", *_TYPES])
        runs[text] = runs[text].astype(object).where(runs[text].notna(), "").map(printable)
        runs = runs.astype(_TYPES)
        runs["label"] = runs.encoder.where(runs.kind != "baseline", runs.encoder + " (baseline)")
        ended = [results[n] for n in trials if n in results and results[n].error is None]
        numbers = [
            (f"{TRIALS}/{result.trial.name}", *_split_and_metric(name), value)
            for result in ended
            for name, value in result.metrics.items()
        ]
        of_specs = [
            (f"{TRIALS}/{result.trial.name}", *map(printable, (spec, split, metric)), value)
            for result in ended
            for split, specs in result.metrics_by_spec.items()
            for spec, found in specs.items()
            for metric, value in found.items()
        ]
        points = [
            (f"{TRIALS}/{result.trial.name}", *_split_and_metric(name), step, value)
            for result in ended
            for name, curve in result.curves.items()
            for step, value in zip(*curve, strict=True)
        ]
        properties = [
            (printable(result.trial.encoder), *row)
            for result in ended
            if result.trial.kind == "properties"
            for row in _measured(folder / TRIALS / result.trial.name / MEASURED)
        ]
        return cls(
            folder,
            settings,
            runs,
            pd.DataFrame(numbers, columns=NUMBER).astype({"value": float}),
            pd.DataFrame(of_specs, columns=OF_SPEC).astype({"value": float}),
            pd.DataFrame(points, columns=POINT).astype({"step": float, "value": float}),
            pd.DataFrame(properties, columns=PROPERTY, dtype=object),
        )

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

    @property
    def zoos(self) -> list[str]:
        """The zoos' names."""
        return [zoo for zoo in self.runs.zoo.unique() if zoo]

    @property
    def seeds(self) -> list[int]:
        """The seeds of training."""
        trained = self.runs.kind.isin(("emulation", "prediction"))
        return sorted(self.runs.seed[trained].dropna().unique())

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


def groups(table: pd.DataFrame, by: str | list[str]) -> Iterator[tuple[Any, pd.DataFrame]]:
    """Return the rows of a table that have the same values, in order, with these values."""
    return iter(table.groupby(by, sort=False))


def rows_of(table: pd.DataFrame) -> Iterator[Any]:
    """Return the rows of a table as named tuples."""
    return iter(table.itertuples())


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
    row |= {"command": " && ".join(result.commands), "wall_seconds": result.wall_seconds}
    return row | (asdict(result.cost) if result.cost else {})


def _split_and_metric(name: str) -> tuple[str, str]:
    split, _, metric = name.partition("/")
    return printable(split), printable(metric)


def _measured(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the facts in a file of properties, if it is there, and their values."""
    if not path.is_file():
        return
    try:
        found = read_json(path)
        if not is_plain(found):
            raise ValueError("it holds too many facts, or too deep ones")
    except ValueError as error:
        raise ValueError(f"{path} is no table of properties: {error}") from error
    found.pop("name", None)
    for fact, (value,) in pd.json_normalize(found, sep=": ").items():
        yield str(fact), shown(value)
