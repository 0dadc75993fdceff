"""A benchmark's folder as tables: its runs, what was measured of them, and their curves.

Text that is not there is empty, a number NaN; what cannot be seen in a text is escaped. A folder
without the runs' own folders, but with the tables of an earlier report, is read from these.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from wsrl.studies.benchmark.results import (
    KINDS,
    TRIALS,
    Cost,
    Result,
    Trial,
    read_record,
    read_results,
)
from wsrl.terminal import printable

RUNS, RESULTS = "runs.csv", "results.csv"
AND = " && "
"""Between the commands of a run."""

STATES = ("done", "failed", "missing")

ABOUT = (
    *("zoo", "kind", "encoder", "target", "mode"),
    *("ablation_of", "option", "option_value", "seed"),
)
"""Columns that say what a run is; ``seed`` is empty where chance plays no part in it."""

COSTS = tuple(field.name for field in fields(Cost))
RUN = ("folder", *ABOUT, "state", "error", "wall_seconds", *COSTS, "made_with", "command")
"""Columns of the table of runs."""

NUMBER = ("folder", "split", "metric", "value")
"""Columns of the table of results."""

_NUMBERS = ("seed", "wall_seconds", *COSTS)
_TRAINED = ("emulation", "prediction")


@dataclass(frozen=True)
class Benchmark:
    """A benchmark, finished or not.

    Attributes:
        folder: where it is.
        settings: its settings.
        runs: a row for each run in the order planned: ``RUN``; also ``setting``, the folder without
            the seed, and ``label``, the encoder's name or ``NAME (baseline)``.
        results: ``folder``, ``split``, ``metric`` and ``value`` of each number of each run.
        curves: ``folder``, ``split``, ``metric``, ``step`` and ``value`` of each point.
        stored: whether the runs' folders are there.
    """

    folder: Path
    settings: dict[str, Any]
    runs: pd.DataFrame
    results: pd.DataFrame
    curves: pd.DataFrame
    stored: bool = True

    @classmethod
    def read(cls, folder: Path) -> Benchmark:
        """Read a benchmark's folder.

        Raises:
            ValueError: where it is none, or one of its files is damaged; naming the file.
        """
        record = read_record(folder)
        planned, settings = record.cells, record.settings
        if not (folder / TRIALS).is_dir() and (folder / RUNS).is_file():
            runs = _described(read_csv(folder / RUNS, RUN, _NUMBERS))
            results = read_csv(folder / RESULTS, NUMBER, ["value"])
            return cls(folder, settings, runs, results, _curves(()), stored=False)
        return cls.of(folder, settings, planned, read_results(folder))

    @classmethod
    def of(
        cls,
        folder: Path,
        settings: dict[str, Any],
        planned: Sequence[Trial],
        done: Sequence[Result],
    ) -> Benchmark:
        """Make the tables of planned runs and of results, also of those that were not planned."""
        results = {result.trial.name: result for result in done}
        names = {trial.name for trial in planned}
        trials = [*planned, *(result.trial for result in done if result.trial.name not in names)]
        rows = [_run(trial, results.get(trial.name)) for trial in trials]
        runs = _described(pd.DataFrame(rows, columns=list(RUN), dtype=object))
        ended = [results[trial.name] for trial in trials if trial.name in results]
        ended = [result for result in ended if result.error is None]
        numbers = [
            (f"{TRIALS}/{result.trial.name}", *_split_and_metric(name), value)
            for result in ended
            for name, value in result.metrics.items()
        ]
        measured = pd.DataFrame(numbers, columns=list(NUMBER), dtype=object).astype(
            {"value": float}
        )
        return cls(folder, settings, runs, measured, _curves(ended))

    @property
    def name(self) -> str:
        """The benchmark's name."""
        return self.folder.absolute().name

    @property
    def compare_with(self) -> str | None:
        """The encoder that differences are taken against; ``None`` where it has no run."""
        given = printable(self.settings.get("compare_with") or "")
        return given if given in set(self.runs.encoder) else None

    @cached_property
    def encoders(self) -> list[str]:
        """The encoders' names, without their variants and the baselines."""
        own = self.runs[(self.runs.ablation_of == "") & ~self.runs.kind.isin(("zoo", "baseline"))]
        trained = own[own.kind.isin(_TRAINED)]  # in the order of training
        return list(dict.fromkeys([*trained.encoder, *own.encoder]))

    @cached_property
    def entrants(self) -> list[str]:
        """The labels of encoders, then of baselines; without variants of encoders."""
        baselines = self.runs.label[self.runs.kind == "baseline"]
        return list(dict.fromkeys([*self.encoders, *baselines]))

    @property
    def zoos(self) -> list[str]:
        """The zoos' names."""
        return [zoo for zoo in self.runs.zoo.unique() if zoo]

    @property
    def seeds(self) -> list[int]:
        """The seeds of training."""
        seeds = self.runs.seed[self.runs.kind.isin(_TRAINED)].dropna()
        return sorted(int(seed) for seed in seeds.unique())

    def main_target(self, zoo: str) -> str:
        """Return the target that encoders are first judged by; by default the first one."""
        given = self.settings.get("zoos", {}).get(zoo, {}).get("target")
        targets = [t for t in self.runs.target[self.runs.zoo == zoo].unique() if t]
        return given if given in targets else next(iter(targets), "")

    def modes(self, zoo: str, target: str) -> list[str]:
        """Return the modes in which a target is predicted."""
        own = self.runs[(self.runs.zoo == zoo) & (self.runs.target == target)]
        return [mode for mode in own["mode"].unique() if mode]

    def works(self, zoo: str) -> list[tuple[str, str]]:
        """Return emulation, ``("", "")``, and the main target in each of its modes."""
        target = self.main_target(zoo)
        return [("", ""), *((target, mode) for mode in self.modes(zoo, target))]

    def first_runs(self, zoo: str, file: str) -> Iterator[tuple[str, Path]]:
        """Yield for each encoder its first emulation that left a file: its label and the path."""
        runs = self.runs[
            (self.runs.zoo == zoo)
            & (self.runs.kind == "emulation")
            & (self.runs.ablation_of == "")
            & (self.runs.state == "done")
        ]
        for label, own in runs.groupby("label", sort=False):
            paths = (self.folder / folder / file for folder in own.folder)
            if self.stored and (found := next((p for p in paths if p.is_file()), None)):
                yield str(label), found


