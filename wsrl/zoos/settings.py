"""How the RNNs of a zoo are trained."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from itertools import product
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from wsrl.problems.base import Problem
from wsrl.rnn import RNNSpec, get_cell
from wsrl.rnn.interface import MAX_LAYERS, MAX_SIZE
from wsrl.validation import checked, short

MOST_STEPS = (1 << 63) - 1
"""Steps that a zoo's column can hold."""

MOST_SHARDS = 10**6
"""A manifest that lists more would be larger than one that is read."""

Size = Annotated[int, Field(ge=1, le=MOST_STEPS)]
Step = Annotated[int, Field(ge=0, le=MOST_STEPS)]
Width = Annotated[int, Field(ge=1, le=MAX_SIZE)]
Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@checked
class BuildSettings:
    """How the RNNs of a zoo are trained; the published values are the defaults.

    Attributes:
        runs: members of the zoo.
        seed: the seed from which every member's streams are derived.
        snapshots: snapshot ``n`` is taken after ``n`` updates; ascending.
        cell: a registered cell, with its options as in ``low_rank(rank=3)``; where it is unknown,
            the choices are named.
        hidden_size: neurons of a layer.
        num_layers: layers.
        bias: whether the RNNs have biases.
        input_width: size of what a linear layer makes of an input for the first layer; 0 for none.
        input_bias: whether that layer has a bias.
        readout_widths: sizes of the readout's layers but the last, at most two.
        readout_activation: nonlinearity after each of these.
        initial_state: whether the RNNs learn the states that they start from, which are else zero.
        batch_size: sequences a member sees in one step.
        learning_rates: ``[step, rate]`` pairs, linear between them and constant after the last.
        weight_decay: of AdamW, unless the problem draws one for every member.
        clip_norm: the largest norm of a member's gradient, to which larger ones are scaled.
        unique_sequences: train on distinct sequences with weights where the problem can.
        group_size: members that train together and become one shard.

    >>> BuildSettings(runs=100, cell="gru", hidden_size=16).snapshots[:2]
    (0, 100)
    """

    runs: Size = 1000
    seed: Annotated[int, Field(ge=0, lt=1 << 128)] = 0
    snapshots: Sequence[Step] = (0, 100, 200, 500, 1000, 2000, 5000, 10000, 20000)
    cell: Annotated[str, AfterValidator(lambda name: str(get_cell(name)))] = "lstm"
    hidden_size: Width = 32
    num_layers: Annotated[int, Field(ge=1, le=MAX_LAYERS)] = 2
    bias: bool = True
    input_width: Annotated[int, Field(ge=0, le=MAX_SIZE)] = 0
    input_bias: bool = False
    readout_widths: Annotated[tuple[Width, ...], Field(strict=False)] = ()
    readout_activation: str = "relu"
    initial_state: bool = False
    batch_size: Annotated[int, Field(ge=1, le=10**6)] = 32
    learning_rates: Sequence[Annotated[tuple[Step, Rate], Field(strict=False)]] = (
        (0, 0.01),
        (10000, 0.003),
        (20000, 0.0003),
    )
    weight_decay: Rate = 1e-4
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    unique_sequences: bool = True
    group_size: Size = 64

    @model_validator(mode="after")
    def _fits_together(self) -> BuildSettings:
        shards = -(-self.runs // self.group_size)
        if shards > MOST_SHARDS:
            what = f"{self.runs} runs in groups of {self.group_size}"
            raise ValueError(f"{what} are {shards} shards, more than {MOST_SHARDS}")
        for name, steps in (
            ("snapshots", list(self.snapshots)),
            ("steps of learning_rates", [step for step, _ in self.learning_rates]),
        ):
            if not steps or steps != sorted(set(steps)):
                raise ValueError(f"{name} must ascend from 0 or later, not {short(steps)}")
        return self

    def learning_rate(self, step: int) -> float:
        """Return the rate of the update that follows ``step`` updates."""
        steps, rates = zip(*self.learning_rates, strict=True)
        return float(np.interp(step, steps, rates))

    def spec(self, problem: Problem) -> RNNSpec:
        """Return the spec of the RNNs."""
        return problem.spec(**{name: getattr(self, name) for name in _OF_RNNS})

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, equal to what is read back from JSON.

        What not every RNN has is left out at its default, as it is of ``RNNSpec.to_dict``.
        """
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        absent = {name for name in _RARE if getattr(self, name) == getattr(BuildSettings, name)}
        return {name: value for name, value in plain.items() if name not in absent}


_OF_RNNS = {field.name for field in fields(RNNSpec)} & {f.name for f in fields(BuildSettings)}
_RARE = _OF_RNNS - {"cell", "hidden_size", "num_layers", "bias"}


def settings_grid(
    settings: BuildSettings,
    cell: Sequence[str] | str | None = None,
    hidden_size: Sequence[int] | int | None = None,
    num_layers: Sequence[int] | int | None = None,
) -> dict[str, BuildSettings]:
    """Return settings for every cell and size, by the folder of each zoo.

    They differ from ``settings`` in these alone, so that members of one number have one task and
    the same training data. What is not given is as in ``settings``. Where no list is given there is
    one zoo, ``.``: it has no folder of its own. Layers are named where a list of them is given.

    Raises:
        ValueError: for a size out of range, an empty list, and two zoos of one name.

    >>> grid = settings_grid(BuildSettings(), ["lstm", "low_rank(rank=3)"], [16, 32])
    >>> sorted(grid)
    ['low_rank-rank-3-16', 'low_rank-rank-3-32', 'lstm-16', 'lstm-32']
    >>> settings_grid(BuildSettings(runs=3), "gru")["."].cell
    'gru'
    """
    given = {"cell": cell, "hidden_size": hidden_size, "num_layers": num_layers}
    lists = {n: [*v] for n, v in given.items() if not isinstance(v, str | int | None)}
    if empty := [name for name, values in lists.items() if not values]:
        raise ValueError(f"{empty[0]}: expected one or more")
    axes: dict[str, list[Any]] = {
        name: lists.get(name, [getattr(settings, name) if value is None else value])
        for name, value in given.items()
    }
    found: dict[str, BuildSettings] = {}
    for values in product(*axes.values()):
        chosen = dict(zip(axes, values, strict=True))
        layers = chosen["num_layers"] if "num_layers" in lists else None
        each = replace(settings, **chosen)
        folder = folder_name(each.cell, each.hidden_size, layers) if lists else "."
        if folder in found:
            raise ValueError(f"two zoos would be called {folder}: give each cell and size once")
        found[folder] = each
    return found


def folder_name(cell: str, hidden_size: int, num_layers: int | None = None) -> str:
    """Return a name for the folder of a zoo in a folder of zoos; cells' options become words.

    >>> folder_name("low_rank(rank=2)", 16), folder_name("gru", 8, 2)
    ('low_rank-rank-2-16', 'gru-2x8')
    """
    word = re.sub(r"[^A-Za-z0-9_.]+", "-", cell).strip("-.")
    return f"{word}-{hidden_size}" if num_layers is None else f"{word}-{num_layers}x{hidden_size}"
