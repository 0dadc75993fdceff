"""A batch of RNNs as flat vectors: views of tensors, permutations, ``torch.nn`` modules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from wsrl.rnn.cells import Symmetry
from wsrl.rnn.cells.activations import ACTIVATIONS
from wsrl.rnn.interface import RNNInterface
from wsrl.rnn.spec import (
    RNNSpec,
    TensorSpec,
    hidden_axis,
    initial_name,
    layer_name,
    readout_name,
)


class RecurrentNetwork(nn.Module):
    """One RNN as ``torch.nn`` modules (``batch_first``): ``rnn``, and ``linear`` on its outputs.

    Where the spec has them, ``input`` is before these, ``readout_1`` and so on after them, and
    ``initial`` holds first states. Without them it unpacks into the two:
    ``rnn, linear = weights.to_module()``. A ``ValueError`` for cells that ``torch.nn`` does not
    have, such as linear ones.
    """

    def __init__(self, spec: RNNSpec) -> None:
        super().__init__()
        form = spec.kind.torch_form
        if form is None:
            raise ValueError(
                f"torch.nn has no {spec.cell} RNN; run one with run_population, or copy its "
                "tensors (weights.tensors())"
            )
        self.spec, width = spec, spec.input_width or spec.input_size
        self.rnn = form.make(width, spec.hidden_size, spec.num_layers, spec.bias)
        sizes = (spec.hidden_size, *spec.readout_widths, spec.output_size)
        for layer, (below, here) in enumerate(pairwise(sizes)):
            name = readout_name("", layer).removesuffix(".")
            self.add_module(name, nn.Linear(below, here, bias=spec.bias))
        if spec.input_width:
            self.input = nn.Linear(spec.input_size, width, bias=spec.input_bias)
        if spec.initial_state:
            names = [t.name for t in spec.tensors if t.name.startswith("initial.")]
            zeros = {n.removeprefix("initial."): torch.zeros(spec.hidden_size) for n in names}
            self.initial = nn.ParameterDict(zeros)

    def __iter__(self) -> Iterator[nn.Module]:
        if not self.spec.is_core:
            raise ValueError(f"({self.spec}) is more than an RNN and a linear readout")
        return iter((self.rnn, self.get_submodule("linear")))

    def forward(self, inputs: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Run on ``inputs (S, T, I)``; return ``outputs (S, T, O)`` and the last state."""
        values = self.input(inputs) if self.spec.input_width else inputs
        if state is None and self.spec.initial_state:
            state = self._first_state(len(inputs))
        values, state = self.rnn(values, state)
        values = self.get_submodule("linear")(values)
        for layer in range(1, 1 + len(self.spec.readout_widths)):
            active = ACTIVATIONS[self.spec.readout_activation](values)
            values = self.get_submodule(f"readout_{layer}")(active)
        return values, state

    def _first_state(self, sequences: int) -> Any:
        layers = range(self.spec.num_layers)
        parts = tuple(
            torch.stack([self.initial[f"{part}_l{layer}"] for layer in layers])[:, None]
            .expand(-1, sequences, -1)
            .contiguous()
            for part in self.spec.kind.state
        )
        return parts if len(parts) > 1 else parts[0]


