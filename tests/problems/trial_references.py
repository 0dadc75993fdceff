"""Targets and masks of one trial in plain Python, from its inputs without noise."""

from __future__ import annotations

import math
from collections.abc import Callable

Rows = list[list[float]]


def flip_flop(inputs: Rows, task: dict[str, float]) -> tuple[Rows, list[float]]:
    state, targets = [0.0] * len(inputs[0]), []
    for pulses in inputs:
        state = [pulse or old for pulse, old in zip(pulses, state, strict=True)]
        targets.append(list(state))
    return targets, [1.0] * len(inputs)


def sine_generator(inputs: Rows, task: dict[str, float]) -> tuple[Rows, list[float]]:
    between, targets = (task["fastest"] - task["slowest"]) / 50, []
    for step, levels in enumerate(inputs, 1):
        ranks = [round((level - 0.25) * 51) for level in levels]  # from 1
        speeds = [task["slowest"] + (rank - 1) * between for rank in ranks]
        targets.append([math.sin(speed * step) for speed in speeds])
    return targets, [1.0] * len(inputs)


def path_integration(inputs: Rows, task: dict[str, float]) -> tuple[Rows, list[float]]:
    size, targets = len(inputs[0]) // 2, []
    position = inputs[0][size:]
    for row in inputs:
        assert row is inputs[0] or row[size:] == [0.0] * size
        position = [place + moved for place, moved in zip(position, row, strict=False)]
        assert all(abs(place) < 1 + 1e-5 for place in position)
        targets.append(position)
    return targets, [1.0] * len(inputs)


def decided(inputs: Rows, choices: list[float]) -> tuple[Rows, list[float]]:
    """The choices count at the step after fixation, which the decision of 100 ms is."""
    (last,) = [t for t, row in enumerate(inputs) if row[0] == 1 and inputs[t + 1][0] == 0]
    assert all(value == 0 for row in inputs[last + 1 :] for value in row)
    return [choices] * len(inputs), [float(t == last + 1) for t in range(len(inputs))]


def delayed_discrimination(inputs: Rows, task: dict[str, float]) -> tuple[Rows, list[float]]:
    on = [t for t, row in enumerate(inputs) if row[1] != 0]
    assert on[:5] == [5, 6, 7, 8, 9]
    gap = 100 * (on[5] - on[4] - 1)
    assert abs(gap - task["delay"]) <= task["jitter"] * task["delay"] + 51
    first, second = inputs[5][1:], inputs[on[-1]][1:]
    assert len(on) == 10
    for pair in zip(first, second, strict=True):
        assert abs(abs(pair[1] - pair[0]) - task["difference"] / 2) < 1e-6
        assert min(pair) >= 0.5
        assert max(pair) <= 1
    return decided(inputs, [1.0 if b > a else -1.0 for a, b in zip(first, second, strict=True)])


def context_integration(inputs: Rows, task: dict[str, float]) -> tuple[Rows, list[float]]:
    on = [t for t, row in enumerate(inputs) if row[1] != 0]
    assert on == list(range(3, 3 + round(task["stimulus"] / 100)))
    for stream in (1, 2):
        strength = abs(inputs[3][stream]) / task["coherence"]
        assert min(abs(strength - share) for share in (0.1, 0.3, 1)) < 1e-5
    assert inputs[0][3:] in ([1.0, 0.0], [0.0, 1.0])
    chosen = inputs[3][1] if inputs[0][3] else inputs[3][2]
    return decided(inputs, [math.copysign(1, chosen)])


REFERENCES: dict[str, Callable[[Rows, dict[str, float]], tuple[Rows, list[float]]]] = {
    "context_integration": context_integration,
    "delayed_discrimination": delayed_discrimination,
    "flip_flop": flip_flop,
    "path_integration": path_integration,
    "sine_generator": sine_generator,
}
