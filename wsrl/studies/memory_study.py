"""Variable memories of a zoo, or of one RNN: analysed, tabulated and drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wsrl.analysis.memory_analysis import MemoryAnalysis, MemorySettings, analyze_memory
from wsrl.analysis.spectra import SpectralMatch, lasting_eigenvalues
from wsrl.analysis.variable_bases import check_rank
from wsrl.analysis.variable_memory import Interactions
from wsrl.problems.binding_tasks import BindingTask
from wsrl.problems.variable_binding import VariableBinding
from wsrl.rnn import RNNWeights, state_size
from wsrl.safe_files import naming
from wsrl.strict_json import to_json
from wsrl.studies.tables import write_csv
from wsrl.zoos import Zoo, ZooError, open_zoo
from wsrl.zoos.files import remove_leftovers, write_atomically
from wsrl.zoos.packing.models import read_model

Record = dict[str, Any]

AT_ONCE = 2**24
"""Numbers of the states that are held at one time: 128 MiB."""

SHOWN_STEPS = 40
"""Steps of one sequence that are drawn."""


def study_file(
    path: str,
    task: BindingTask,
    settings: MemorySettings,
    cell: str | None = None,
    out: str | None = None,
    film: str | None = None,
) -> tuple[Record, list[Path]]:
    """Analyse a user's RNN; write tables and pictures if a folder is given.

    Args:
        path: its state dict.
        task: that it was trained on.
        settings: how it is analysed.
        cell: of the RNN, where its state dict does not say.
        out: folder for ``memory.json``, ``memory.csv`` and pictures.
        film: ``gif`` or ``mp4``; None for no animation.

    Returns:
        What was found, and the pictures.

    Raises:
        ValueError: as ``analyze_memory``, and where no basis can exist: the task's variables are
            more than the RNN's state has dimensions.
    """
    weights = read_model(Path(path), cell)
    _make_folder(out)
    interactions = Interactions.of_task(task.matrix())
    check_rank(state_size(weights.spec), interactions)
    (analysis,) = analyze_memory(weights, [interactions], settings)
    about: Record = {"source": path, "task": task_name(task), "rnn": str(weights.spec)}
    return _keep(about | record(analysis), analysis, settings, out, film)


def study_row(
    path: str, row: int, settings: MemorySettings, out: str | None = None, film: str | None = None
) -> tuple[Record, list[Path]]:
    """Analyse one snapshot of a zoo; the rest as ``study_file``.

    Raises:
        ZooError: for a zoo of another problem.
        ValueError: for a row that is not there.
    """
    zoo = open_zoo(path)
    problem_of(zoo)
    _make_folder(out)
    ((about, analysis),) = analyze_zoo(zoo, settings, [row])
    return _keep({"source": path, "rnn": str(zoo.spec), **about}, analysis, settings, out, film)


def study_zoo(path: str, settings: MemorySettings, out: str | None = None) -> Record:
    """Analyse all snapshots of a zoo; write tables if a folder is given.

    Raises:
        ZooError: for a zoo of another problem.
    """
    zoo = open_zoo(path)
    problem_of(zoo)
    _make_folder(out)
    records = [about for about, _ in analyze_zoo(zoo, settings)]
    content = {"source": path, "settings": vars(settings), "snapshots": records}
    if out:
        write_tables(Path(out), records, content)
    return content


def _keep(
    about: Record,
    analysis: MemoryAnalysis,
    settings: MemorySettings,
    out: str | None,
    film: str | None,
) -> tuple[Record, list[Path]]:
    """Write the tables and pictures of one RNN, if anywhere."""
    content = about | {"settings": vars(settings)}
    if not out:
        return content, []
    write_tables(Path(out), [about], content)
    title = f"{about['rnn'].split(',')[0]}, task {about['task']}: {analysis.verdict}"
    return content, draw(Path(out), analysis, title, film)


def _make_folder(path: str | None) -> None:
    """Make the folder before the work, which would be lost where it cannot be made."""
    if path:
        Path(path).mkdir(parents=True, exist_ok=True)


def problem_of(zoo: Zoo) -> VariableBinding:
    """Return the problem of a zoo of variable binding.

    Raises:
        ZooError: for a zoo of another problem.
    """
    if not isinstance(zoo.problem, VariableBinding):
        raise ZooError(
            f"{zoo.path} is a zoo of {zoo.manifest.problem}: variable memories are looked for in "
            f"zoos of {VariableBinding.name}, or in one RNN (FILE --task ID --steps S --dims D)"
        )
    return zoo.problem


def analyze_zoo(
    zoo: Zoo, settings: MemorySettings, rows: Sequence[int] | None = None
) -> Iterator[tuple[Record, MemoryAnalysis]]:
    """Analyse snapshots of a zoo; yield each with what the zoo says of it, in order.

    Args:
        zoo: of variable binding.
        settings: how.
        rows: which snapshots; all by default.

    Raises:
        ZooError: for a zoo of another problem.
        ValueError: for a row that is not there.
    """
    problem = problem_of(zoo)
    chosen = list(range(len(zoo))) if rows is None else list(rows)
    if outside := [row for row in chosen if not 0 <= row < len(zoo)]:
        raise ValueError(f"the zoo has the rows 0..{len(zoo) - 1}, not {outside[0]}")
    known: dict[BindingTask, Interactions] = {}
    numbers = settings.sequences * (1 + settings.horizon) * state_size(zoo.spec)
    size = max(1, AT_ONCE // numbers)
    for first in range(0, len(chosen), size):
        index = torch.tensor(chosen[first : first + size])
        columns = {name: zoo.read(name, index) for name in ("run", "step", "performance", "task")}
        tasks = [problem.task(row) for row in columns["task"].tolist()]
        for task in tasks:
            if task not in known:
                known[task] = Interactions.of_task(task.matrix())
        weights = RNNWeights(zoo.read("weights", index), zoo.spec)
        found = analyze_memory(weights, [known[task] for task in tasks], settings)
        for position, analysis in enumerate(found):
            about = {
                "row": int(index[position]),
                "run": int(columns["run"][position]),
                "step": int(columns["step"][position]),
                "performance": _known(float(columns["performance"][position])),
                "task": task_name(tasks[position]),
            }
            yield about | record(analysis), analysis


def task_name(task: BindingTask) -> str:
    """Return a task's id, ``a,b,c``; of a task that has none, its sources with signs."""
    try:
        return ",".join(map(str, task.id))
    except ValueError:
        pairs = zip(task.sources, task.signs, strict=True)
        return "sources " + " ".join(f"{'-' if sign < 0 else ''}{source}" for source, sign in pairs)


