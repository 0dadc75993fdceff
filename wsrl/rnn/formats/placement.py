"""Where linear layers stand around a recurrent part, if a file does not say it: sizes tell."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations

from torch import Tensor

from wsrl.rnn.cells.activations import ACTIVATIONS
from wsrl.rnn.formats.content import Candidate, listed, natural
from wsrl.rnn.formats.parts import Affine, Parts, folded

MOST_READOUT_LAYERS = 3
NAMES = {
    "input_layer": "the layer before the recurrent part, or none",
    "readout": "the layers after it, in their order",
    "readout_activation": f"between these: {', '.join(a for a in ACTIVATIONS if a != 'softmax')}",
}
"""Options that settle which placement it is."""


@dataclass(frozen=True)
class Placement:
    """One way in which linear layers lead to, and go on from, a recurrent part.

    Attributes:
        before: name of the layer before it, if there is one.
        after: names of the readout's layers.
        source: what the layer before computes; of an embedding, from one-hot inputs.
        is_table: whether that is an embedding.
        layers: what the readout's layers compute.
        activation: between these, or ``none``.
        choices: the same, as options of ``NAMES``.
        usual: whether no name of a layer says another thing.
    """

    before: str | None
    after: tuple[str, ...]
    source: Affine | None
    is_table: bool
    layers: tuple[Affine, ...]
    activation: str
    choices: Mapping[str, str]
    usual: bool

    @property
    def readout(self) -> list[Affine]:
        """The readout of ``Parts``: layers without a nonlinearity between them are one."""
        return [folded(*self.layers)] if self.activation == "none" else [*self.layers]

    @property
    def readout_activation(self) -> str:
        """The nonlinearity as ``Parts`` has it."""
        return "relu" if self.activation == "none" else self.activation

    def reading_through(self, matrix: Tensor) -> "Placement":
        """Return the placement where a matrix lies between the recurrent part and the readout."""
        first, *others = self.layers
        return replace(self, layers=(folded((matrix, None), first), *others))

    def candidate(
        self,
        cell: str,
        layers: Sequence[Mapping[str, Tensor]],
        assumed: tuple[str, ...] = (),
        choices: Mapping[str, str] | None = None,
    ) -> Candidate:
        """Return the RNN with this placement of a cell's layers, and what else was chosen."""
        parts = Parts(
            cell, layers, self.readout, self.source, readout_activation=self.readout_activation
        )
        return Candidate(parts.weights(), {**(choices or {}), **self.choices}, assumed, self.usual)


def placements(linear: Mapping[str, Affine], inputs: int, outputs: int) -> list[Placement]:
    """Return every way in which all layers have a place.

    Args:
        linear: layers by name; a matrix that has no bias can be an embedding, turned.
        inputs: how many values the recurrent part reads.
        outputs: how many it gives.

    Raises:
        ValueError: where there is none.

    >>> from torch import ones
    >>> (place,) = placements({"a": (ones(2, 8), None), "b": (ones(5, 3), None)}, 5, 8)
    >>> place.before, place.after
    ('b', ('a',))
    """
    ways = list(_ways(linear, inputs, outputs)) if len(linear) <= MOST_READOUT_LAYERS + 1 else []
    if not ways:
        shapes = {name: tuple(weight.shape) for name, (weight, _) in linear.items()}
        shown = ", ".join(f"{listed([name])} is {shape}" for name, shape in [*shapes.items()][:8])
        raise ValueError(
            f"the readout of {outputs} hidden values is ({outputs} columns) one linear layer, or "
            f"up to three; before the RNN can be a layer of {inputs} rows or an embedding of "
            f"{inputs} columns. So these do not fit: {shown or '(none)'}. What is no part of it "
            f"can be left out: --ignore {listed([*shapes][:1])} (ignore=[...] in Python)"
        )
    odds = {way: _odd(*way[::2]) for way in ways}
    found = []
    for before, is_table, after in ways:
        several = len(after) > 1
        choices = {"input_layer": before or "none", "readout": ", ".join(after)}
        for activation in ACTIVATIONS if several else ("none",):
            if activation == "softmax":
                continue
            own = {"readout_activation": activation} if several else {}
            found.append(
                Placement(
                    before,
                    after,
                    None if before is None else _source(linear[before], is_table),
                    is_table,
                    tuple(linear[name] for name in after),
                    activation,
                    own | choices,
                    odds[before, is_table, after] == min(odds.values()),
                )
            )
    return found


def _ways(
    linear: Mapping[str, Affine], inputs: int, outputs: int
) -> Iterator[tuple[str | None, bool, tuple[str, ...]]]:
    """Yield the layer before, whether it is an embedding, and those after."""
    for before in (None, *linear):
        tables = [False] if before is None else _as_tables(before, linear[before], inputs)
        rest = [name for name in linear if name != before]
        for after in permutations(rest):
            widths = [outputs, *(linear[name][0].shape[0] for name in after)]
            reads = [linear[name][0].shape[1] for name in after]
            if 0 < len(after) <= MOST_READOUT_LAYERS and reads == widths[:-1]:
                yield from ((before, table, after) for table in tables)


def _as_tables(name: str, layer: Affine, inputs: int) -> list[bool]:
    """Say as what a layer can come before: linear (``False``), or an embedding (``True``)."""
    rows, columns = layer[0].shape
    can = {False: rows == inputs, True: columns == inputs and layer[1] is None}
    if all(can.values()):
        return ["emb" in name.lower()]
    return [table for table, fits in can.items() if fits]


def _source(layer: Affine, is_table: bool) -> Affine:
    return (layer[0].mT, None) if is_table else layer


def _odd(before: str | None, after: tuple[str, ...]) -> int:
    """Return how many names say another thing than their layers' places."""
    inputs = re.compile(r"emb|(^|[._/])(in|input|inp|pre|encoder?)")
    outputs = re.compile(r"(^|[._/])(out|output|readout|head|decoder?|classif)")
    odd = sum(inputs.search(name.lower()) is not None for name in after)
    odd += before is not None and outputs.search(before.lower()) is not None
    return odd + (list(after) != sorted(after, key=natural))
