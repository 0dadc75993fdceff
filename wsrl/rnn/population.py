"""Run many RNNs at once, each with its own weights, in batched matrix products."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from wsrl.rnn.backends import Backend, choose_backend, kernels_of
from wsrl.rnn.cells import LayerState, Tensors, project
from wsrl.rnn.kernels import functions
from wsrl.rnn.spec import RNNSpec
from wsrl.rnn.weights import RNNWeights

State: TypeAlias = tuple[Tensor, ...]
"""A population's state, a tensor ``(L, B, S, H)`` for each part: ``(h, c)`` of LSTMs."""

CORES_PER_RNN = 4
"""A kernel runs an RNN on one core about as fast as PyTorch on this many."""


def run_population(
    weights: RNNWeights,
    inputs: Tensor,
    state: State | Tensor | None = None,
    backend: Backend = "auto",
) -> tuple[Tensor, State]:
    """Run ``B`` RNNs with ``B`` different weights, each on its own ``S`` sequences.

    The values, and the gradients to inputs, state and weights, are those of ``torch.nn``.

    Args:
        weights: the RNNs.
        inputs: ``(B, S, T, I)``.
        state: the state to start from, each tensor ``(L, B, S, H)``; by default the cell's own,
            which is zero unless it learns one.
        backend: ``eager`` (PyTorch), ``cpu`` (compiled kernels; float32 on the CPU), ``triton``
            (kernels for GPUs; float32, up to 64 neurons a layer), or ``auto``, the kernels where
            they can be had and are faster. A cell that a backend has no kernels for runs in
            PyTorch.

    Returns:
        The outputs ``(B, S, T, O)`` (the readout's values, not normalised) and the state after the
        last step.

    >>> spec = RNNSpec("gru", input_size=3, hidden_size=8, num_layers=1, output_size=2)
    >>> weights = RNNWeights(torch.randn(5, spec.num_parameters), spec)
    >>> outputs, state = run_population(weights, torch.randn(5, 4, 10, 3))
    >>> outputs.shape, state[0].shape
    (torch.Size([5, 4, 10, 2]), torch.Size([1, 5, 4, 8]))

    Raises:
        ValueError: for shapes that do not fit the spec, dtypes that differ, or a backend that
            cannot run this.
    """
    start = check_run(weights, inputs, state)
    chosen = choose_for_run(backend, weights, inputs, start)
    if chosen == "eager":
        return run_eagerly(weights, inputs, start)
    outputs, *last = functions.Run.apply(  # type: ignore[no-untyped-call]
        weights.flat, inputs, weights.spec, kernels_of(chosen), run_eagerly, *(start or ())
    )
    return outputs, tuple(last)


def choose_for_run(
    backend: Backend, weights: RNNWeights, inputs: Tensor, start: State | None
) -> str:
    """Return ``eager``, ``cpu`` or ``triton``; arguments and errors as of ``run_population``."""
    if backend == "auto" and inputs.is_cpu:
        # torch.compile cannot trace a count of threads, and takes PyTorch anyway.
        tracing = torch.compiler.is_compiling()
        if tracing or len(weights) * CORES_PER_RNN < torch.get_num_threads():
            backend = "eager"
    return choose_backend(backend, weights, inputs, *(start or ()))


class ReadyWeights(NamedTuple):
    """Weights as the products in PyTorch take them.

    Attributes:
        layers: of each layer, what ``Cell.prepare`` makes of its tensors.
        readout: ``(B, H, O)``.
        bias: of the readout, ``(B, O)``.
    """

    layers: list[Tensors]
    readout: Tensor
    bias: Tensor | None


def make_ready(weights: RNNWeights) -> ReadyWeights:
    """Do what depends on the weights alone; differentiable."""
    spec, tensors = weights.spec, weights.tensors()
    layers = [spec.kind.prepare(layer) for layer in weights.layers()]
    return ReadyWeights(layers, tensors["linear.weight"].mT, tensors.get("linear.bias"))


def run_eagerly(
    weights: RNNWeights, inputs: Tensor, state: State | None = None
) -> tuple[Tensor, State]:
    """Run in PyTorch: on every device, in every dtype. The kernels are tested against it."""
    start = start_state(weights, inputs) if state is None else state
    return run_ready(weights.spec, make_ready(weights), inputs, start)