def record(analysis: MemoryAnalysis) -> Record:
    """Return verdict, reasons and figures as plain values; what does not exist is None."""
    figures = asdict(analysis.figures)
    figures["residual_components"] = list(figures["residual_components"])
    judged = {"verdict": analysis.verdict, "reasons": list(analysis.reasons)}
    return judged | {"start": analysis.start} | figures


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def spectrum_text(found: Record) -> str:
    """Return the spectral error, or that ranks differ, in words."""
    error = found["spectral_error"]
    return str(SpectralMatch(found["rank_found"], found["rank_expected"], error, None))


def write_tables(folder: Path, records: Sequence[Record], content: object) -> None:
    """Write ``memory.json``, whatever the content, and ``memory.csv``, a row a record."""
    remove_leftovers(folder)
    write_atomically(folder / "memory.json", (to_json(content, indent=2) + "\n").encode())
    rows = [{**one, "reasons": "; ".join(one["reasons"])} for one in records]
    for row in rows:
        del row["residual_components"]
    write_csv(folder / "memory.csv", rows)


def draw(folder: Path, analysis: MemoryAnalysis, title: str, film: str | None) -> list[Path]:
    """Write the pictures of one RNN; without a basis there is only that of the spectra.

    Args:
        folder: where to.
        analysis: of the RNN.
        title: over the pictures.
        film: ``gif`` or ``mp4``; None for no animation.

    Returns:
        The files.
    """
    from wsrl.analysis import memory_figures as figures  # matplotlib, only where it is needed

    task, threshold = analysis.interactions, analysis.threshold
    found = np.linalg.eigvals(analysis.rnn.system.recurrent)
    expected = lasting_eigenvalues(task.reduced, threshold)
    drawn = {"spectra": figures.spectra(found, expected, threshold, title)}
    basis = analysis.basis
    with np.errstate(over="ignore", invalid="ignore"):
        read = None if basis is None else basis.read(analysis.states)
    if basis is not None and read is not None and np.isfinite(read).all():
        truth = analysis.truth[..., task.kept]
        shown = slice(0, SHOWN_STEPS + 1)
        ours = basis.interactions(analysis.system.recurrent)
        places = (task.kept, task.dims)
        drawn |= {
            "interactions": figures.interactions_beside(task.reduced, ours, *places, title),
            "hidden_state": figures.variables_over_time(
                read[0, shown], truth[0, shown], *places, title
            ),
            "variables": figures.read_against_true(read, truth, title),
        }
    files = []
    for name, figure in drawn.items():
        files.append(folder / f"{name}.png")
        with naming(files[-1]):
            figure.savefig(files[-1])
    if film is not None and len(drawn) > 1 and read is not None:
        files.append(folder / f"variables.{film}")
        sizes = (task.steps, task.dims)
        with naming(files[-1]):
            figures.write_circle_film(files[-1], read[0, shown], task.kept, *sizes, title)
    return files