@dataclass
class RNNWeights:
    """The weights of ``B`` RNNs of one spec.

    Attributes:
        flat: ``(B, N)``, the parameters of each in the order of ``RNNSpec.tensors``.
        spec: what the numbers mean.

    >>> from torch import nn
    >>> weights = RNNWeights.from_module(nn.GRU(3, 8), nn.Linear(8, 2))  # one RNN
    >>> weights.flat.shape, str(weights.spec)
    (torch.Size([1, 330]), 'gru 1x8, 3 inputs, 2 outputs')
    >>> two = RNNWeights(torch.cat([weights.flat, weights.flat]), weights.spec)
    >>> two.tensors()["linear.weight"].shape
    torch.Size([2, 2, 8])
    """

    flat: Tensor
    spec: RNNSpec

    def __post_init__(self) -> None:
        if self.flat.ndim != 2 or self.flat.shape[1] != self.spec.num_parameters:
            raise ValueError(
                f"flat must be (B, {self.spec.num_parameters}) for {self.spec}, "
                f"not {tuple(self.flat.shape)}"
            )

    @property
    def interface(self) -> RNNInterface:
        """The sizes of inputs and outputs."""
        return self.spec.interface

    @property
    def specs(self) -> tuple[RNNSpec, ...]:
        """The different specs that there are: one."""
        return (self.spec,)

    @property
    def device(self) -> torch.device:
        """Where the numbers are."""
        return self.flat.device

    @property
    def dtype(self) -> torch.dtype:
        """That of the numbers."""
        return self.flat.dtype

    def __len__(self) -> int:
        return self.flat.shape[0]

    def __getitem__(self, rows: slice | Tensor) -> RNNWeights:
        """Select RNNs by a slice, an index tensor or a mask ``(B,)``."""
        return RNNWeights(self.flat[rows], self.spec)

    def to(self, *args: Any, **kwargs: Any) -> RNNWeights:
        """Move or cast, with the arguments of ``torch.Tensor.to``."""
        return RNNWeights(self.flat.to(*args, **kwargs), self.spec)

    def tensor(self, tensor: TensorSpec) -> Tensor:
        """Return a view of one tensor of every RNN, ``(B, *tensor.shape)``."""
        part = self.flat[:, tensor.offset : tensor.offset + tensor.numel]
        return part.view(len(self), *tensor.shape)

    def gated(self, tensor: TensorSpec) -> Tensor:
        """Return a view with the gates on an axis of their own, ``(B, gates, *tensor.sizes)``."""
        return self.tensor(tensor).view(len(self), tensor.gates, *tensor.sizes)

    @property
    def core(self) -> RNNWeights:
        """The RNNs between input layer and further readout, see ``RNNSpec.core``; views."""
        if self.spec.is_core:
            return self
        core = self.spec.core
        return RNNWeights(self.flat[:, : core.num_parameters], core)

    def layers(self) -> list[dict[str, Tensor]]:
        """Return views of the tensors of each layer, by the names that the cell gives them.

        First states, where the RNNs have their own, are there as ``initial_<part>``.
        """
        named = self.tensors()
        return [
            {name: named[full] for name, full in self._names(layer).items()}
            for layer in range(self.spec.num_layers)
        ]

    def _names(self, layer: int) -> dict[str, str]:
        """Return the names in the RNN of a layer's tensors, by those that ``layers`` uses."""
        spec, kind = self.spec, self.spec.kind
        own = {t.name: layer_name(t.name, layer) for t in kind.tensors(spec.bias)}
        firsts = kind.state if spec.initial_state else ()
        return own | {f"initial_{part}": initial_name(part, layer) for part in firsts}

    def tensors(self) -> dict[str, Tensor]:
        """Return views of all tensors by name, each ``(B, *shape)``."""
        return {tensor.name: self.tensor(tensor) for tensor in self.spec.tensors}

    @classmethod
    def from_module(cls, *modules: nn.Module) -> RNNWeights:
        """Read one RNN out of ``torch.nn`` modules; ``B = 1``.

        Copies of the modules are run in eval mode on random sequences, and their outputs compared
        with those of the weights that were read: those that act, after hooks and parametrisations
        such as ``weight_norm`` and pruning. The modules stay as they are.

        Args:
            modules: ``rnn, linear`` (also in an ``nn.ModuleDict`` or ``nn.ModuleList``), or one
                module that holds recurrent layers and an ``nn.Linear`` as their readout; before
                these may be an ``nn.Linear`` or an ``nn.Embedding``, after them up to two layers
                more, and it may have first states. It takes sequences ``(S, T, I)``, ``(T, S, I)``
                or ``(T, I)``, or without ``I`` the numbers of one-hot vectors. It returns the
                readout's values of all steps, or of the last; alone, or first in a tuple.

        Raises:
            ValueError: where the modules are no such model, use what a spec does not have
                (bidirectional), compute something else, or hold numbers that are not finite.
        """
        from wsrl.rnn.modules import read_modules  # which runs weights, and so imports this file
        from wsrl.rnn.usable import check_finite

        check_finite(weights := read_modules(modules))
        return weights

    @classmethod
    def cat(cls, batches: Sequence[RNNWeights]) -> RNNWeights:
        """Join batches of one spec; others, or none, are a ``ValueError``."""
        specs = {batch.spec for batch in batches}
        if len(specs) != 1:
            found = ", ".join(f"({spec})" for spec in specs) or "none"
            raise ValueError(f"RNNs of one spec can be joined; the batches have: {found}")
        return cls(torch.cat([batch.flat for batch in batches]), specs.pop())

    def to_module(self, index: int = 0) -> RecurrentNetwork:
        """Return a copy of one RNN as ``torch.nn`` modules, if these have the cell."""
        module = RecurrentNetwork(self.spec).to(self.flat.device, self.flat.dtype)
        state = {name: value[index].detach().clone() for name, value in self.tensors().items()}
        module.load_state_dict(state)
        return module

    def permute(self, permutations: Sequence[Tensor]) -> RNNWeights:
        """Reorder hidden neurons with all their couplings; no RNN's function changes.

        Args:
            permutations: one index tensor a layer, ``(H,)`` for all RNNs or ``(B, H)`` for each its
                own; neuron ``j`` of the result is neuron ``permutation[j]`` of this batch.

        Raises:
            ValueError: for a wrong number or shape, or where one is no permutation.
        """
        order = self._checked(permutations)
        parts = []
        for tensor in self.spec.tensors:
            value = self.gated(tensor)
            for position, axis in enumerate(tensor.axes, 2):
                if axis in order:
                    size, others = self.spec.hidden_size, range(1, value.ndim)
                    shape = [size if other == position else 1 for other in others]
                    value = value.take_along_dim(order[axis].unflatten(1, shape), position)
            parts.append(value.flatten(1))
        return RNNWeights(torch.cat(parts, 1), self.spec)

    def transform(self, symmetry: Symmetry, generator: torch.Generator | None = None) -> RNNWeights:
        """Change every layer at random by a symmetry of the cell (``spec.kind.symmetries``).

        No RNN's function changes.
        """
        new = self.tensors()
        for layer in range(self.spec.num_layers):
            names = self._names(layer)
            own = {name: new[full] for name, full in names.items()}
            changed, maps = symmetry.change(own, generator)
            new |= {names[name]: value for name, value in changed.items()}
            for reader in self.spec.tensors if maps is not None else ():
                if reader.axes[-1] == hidden_axis(layer) and reader.name not in names.values():
                    new[reader.name] = new[reader.name] @ torch.linalg.inv(maps)
        return RNNWeights(torch.cat([value.flatten(1) for value in new.values()], 1), self.spec)

    def _checked(self, permutations: Sequence[Tensor]) -> dict[str, Tensor]:
        layers, size, given = self.spec.num_layers, self.spec.hidden_size, len(permutations)
        if given != layers:
            raise ValueError(f"one permutation a layer: {layers} expected, {given} given")
        order = {}
        for layer, rows in enumerate(permutations):
            known = torch.arange(size, device=rows.device)
            fits = rows.shape in {(size,), (len(self), size)} and not rows.is_floating_point()
            if not fits or not bool((rows.sort(-1).values == known).all()):
                raise ValueError(
                    f"permutation of layer {layer} must hold each of 0..{size - 1} once, as whole "
                    f"numbers ({size},) or ({len(self)}, {size}), not {rows.dtype} "
                    f"{tuple(rows.shape)}"
                )
            rows = rows.to(self.flat.device, torch.long)
            order[hidden_axis(layer)] = rows.expand(len(self), size)
        return order


def with_initial_values(spec: RNNSpec, drawn: Tensor) -> RNNWeights:
    """Turn ``drawn (B, N)``, uniform in ``+-1/sqrt(H)``, into the weights to start training from.

    Most stay as they are, as in ``torch.nn``; others have initial values of their own.
    """
    weights = RNNWeights(drawn.clone(), spec)
    for tensor, initial in zip(spec.tensors, spec.initials(), strict=True):
        if initial is not None:
            value = weights.tensor(tensor)
            value.copy_(initial(value * spec.hidden_size**0.5))
    return weights


def random_permutations(
    spec: RNNSpec, batch: int, generator: torch.Generator | None = None
) -> list[Tensor]:
    """Draw a permutation ``(batch, H)`` for every layer, uniformly, one for each RNN."""
    shape = (spec.num_layers, batch, spec.hidden_size)
    return [*torch.rand(shape, generator=generator).argsort(2)]
