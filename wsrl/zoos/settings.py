"""How the RNNs of a zoo are trained."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from wsrl.rnn.spec import MAX_LAYERS, MAX_SIZE
from wsrl.validation import check_arguments, check_size

MOST_STEPS = (1 << 63) - 1
"""Steps that a zoo's column can hold."""

MOST_SHARDS = 10**6
"""A manifest that lists more would be larger than one that is read."""

SIZES = {
    "runs": (1, MOST_STEPS),
    "batch_size": (1, 10**6),
    "group_size": (1, MOST_STEPS),
    "hidden_size": (1, MAX_SIZE),
    "num_layers": (1, MAX_LAYERS),
    "seed": (0, (1 << 128) - 1),
}
"""The least and the most that a whole number may be."""


@dataclass(frozen=True)
class BuildSettings:
    """How the RNNs of a zoo are trained; the published values are the defaults.

    Attributes:
        runs: members of the zoo.
        seed: the seed from which every member's streams are derived.
        snapshots: snapshot ``n`` is taken after ``n`` updates; ascending.
        cell: ``lstm``, ``gru``, ``tanh`` or ``linear``.
        hidden_size: neurons of a layer.
        num_layers: layers.
        bias: whether the RNNs have biases.
        batch_size: sequences a member sees in one step.
        learning_rates: ``[step, rate]`` pairs, linear between them and constant after the last.
        weight_decay: of AdamW, unless the problem draws one for every member.
        clip_norm: the largest norm of a member's gradient, to which larger ones are scaled.
        unique_sequences: train on distinct sequences with weights where the problem can.
        group_size: members that train together and become one shard.

    Raises:
        ValueError: for numbers out of range or snapshots that do not ascend.
    """

    runs: int = 1000
    seed: int = 0
    snapshots: Sequence[int] = (0, 100, 200, 500, 1000, 2000, 5000, 10000, 20000)
    cell: str = "lstm"
    hidden_size: int = 32
    num_layers: int = 2
    bias: bool = True
    batch_size: int = 32
    learning_rates: Sequence[tuple[int, float]] = ((0, 0.01), (10000, 0.003), (20000, 0.0003))
    weight_decay: float = 1e-4
    clip_norm: float | None = None
    unique_sequences: bool = True
    group_size: int = 64

    def __post_init__(self) -> None:
        check_arguments(BuildSettings, vars(self))
        for name, (least, most) in SIZES.items():
            check_size(name, getattr(self, name), least, most)
        shards = -(-self.runs // self.group_size)
        if shards > MOST_SHARDS:
            raise ValueError(
                f"{self.runs} runs in groups of {self.group_size} are {shards} shards, more than "
                f"{MOST_SHARDS}: choose fewer runs or a larger group_size"
            )
        rates = [rate for _, rate in self.learning_rates]
        for number in (self.weight_decay, *rates):
            if not 0 <= number < math.inf:  # nor NaN
                raise ValueError(
                    "weight_decay and learning_rates must be finite and not negative, not "
                    f"{self.weight_decay} and {rates}"
                )
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ValueError(f"clip_norm must be above 0, not {self.clip_norm}")
        for name, steps in (
            ("snapshots", list(self.snapshots)),
            ("steps of learning_rates", [step for step, _ in self.learning_rates]),
        ):
            if not steps or steps[0] < 0 or steps != sorted(set(steps)):
                raise ValueError(f"{name} must ascend from 0 or later, not {steps}")
            for step in steps:
                check_size(f"each of {name}", step, 0, MOST_STEPS)

    def learning_rate(self, step: int) -> float:
        """Return the rate of the update that follows ``step`` updates."""
        steps, rates = zip(*self.learning_rates, strict=True)
        return float(np.interp(step, steps, rates))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, equal to what is read back from JSON."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain
