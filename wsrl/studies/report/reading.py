"""A benchmark's folder as the report reads it: what was planned, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

from wsrl.strict_json import read_json
from wsrl.studies.benchmark.result_checks import check_settings_read
from wsrl.studies.benchmark.results import RECORD, TRIALS, Result, Trial, read_results, read_trial

Name = TypeVar("Name")

State: TypeAlias = Literal["done", "failed", "missing"]


@dataclass(frozen=True)
class Benchmark:
    """A benchmark, finished or not.

    Attributes:
        folder: where it is.
        settings: its settings.
        cells: all cells in the order planned, with those found beside them at the end.
        results: by the cell's name, of the cells that ended.
    """

    folder: Path
    settings: dict[str, Any]
    cells: tuple[Trial, ...]
    results: dict[str, Result]

    @classmethod
    def read(cls, folder: Path) -> Benchmark:
        """Read a benchmark's folder.

        Raises:
            ValueError: where it is none, or one of its files is damaged; naming the file.
        """
        path = folder / RECORD
        try:
            found = read_json(path)
            planned = [read_trial(content) for content in found["cells"]]
            settings = found["settings"]
            check_settings_read(settings)
        except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} does not describe a benchmark: {error!s}; give the folder that a "
                "benchmark was written into"
            ) from error
        results = {result.trial.name: result for result in read_results(folder)}
        names = {cell.name for cell in planned}
        extra = [result.trial for name, result in results.items() if name not in names]
        return cls(folder, settings, (*planned, *extra), results)

    @property
    def name(self) -> str:
        """The benchmark's name."""
        return self.folder.absolute().name

    @property
    def compare_with(self) -> str | None:
        """The encoder that differences are taken against; ``None`` where it has no cell."""
        given = self.settings.get("compare_with")
        return given if any(cell.encoder == given for cell in self.cells) else None

    @cached_property
    def encoders(self) -> tuple[str, ...]:
        """The encoders' names, without their variants and the baselines."""
        trained = ("emulation", "prediction")
        cells = (c for c in self.cells if c.kind in trained and c.ablation is None)
        return distinct(cell.encoder for cell in cells)

    def main_target(self, zoo: str) -> str | None:
        """The target that encoders are first judged by; the first that there is by default."""
        given = self.settings.get("zoos", {}).get(zoo, {}).get("target")
        targets = distinct(c.target for c in self.cells if c.zoo == zoo and c.target)
        return given if given in targets else next(iter(targets), None)

    def modes(self, zoo: str, target: str | None) -> tuple[str, ...]:
        """The modes in which a target is predicted, the first one first."""
        cells = (c for c in self.cells if (c.zoo, c.target) == (zoo, target))
        return distinct(c.mode for c in cells if c.mode)

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of training."""
        trained = [cell.seed for cell in self.cells if cell.kind in ("emulation", "prediction")]
        return tuple(sorted(set(trained)))

    @cached_property
    def zoos(self) -> tuple[str, ...]:
        """The zoos' names."""
        return distinct(cell.zoo for cell in self.cells if cell.zoo)

    def state(self, cell: Trial) -> State:
        """Say how far a cell is."""
        if cell.name not in self.results:
            return "missing"
        return "done" if self.results[cell.name].error is None else "failed"

    def path(self, cell: Trial) -> Path:
        """Return a cell's folder."""
        return self.folder / TRIALS / cell.name

    def metrics(self, cell: Trial) -> dict[str, float]:
        """Return the ``split/metric`` of a cell; of one that did not end well none."""
        return self.results[cell.name].metrics if self.state(cell) == "done" else {}


def distinct(names: Iterable[Name]) -> tuple[Name, ...]:
    """Return names in the order of their first appearance."""
    return tuple(dict.fromkeys(names))


def without_seed(cell: Trial) -> str:
    """Return the name of a cell without its seed: the same for all seeds of one setting."""
    return cell.name.replace(f"/seed{cell.seed}/", "/")


def has_seed(cell: Trial) -> bool:
    """Whether chance plays a part in a cell: not in some baselines."""
    return without_seed(cell) != cell.name