def rows_of(table: pd.DataFrame) -> Iterator[Any]:
    """Return the rows of a table as named tuples."""
    return iter(table.itertuples())


def _run(trial: Trial, result: Result | None) -> dict[str, Any]:
    ablation = trial.ablation
    row: dict[str, Any] = {"folder": f"{TRIALS}/{trial.name}", "state": "missing"}
    row |= {name: getattr(trial, name) for name in ("zoo", "kind", "encoder", "target", "mode")}
    row["seed"] = trial.seed if f"/seed{trial.seed}/" in trial.name else None
    if ablation is not None:
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


def _curves(results: Sequence[Result]) -> pd.DataFrame:
    points = [
        (f"{TRIALS}/{result.trial.name}", *_split_and_metric(name), step, value)
        for result in results
        for name, curve in result.curves.items()
        for step, value in zip(*curve, strict=True)
    ]
    columns = ["folder", "split", "metric", "step", "value"]
    return pd.DataFrame(points, columns=columns, dtype=object).astype(
        {"step": float, "value": float}
    )


def _split_and_metric(name: str) -> tuple[str, str]:
    split, _, metric = name.partition("/")
    return printable(split), printable(metric)


def read_csv(path: Path, columns: Sequence[str], numeric: Sequence[str] = ()) -> pd.DataFrame:
    """Return columns of a table of an earlier report as text, some as numbers.

    Columns that are not there are empty.

    Raises:
        ValueError: naming the file, where it is none.
    """
    try:
        found = pd.read_csv(path, dtype=str, keep_default_na=False)
        # Undo what keeps spreadsheets from computing text.
        found = found.replace(r"^'(?=[=+\-@])", "", regex=True)
        found = found.reindex(columns=list(columns), fill_value="").astype(object)
        for name in numeric:
            found[name] = found[name].replace("", "nan").astype(float)
        known = {"kind": KINDS, "state": STATES}
        if not all(found[name].isin(known[name]).all() for name in known if name in found):
            raise ValueError("unknown kinds or states of runs")
        return found
    except (OSError, ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{path} is no table of a report: {error}") from error
