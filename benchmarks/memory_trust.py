"""How the bounds of `wsrl.analysis.trust` were fixed: circuits, disturbed more and more.

Each line is the mean over circuits of drawn tasks (s = d = 4, 64 neurons), started in their
memories and run for 200 steps, their basis grounded in the input. A minute.

    python benchmarks/memory_trust.py
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from wsrl.analysis.episodic_memory import circuit
from wsrl.analysis.memory_analysis import MemorySettings, analyze_memory
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


def changed(weights: RNNWeights, noise: float, gain: float, random: np.random.Generator) -> None:
    """Add noise to the recurrent weights and multiply them, in place."""
    recurrent = weights.tensors()["rnn.weight_hh_l0"]
    drawn = random.normal(size=(SIZE, SIZE)) * noise / np.sqrt(SIZE)
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


def main() -> None:
    """Print the table."""
    print(f"| circuit | {' | '.join(SHOWN)} | verdicts |")
    print(f"|{'---|' * (len(SHOWN) + 2)}")
    for name, cell, size, condition, noise, gain, is_task in cases():
        random = np.random.default_rng(0)
        figures, verdicts = [], Counter[str]()
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
            (found,) = analyze_memory(weights, [asked.matrix()], settings)
            verdicts[found.verdict] += 1
            figures.append([getattr(found.figures, figure) for figure in SHOWN])
        columns = zip(*figures, strict=True)
        means = [[v for v in column if v is not None] for column in columns]
        cells = [f"{np.mean(values):.2g}" if values else "-" for values in means]
        counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
        print(f"| {name} | {' | '.join(cells)} | {counts} |")


if __name__ == "__main__":
    main()
