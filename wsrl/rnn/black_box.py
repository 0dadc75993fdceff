"""Black boxes: RNNs that can only be asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from wsrl.rnn.interface import RNNInterface


class AskedRNN(Protocol):
    """What a black box needs: two methods of one RNN."""

    def start(self, sequences: int) -> Any:
        """Return the state before the first step of ``S`` sequences, whatever it is."""

    def run(self, inputs: Tensor, state: Any) -> tuple[Any, Any]:
        """Go on from a state on ``inputs (S, T, I)``.

        Returns:
            The outputs ``(S, T, O)``, a tensor or a NumPy array, before any softmax; and the state
            after the last step.
        """


@dataclass(frozen=True)
class BlackBox:
    """One RNN that is only asked: a module of any kind, a function of JAX or NumPy, a simulator.

    It stands where ``RNNWeights`` of one RNN do, for all that asks and does not read weights:
    ``wsrl.embed`` and ``wsrl.inspect_rnn`` with an encoder that probes, predictions by a frozen
    head. It is run without gradients, and no gradients flow through its outputs.

    Args:
        rnn: with ``start`` and ``run``, as ``AskedRNN`` has them.
        input_size: size ``I`` of an input vector.
        output_size: size ``O`` of an output vector.
        copies: how often this RNN is in the batch.

    Raises:
        TypeError: where the RNN lacks a method.

    >>> class Sum:
    ...     def start(self, sequences):
    ...         return np.zeros((sequences, 1))
    ...
    ...     def run(self, inputs, state):
    ...         outputs = state[:, None] + inputs.numpy().sum(2, keepdims=True).cumsum(1)
    ...         return outputs, outputs[:, -1]
    >>> box = BlackBox(Sum(), input_size=3, output_size=1)
    >>> outputs, state = box.run(torch.ones(1, 2, 4, 3))
    >>> outputs[0, 0, :, 0], box.run(torch.ones(1, 2, 1, 3), state)[0].flatten()
    (tensor([ 3.,  6.,  9., 12.]), tensor([15., 15.]))
    """

    rnn: AskedRNN
    input_size: int
    output_size: int
    copies: int = 1
    device: torch.device = field(default=torch.device("cpu"), init=False)
    dtype: torch.dtype = field(default=torch.float32, init=False)

    def __post_init__(self) -> None:
        for method in ("start", "run"):
            if not callable(getattr(self.rnn, method, None)):
                raise TypeError(
                    f"a BlackBox asks an RNN by start(sequences) and run(inputs, state); "
                    f"{type(self.rnn).__name__} has no {method}"
                )
        _ = self.interface  # which checks the sizes

    @property
    def interface(self) -> RNNInterface:
        """The sizes of inputs and outputs."""
        return RNNInterface(self.input_size, self.output_size)

    @property
    def specs(self) -> tuple[RNNInterface, ...]:
        """What is known of it: the sizes of inputs and outputs."""
        return (self.interface,)

    def __len__(self) -> int:
        return self.copies

    def __getitem__(self, rows: slice | Tensor) -> BlackBox:
        """Select by a slice, an index tensor or a mask: copies of it."""
        return replace(self, copies=len(torch.arange(self.copies)[rows]))

    def to(self, *args: Any, **kwargs: Any) -> BlackBox:
        """Return itself: it is given inputs on any device, and its outputs are moved there."""
        return self

    @classmethod
    def cat(cls, boxes: Sequence[BlackBox]) -> BlackBox:
        """Join copies of one RNN."""
        return replace(boxes[0], copies=sum(map(len, boxes)))

    @torch.no_grad()
    def run(self, inputs: Tensor, state: Any = None) -> tuple[Tensor, tuple[Any, ...]]:
        """Run on ``inputs (B, S, T, I)``, of which each copy has its own; as ``run_population``.

        Raises:
            ValueError: for outputs of another shape, that are no floating point numbers or not
                finite, and for a state that holds on to gradients.
        """
        sequences = inputs.detach().flatten(0, 1)
        before = self.rnn.start(len(sequences)) if state is None else state[0]
        found = self.rnn.run(sequences, before)
        if not isinstance(found, tuple) or len(found) != 2:
            raise ValueError(f"{self._name}: run must return (outputs, state), not {_kind(found)}")
        outputs, after = found
        if any(tensor.grad_fn is not None for tensor in _tensors(after)):
            raise ValueError(
                f"{self._name}: its state keeps gradients, which would grow from step to step; "
                "return it detached (state.detach())"
            )
        checked = self._check(outputs, (*sequences.shape[:2], self.output_size))
        return checked.to(inputs).unflatten(0, inputs.shape[:2]), (after,)

    def _check(self, outputs: Any, shape: tuple[int, ...]) -> Tensor:
        if not isinstance(outputs, Tensor):
            try:
                outputs = torch.tensor(np.asarray(outputs))
            except (TypeError, ValueError) as error:
                line = str(error).partition("\n")[0]
                raise ValueError(
                    f"{self._name}: outputs must be numbers (S, T, O) = {shape}: {line}"
                ) from error
        if outputs.shape != shape:
            raise ValueError(
                f"{self._name}: outputs must be (S, T, O) = {shape}, not {tuple(outputs.shape)}"
            )
        if not outputs.is_floating_point():
            raise ValueError(
                f"{self._name}: outputs must be floating point numbers, not {outputs.dtype}"
            )
        if not bool(outputs.isfinite().all()):
            raise ValueError(f"{self._name}: its outputs are not finite")
        kept: Tensor = outputs.detach()
        return kept

    @property
    def _name(self) -> str:
        return f"the black box {type(self.rnn).__name__}"


def _kind(value: object) -> str:
    return f"{len(value)} values" if isinstance(value, tuple) else type(value).__name__


def _tensors(state: object) -> Iterator[Tensor]:
    """Yield the tensors in a state, also in tuples, lists and dictionaries."""
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, Mapping):
        state = tuple(state.values())
    if isinstance(state, tuple | list):
        for part in state:
            yield from _tensors(part)
