"""Run many RNNs at once, each with its own weights, in batched matrix products."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from wsrl.rnn.backends import Backend, choose_backend, kernels_of
from wsrl.rnn.kernels import functions
from wsrl.rnn.spec import RNNSpec
from wsrl.rnn.weights import RNNWeights

State: TypeAlias = tuple[Tensor, ...]
"""A population's hidden state: ``(h, c)`` of LSTMs, else ``(h,)``; each ``(L, B, S, H)``."""

CORES_PER_RNN = 4
"""A kernel runs an RNN on one core, about as fast as PyTorch on this many."""

Cell: TypeAlias = Callable[[Tensor, Tensor, Tensor | None, State], State]


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
        state: the state to start from, each tensor ``(L, B, S, H)``; zeros by default.
        backend: ``eager`` (PyTorch), ``cpu`` (compiled kernels; float32 on the CPU), ``triton``
            (kernels for GPUs; float32, up to 64 neurons a layer), or ``auto``, the kernels where
            they can be had and are faster.

    Returns:
        The outputs ``(B, S, T, O)`` (the readout's values, not normalised) and the state after the
        last step.

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


class TurnedWeights(NamedTuple):
    """Weights as the products in PyTorch take them.

    Attributes:
        layers: of each layer, input weights ``(B, in, gates * H)``, recurrent weights, and the
            biases of both, as far as they are there and not in the first.
        readout: ``(B, H, O)``.
        bias: of the readout.
    """

    layers: list[tuple[Tensor, Tensor, Tensor | None, Tensor | None]]
    readout: Tensor
    bias: Tensor | None


def turn(weights: RNNWeights) -> TurnedWeights:
    """Turn weights for ``run_turned``; differentiable."""
    tensors, spec = weights.tensors(), weights.spec
    layers = []
    for layer in range(spec.num_layers):
        b_ih, b_hh = (tensors.get(f"rnn.bias_{kind}_l{layer}") for kind in ("ih", "hh"))
        if spec.cell != "gru" and b_ih is not None and b_hh is not None:
            b_ih, b_hh = b_ih + b_hh, None  # added anyway: once for all steps, not in each
        w_ih, w_hh = (tensors[f"rnn.weight_{kind}_l{layer}"] for kind in ("ih", "hh"))
        layers.append((w_ih.transpose(1, 2), w_hh.transpose(1, 2), b_ih, b_hh))
    readout = tensors["linear.weight"].transpose(1, 2)
    return TurnedWeights(layers, readout, tensors.get("linear.bias"))


def run_eagerly(
    weights: RNNWeights, inputs: Tensor, state: State | None = None
) -> tuple[Tensor, State]:
    """Do the same in PyTorch: every device and dtype, and the truth for the kernels."""
    start = zero_state(weights, inputs) if state is None else state
    return run_turned(weights.spec, turn(weights), inputs, start)


def run_turned(
    spec: RNNSpec, turned: TurnedWeights, inputs: Tensor, start: State
) -> tuple[Tensor, State]:
    """Run in PyTorch, with weights that have been turned."""
    hidden = inputs.permute(2, 0, 1, 3)  # (T, B, S, I)
    ends = []
    for layer, (w_ih, w_hh, b_ih, b_hh) in enumerate(turned.layers):
        driven = _project(hidden, w_ih, b_ih)
        own = tuple(part[layer] for part in start)
        hidden, end = _run_layer(CELL_STEPS[spec.cell], driven, w_hh, b_hh, own)
        ends.append(end)
    outputs = _project(hidden, turned.readout, turned.bias)
    final = tuple(torch.stack(parts) for parts in zip(*ends, strict=True))
    return outputs.permute(1, 2, 0, 3), final


def _project(values: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
    """``values (T, B, S, in)`` times each RNN's ``matrix (B, in, out)``: ``(T, B, S, out)``."""
    steps, batch, sequences, size = values.shape
    rows = values.transpose(0, 1).reshape(batch, steps * sequences, size)
    result = torch.bmm(rows, matrix) if bias is None else torch.baddbmm(bias[:, None], rows, matrix)
    return result.view(batch, steps, sequences, matrix.shape[2]).transpose(0, 1)


def _run_layer(
    cell: Cell, driven: Tensor, w_hh: Tensor, b_hh: Tensor | None, state: State
) -> tuple[Tensor, State]:
    outputs = []
    for step in driven.unbind(0):
        state = cell(step, w_hh, b_hh, state)
        outputs.append(state[0])
    return torch.stack(outputs), state


def _lstm_step(driven: Tensor, w_hh: Tensor, b_hh: Tensor | None, state: State) -> State:
    hidden, memory = state
    gates = torch.baddbmm(driven, hidden, w_hh)
    i, f, g, o = gates.chunk(4, -1)
    memory = torch.sigmoid(f) * memory + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(memory), memory


def _gru_step(driven: Tensor, w_hh: Tensor, b_hh: Tensor | None, state: State) -> State:
    (hidden,) = state
    # The reset gate acts on the recurrent part with its bias, so that bias stays apart.
    recurrent = torch.bmm(hidden, w_hh)
    if b_hh is not None:
        recurrent = recurrent + b_hh[:, None]
    r_in, z_in, n_in = driven.chunk(3, -1)
    r_rec, z_rec, n_rec = recurrent.chunk(3, -1)
    reset, update = torch.sigmoid(r_in + r_rec), torch.sigmoid(z_in + z_rec)
    fresh = torch.tanh(n_in + reset * n_rec)
    return (fresh + update * (hidden - fresh),)


def _tanh_step(driven: Tensor, w_hh: Tensor, b_hh: Tensor | None, state: State) -> State:
    return (torch.tanh(torch.baddbmm(driven, state[0], w_hh)),)


def _linear_step(driven: Tensor, w_hh: Tensor, b_hh: Tensor | None, state: State) -> State:
    return (torch.baddbmm(driven, state[0], w_hh),)


CELL_STEPS: dict[str, Cell] = {
    "lstm": _lstm_step,
    "gru": _gru_step,
    "tanh": _tanh_step,
    "linear": _linear_step,
}


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


def zero_state(weights: RNNWeights, inputs: Tensor) -> State:
    """Return the state that RNNs start from unless told otherwise."""
    return (inputs.new_zeros(_state_shape(weights, inputs)),) * weights.spec.state_parts


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
