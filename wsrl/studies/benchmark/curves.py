"""Learning curves out of a run's TensorBoard logs, thinned out."""

from __future__ import annotations

from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

POINTS = 100
"""At most so many points of a curve are kept."""

Curves = dict[str, tuple[list[int], list[float]]]


def read_curves(logs: Path) -> Curves:
    """Read the losses of a run.

    Args:
        logs: the folder of its TensorBoard logs.

    Returns:
        By logged name (``train/loss``, ``validation/total_variation``, ...) steps and values.
    """
    events = EventAccumulator(str(logs), size_guidance={SCALARS: 0})
    events.Reload()
    curves = {}
    for name in events.Tags()[SCALARS]:
        split, _, metric = name.partition("/")
        if not metric or (split == "train" and metric != "loss"):
            continue
        found = events.Scalars(name)
        stride = -(-len(found) // POINTS)
        kept = found[::stride] if (len(found) - 1) % stride == 0 else [*found[::stride], found[-1]]
        curves[name] = ([event.step for event in kept], [float(f"{e.value:.6g}") for e in kept])
    return curves
