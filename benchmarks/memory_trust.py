"""How the bounds of `wsrl.analysis.trust` were fixed: circuits, disturbed more and more.

Each line is the mean over circuits of drawn tasks (s = d = 4), run for 200 steps. Those of the
first table have 64 neurons, are linearised at the origin and started in their memories, with a
basis grounded in the input. Those of the second keep their variables by saturation, read their
inputs, and are linearised along trajectories, with a basis of waves. Two minutes.

    python benchmarks/memory_trust.py
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from wsrl.analysis.episodic_memory import circuit, saturating_circuit
from wsrl.analysis.memory_analysis import MemoryAnalysis, MemorySettings, analyze_memory
from wsrl.analysis.variable_memory import Interactions
from wsrl.problems.binding_tasks import BindingTask
from wsrl.rnn import RNNWeights

CIRCUITS, SIZE = 10, 64
SHOWN = (
    "spectral_error",
    "condition_number",
    "interaction_error",
    "linearization_error",
    "step_error",
    "explained_variance",
    "variables_read",
)
Array = NDArray[np.float64]


ALONG = (
    "linearization_error",
    "explained_variance",
    "boundary_error",
    "input_error",
    "variables_read",
    "output_right",
    "flip_right",
    "flip_kept",
    "exchange_right",
    "random_right",
)


def changed(weights: RNNWeights, noise: float, gain: float, random: np.random.Generator) -> None:
    """Add noise to the recurrent weights and multiply them, in place."""
    recurrent = weights.tensors()["rnn.weight_hh_l0"]
    size = recurrent.shape[1]
    drawn = random.normal(size=(size, size)) * noise / np.sqrt(size)
    recurrent.add_(torch.from_numpy(drawn)).mul_(gain)


def relabelled(task: BindingTask, random: np.random.Generator) -> BindingTask:
    """The task with its dimensions named otherwise, until it is another one."""
    while True:
        order = random.permutation(task.dims)
        ages, places = np.divmod(np.array(task.sources), task.dims)
        sources, signs = np.zeros(task.dims, int), np.zeros(task.dims, int)
        sources[order], signs[order] = ages * task.dims + order[places], task.signs
        other = BindingTask(tuple(sources.tolist()), tuple(signs.tolist()), task.steps)
        if other != task:
            return other


def cases() -> Iterator[tuple[str, str, float, float, float, float, bool]]:
    """Name, cell, size and condition of the memories, noise, gain, whether it is the task."""
    for noise in (0, 0.003, 0.01, 0.03, 0.1, 0.3):
        yield f"linear, noise {noise}", "linear", 1, 1, noise, 1, True
    for condition in (10, 100, 1000, 10000):
        yield f"linear, condition {condition}, noise 0.001", "linear", 1, condition, 0.001, 1, True
    for size in (0.1, 0.5, 1, 2, 4):
        yield f"tanh, memories of size {size}", "tanh", size, 1, 0, 1, True
    for gain in (1.02, 1.05, 1.1, 1.2, 1.3, 1.5, 2):
        yield f"tanh, W times {gain}", "tanh", 0.5, 1, 0, gain, True
    yield "linear, another task of the same spectrum", "linear", 1, 1, 0, 1, False


def linear_tables() -> Iterator[tuple[str, list[MemoryAnalysis]]]:
    """Analyse circuits that are linear at the origin."""
    for name, cell, size, condition, noise, gain, is_task in cases():
        random, found = np.random.default_rng(0), []
        for _ in range(CIRCUITS):
            task = BindingTask.draw(random, 4, 4)
            own = Interactions.of_task(task.matrix())
            left = np.linalg.qr(random.normal(size=(SIZE, own.rank)))[0]
            right = np.linalg.qr(random.normal(size=(own.rank, own.rank)))[0]
            memories: Array = size * left * np.geomspace(1, 1 / condition, own.rank) @ right
            weights = circuit(own, memories, cell)
            changed(weights, noise, gain, random)
            asked = task if is_task else relabelled(task, random)
            settings = MemorySettings("input", start="variables")
            found += analyze_memory(weights, [asked.matrix()], settings)
        yield name, found


def saturating_cases() -> Iterator[tuple[str, float, int, float, bool]]:
    """Name, gain, neurons that add up two variables (in percent), noise, whether it is the task."""
    for gain in (1.1, 1.5, 2, 4):
        yield f"gain {gain}", gain, 0, 0, True
        yield f"gain {gain}, half of the neurons hold two", gain, 50, 0, True
    for noise in (0.1, 0.3, 0.6, 1):
        yield f"gain 2, half hold two, noise {noise}", 2, 50, noise, True
    yield "gain 4, all but the newest hold two", 4, 100, 0, True
    yield "gain 2, another task of the same spectrum", 2, 50, 0, False


def saturating_tables() -> Iterator[tuple[str, list[MemoryAnalysis]]]:
    """Analyse circuits that work by saturation, along trajectories and as waves."""
    for name, gain, share, noise, is_task in saturating_cases():
        random, found = np.random.default_rng(0), []
        for _ in range(CIRCUITS):
            task = BindingTask.draw(random, 4, 4)
            own = Interactions.of_task(task.matrix())
            weights = saturating_circuit(own, directions(own, share, random), gain)
            changed(weights, noise, 1, random)
            asked = task if is_task else relabelled(task, random)
            settings = MemorySettings("wave", along="trajectories")
            found += analyze_memory(weights, [asked.matrix()], settings)
        yield name, found


def directions(own: Interactions, share: int, random: np.random.Generator) -> Array:
    """Six neurons a variable; of the older ones' so many percent hold another with it."""
    rows: Array = np.repeat(np.eye(own.rank), 6, 0) * random.choice([-1.0, 1.0], (6 * own.rank, 1))
    older = np.setdiff1d(np.arange(own.rank), own.newest_places)
    for row in rows:
        held = np.flatnonzero(row)[0]
        if held in older and len(older) > 1 and random.random() * 100 < share:
            row[random.choice(older[older != held])] = random.choice([-1.0, 1.0])
    return rows


def show(shown: Sequence[str], tables: Iterator[tuple[str, list[MemoryAnalysis]]]) -> None:
    """Print a table of means."""
    print(f"| circuit | {' | '.join(shown)} | verdicts |")
    print(f"|{'---|' * (len(shown) + 2)}", flush=True)
    for name, found in tables:
        columns = [[getattr(one.figures, figure) for one in found] for figure in shown]
        means = [[v for v in column if v is not None] for column in columns]
        cells = [f"{np.mean(values):.2g}" if values else "-" for values in means]
        counts = Counter(one.verdict for one in found).most_common()
        verdicts = ", ".join(f"{count} {verdict}" for verdict, count in counts)
        print(f"| {name} | {' | '.join(cells)} | {verdicts} |", flush=True)


def main() -> None:
    """Print the tables."""
    show(SHOWN, linear_tables())
    print()
    show(ALONG, saturating_tables())


if __name__ == "__main__":
    main()
