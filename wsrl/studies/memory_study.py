"""Variable memories of a zoo, or of one RNN: analysed, tabulated and drawn."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wsrl.analysis.memory_analysis import MemoryAnalysis, MemorySettings, analyze_memory
from wsrl.analysis.spectra import lasting_eigenvalues
from wsrl.analysis.variable_bases import check_rank
from wsrl.analysis.variable_memory import Interactions
from wsrl.hints import Hints
from wsrl.problems.binding_tasks import BindingTask
from wsrl.problems.variable_binding import VariableBinding
from wsrl.rnn import RNNWeights, state_size
from wsrl.safe_files import naming
from wsrl.strict_json import to_json
from wsrl.studies.tables import write_csv
from wsrl.zoos import Zoo, ZooError, open_one
from wsrl.zoos.files import remove_leftovers, write_atomically
from wsrl.zoos.packing.models import read_model

Record = dict[str, Any]

AT_ONCE = 2**24
"""Numbers of the states that are held at one time: 128 MiB."""

SHOWN_STEPS = 40
"""Steps of one sequence that are drawn."""


def study(
    source: str,
    settings: MemorySettings,
    row: int | None = None,
    out: str | None = None,
    task: BindingTask | None = None,
    hints: Hints | None = None,
    say: Callable[[str], object] = lambda text: None,
) -> tuple[Record, list[Path]]:
    """Analyse all snapshots of a zoo, that of one row, or the RNN in a file, with its task.

    Tables, and pictures of a single RNN, are written to a folder ``out``. ``hints`` are of a file;
    ``say`` is told what was assumed of it.

    Returns:
        What was found (of all snapshots: as a list, ``snapshots``), and the pictures.

    Raises:
        ZooError: for a zoo of another problem.
        ValueError: as ``analyze_memory``, for a row that is not there, and where the task has more
            variables than the RNN's state has dimensions.
    """
    notes: tuple[str, ...] = ()
    if task is None:
        zoo, problem = _open(source, row)
        spec, rows = zoo.spec, range(len(zoo)) if row is None else [row]
        found = _analyze_zoo(zoo, problem, settings, rows)
    else:
        weights, notes = read_model(source, hints)
        spec, found = weights.spec, _analyze_rnn(weights, task, settings)
    if out:  # before the work, which would be lost where the folder cannot be made
        Path(out).mkdir(parents=True, exist_ok=True)
    about: Record = {"source": source, "rnn": str(spec), "settings": asdict(settings)}
    if task is None and row is None:
        records = [one for one, _ in found]
        content = about | {"snapshots": records}
    else:
        ((one, analysis),) = found
        records, content = [one], about | one
    if notes:
        say(f"{source}: {'; '.join(notes)}")
    if out:
        write_tables(Path(out), records, content)
    if out is None or "snapshots" in content:
        return content, []
    how = "" if analysis.along == "fixed_point" else " along trajectories"
    title = f"{str(spec).split(',')[0]}, task {one['task']}: {analysis.verdict}{how}"
    return content, draw(Path(out), analysis, title)


def _open(path: str, row: int | None) -> tuple[Zoo, VariableBinding]:
    zoo = open_one(path)
    if not isinstance(zoo.problem, VariableBinding):
        raise ZooError(
            f"{zoo.path} is a zoo of {zoo.manifest.problem}: variable memories are looked for in "
            f"zoos of {VariableBinding.name}, or in one RNN (FILE --task ID --steps S --dims D)"
        )
    if row is not None and not 0 <= row < len(zoo):
        raise ValueError(f"the zoo has the rows 0..{len(zoo) - 1}, not {row}")
    return zoo, zoo.problem


def _analyze_rnn(
    weights: RNNWeights, task: BindingTask, settings: MemorySettings
) -> Iterator[tuple[Record, MemoryAnalysis]]:
    interactions = Interactions.of_task(task.matrix())
    check_rank(state_size(weights.spec), interactions)
    for analysis in analyze_memory(weights, [interactions], settings):
        yield {"task": task_name(task), **record(analysis)}, analysis


def _analyze_zoo(
    zoo: Zoo, problem: VariableBinding, settings: MemorySettings, rows: Sequence[int]
) -> Iterator[tuple[Record, MemoryAnalysis]]:
    """Analyse snapshots of a zoo; yield each with what the zoo says of it, in order."""
    # Of a sequence to judge by, and along trajectories of two more to fit.
    numbers = 3 * settings.sequences * (1 + settings.horizon) * state_size(zoo.spec)
    for index in torch.tensor(rows).split(max(1, AT_ONCE // numbers)):
        columns = [zoo.read(name, index).tolist() for name in ("run", "step", "performance")]
        tasks = [problem.task(row) for row in zoo.read("task", index).tolist()]
        known = {task: Interactions.of_task(task.matrix()) for task in set(tasks)}
        found = analyze_memory(zoo.read_weights(index), [known[task] for task in tasks], settings)
        facts = zip(index.tolist(), *columns, tasks, found, strict=True)
        for row, run, step, performance, task, analysis in facts:
            about = {"row": row, "run": run, "step": step, "task": task_name(task)}
            about["performance"] = performance if math.isfinite(performance) else None
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
    judged = {"verdict": analysis.verdict, "reasons": list(analysis.reasons)}
    how = {"along": analysis.along, "grounding": analysis.grounding, "start": analysis.start}
    return judged | how | asdict(analysis.figures)


def write_tables(folder: Path, records: Sequence[Record], content: object) -> None:
    """Write ``memory.json``, whatever the content, and ``memory.csv``, a row a record."""
    remove_leftovers(folder)
    write_atomically(folder / "memory.json", (to_json(content, indent=2) + "\n").encode())
    rows = [{**one, "reasons": "; ".join(one["reasons"])} for one in records]
    write_csv(folder / "memory.csv", rows)


def draw(folder: Path, analysis: MemoryAnalysis, title: str) -> list[Path]:
    """Write the pictures of one RNN; without a basis there is only that of the spectra."""
    from wsrl.analysis import memory_figures as figures  # matplotlib, only where it is needed

    task, basis, threshold = analysis.interactions, analysis.basis, analysis.threshold
    found = np.linalg.eigvals(analysis.rnn.system.recurrent)
    expected = lasting_eigenvalues(task.reduced, threshold)
    drawn = {"spectra": figures.spectra(found, expected, threshold, title)}
    with np.errstate(over="ignore", invalid="ignore"):
        read = np.array(np.nan) if basis is None else basis.read(analysis.states)
    if basis is not None and np.isfinite(read).all():
        truth = analysis.truth[..., task.kept]
        ours, places = basis.interactions(analysis.system.recurrent), (task.kept, task.dims)
        first = slice(SHOWN_STEPS + 1)
        drawn |= {
            "interactions": figures.interactions_beside(task.reduced, ours, *places, title),
            "hidden_state": figures.variables_over_time(
                read[0, first], truth[0, first], *places, title
            ),
        }
    for name, figure in drawn.items():
        with naming(folder / f"{name}.png"):
            figure.savefig(folder / f"{name}.png")
    return [folder / f"{name}.png" for name in drawn]