def run_ready(
    spec: RNNSpec, ready: ReadyWeights, inputs: Tensor, start: State
) -> tuple[Tensor, State]:
    """Run in PyTorch, with weights that have been made ready."""
    hidden = inputs.permute(2, 0, 1, 3)  # (T, B, S, I)
    ends = []
    for layer, weights in enumerate(ready.layers):
        hidden, end = _run_layer(spec, weights, hidden, tuple(part[layer] for part in start))
        ends.append(end)
    outputs = project(hidden, ready.readout, ready.bias)
    final = tuple(torch.stack(parts) for parts in zip(*ends, strict=True))
    return outputs.permute(1, 2, 0, 3), final


def _run_layer(
    spec: RNNSpec, weights: Tensors, values: Tensor, state: LayerState
) -> tuple[Tensor, LayerState]:
    cell, outputs = spec.kind, []
    for driven in cell.drive(weights, values).unbind(0):
        state = cell.step(weights, driven, state)
        outputs.append(cell.read(weights, driven, state))
    return torch.stack(outputs), state


def read_state(weights: RNNWeights, inputs: Tensor, state: State) -> Tensor:
    """Return the outputs ``(B, S, O)`` of RNNs that ``inputs (B, S, I)`` have led to a state."""
    ready, cell, hidden = make_ready(weights), weights.spec.kind, inputs[None]
    for layer, own in enumerate(ready.layers):
        (driven,) = cell.drive(own, hidden)
        hidden = cell.read(own, driven, tuple(part[layer] for part in state))[None]
    return project(hidden, ready.readout, ready.bias)[0]


def check_run(weights: RNNWeights, inputs: Tensor, state: State | Tensor | None) -> State | None:
    """Check the arguments of ``run_population``; return the state as a tuple."""
    _check_inputs(weights, inputs)
    return None if state is None else _checked_state(weights, inputs, state)


def _check_inputs(weights: RNNWeights, inputs: Tensor) -> None:
    wanted = (len(weights), "S", "T", weights.spec.input_size)
    fits = inputs.ndim == 4 and inputs.shape[0] == wanted[0] and inputs.shape[3] == wanted[3]
    if not fits or 0 in inputs.shape[1:3]:
        raise ValueError(
            f"inputs must be (B, S, T, I) = ({wanted[0]}, S, T, {wanted[3]}) S, T >= 1, "
            f"not {tuple(inputs.shape)}"
        )
    _check_dtype("inputs", inputs, weights)


def _check_dtype(name: str, value: Tensor, weights: RNNWeights) -> None:
    if value.dtype == weights.flat.dtype or torch.is_autocast_enabled(value.device.type):
        return
    raise ValueError(
        f"{name} are {value.dtype}, the weights {weights.flat.dtype}: "
        "convert one of them (weights.to(dtype) or tensor.to(dtype))"
    )


def _state_shape(weights: RNNWeights, inputs: Tensor) -> tuple[int, ...]:
    return (weights.spec.num_layers, inputs.shape[0], inputs.shape[1], weights.spec.hidden_size)


def start_state(weights: RNNWeights, inputs: Tensor) -> State:
    """Return the state that RNNs start from unless told otherwise: the cell's, or zero."""
    shape, cell = _state_shape(weights, inputs), weights.spec.kind
    if not cell.start:
        return (inputs.new_zeros(shape),) * len(cell.state)
    layers = weights.layers()
    learned = (torch.stack([layer[name] for layer in layers]) for name in cell.start)
    return tuple(part[:, :, None].expand(shape) for part in learned)


def _checked_state(weights: RNNWeights, inputs: Tensor, state: State | Tensor) -> State:
    shape = _state_shape(weights, inputs)
    count = weights.spec.state_parts
    parts = (state,) if isinstance(state, Tensor) else tuple(state)
    if len(parts) != count or any(part.shape != shape for part in parts):
        raise ValueError(
            f"the state of {weights.spec} is {count} tensor(s) (L, B, S, H) = {shape}, "
            f"not {[tuple(part.shape) for part in parts]}"
        )
    for part in parts:
        _check_dtype("states", part, weights)
    return parts
