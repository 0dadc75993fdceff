"""The Triton kernels as functions of tensors, with the signatures of ``cpu``.

All tensors are contiguous float32 on one GPU (but ``targets``). The recurrence of a layer is one
launch for all RNNs and steps; the rest are products over all steps at once, in ``torch.bmm``, which
follow ``torch.set_float32_matmul_precision`` as those of the backend ``eager`` do. Nothing waits
for the GPU.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from wsrl.rnn.kernels import triton_cells, triton_training
from wsrl.rnn.kernels.cpu import empty_state, pair
from wsrl.rnn.spec import RNNSpec
from wsrl.rnn.weights import RNNWeights

INTERPRETED = not isinstance(triton_training.adamw, triton.JITFunction)
"""Whether Triton interprets its kernels (``TRITON_INTERPRET=1``): on the CPU, for tests."""

RELEASE: str = triton.__version__
BROKEN_RELEASES = ("3.9.0",)
"""Of Triton: its compiler ends the process on ``lstm_forward`` (an assertion of LLVM's)."""

# Sequences of a program: the least that a product takes, and the most that fits registers.
ROWS = 16
# How much of an RNN's logits, and of its weights, a program works on at once.
LOSS_ROWS, ADAMW_SIZE = 64, 1024


class CellKernels(NamedTuple):
    """What is to be known of a cell: the kernels of a layer, their options, and of their gates."""

    forward: Any
    backward: Any
    blocks: int  # of ``H`` in a row of gates; the first belong to the inputs' weights, in order
    recurrent: tuple[tuple[int, int, int], ...]  # blocks from, to, of weights from which gate on
    options: Mapping[str, str] = {}


_ELMAN = (triton_cells.elman_forward, triton_cells.elman_backward, 1, ((0, 1, 0),))

KERNELS: Mapping[str, Any] = {
    "lstm": CellKernels(triton_cells.lstm_forward, triton_cells.lstm_backward, 4, ((0, 4, 0),)),
    "gru": CellKernels(
        triton_cells.gru_forward, triton_cells.gru_backward, 4, ((0, 2, 0), (3, 4, 2))
    ),
    "tanh": CellKernels(*_ELMAN, {"ACTIVATION": "tanh"}),
    "relu": CellKernels(*_ELMAN, {"ACTIVATION": "relu"}),
}
"""By the names of the cells."""


class _Tape(NamedTuple):
    """What the forward pass of a layer leaves for the backward pass."""

    gates: Tensor  # (P, S, T, blocks * H)
    hidden: Tensor  # (P, S, T, H); of an Elman RNN, the gates themselves
    memory: Tensor | None  # (P, S, T, H), of LSTMs
    first: Tensor  # (1 or 2, P, S, H), the state before the first step


def cross_entropy(
    spec: RNNSpec, flat: Tensor, inputs: Tensor, targets: Tensor, weights: Tensor, gradient: bool
) -> tuple[Tensor, Tensor | None]:
    """Return the losses ``(P,)`` of ``population_cross_entropy`` and their gradient ``(P, N)``."""
    population, sequences, steps, _ = inputs.shape
    logits, _, saved = run(spec, flat, inputs, None, gradient)
    losses = flat.new_empty(population)
    size = triton.next_power_of_2(spec.output_size)
    fixed = {"CLASSES": spec.output_size, "WITH_GRADIENT": gradient, "SIZE": size}
    with torch.cuda.device_of(flat):
        triton_training.cross_entropy[(population,)](
            logits, targets, weights, losses, sequences, steps, **fixed, ROWS=LOSS_ROWS
        )
    if saved is None:
        return losses, None
    result = torch.empty_like(flat)
    run_backward(spec, flat, inputs, saved, (logits,), (result, None))
    return losses, result


def run(
    spec: RNNSpec,
    flat: Tensor,
    inputs: Tensor,
    state: tuple[Tensor, ...] | None,
    save: bool,
) -> tuple[Tensor, tuple[Tensor, ...], Tensor | None]:
    """Run a population, as ``cpu.run``."""
    weights, cell = RNNWeights(flat, spec).tensors(), KERNELS[spec.cell]
    shape = inputs.shape[:3]
    size = _tape_size(spec, shape)
    saved = flat.new_empty(spec.num_layers, size) if save else None
    last = empty_state(spec, inputs)
    below = inputs
    for layer in range(spec.num_layers):
        room = flat.new_empty(size) if saved is None else saved[layer]
        tape = _tape(spec, shape, room)
        driven = _rows(tape.gates)[:, :, : spec.gates * spec.hidden_size]
        w_ih = weights[f"rnn.weight_ih_l{layer}"]
        torch.bmm(_rows(below), w_ih.transpose(1, 2), out=driven)
        biases = (_offset(spec, f"rnn.bias_{kind}_l{layer}") for kind in ("ih", "hh"))
        where = (spec.num_parameters, _offset(spec, f"rnn.weight_hh_l{layer}"), *biases)
        for part, whole in enumerate(state or ()):
            tape.first[part] = whole[layer]
        if state is None:
            tape.first.zero_()
        data = (tape.gates, tape.hidden, tape.memory, *pair(tape.first))
        options: dict[str, bool | str] = {"HAS_BIAS": spec.bias, **cell.options}
        _launch(cell.forward, spec, shape, flat, *where, *data, **options)
        last[0][layer] = tape.hidden[:, :, -1]
        if tape.memory is not None:
            last[1][layer] = tape.memory[:, :, -1]
        below = tape.hidden
    outputs = torch.bmm(_rows(below), weights["linear.weight"].transpose(1, 2))
    if spec.bias:
        outputs += weights["linear.bias"][:, None]
    return outputs.view(*shape, spec.output_size), last, saved


def run_backward(
    spec: RNNSpec,
    flat: Tensor,
    inputs: Tensor,
    saved: Tensor,
    given: tuple[Tensor | None, ...],
    wanted: tuple[Tensor | None, ...],
) -> None:
    """Write gradients of ``run``, as ``cpu.run_backward``."""
    (d_outputs, *d_last), (d_flat, d_inputs, *d_first) = given, wanted
    weights, cell, shape = RNNWeights(flat, spec).tensors(), KERNELS[spec.cell], inputs.shape[:3]
    gradients = None if d_flat is None else RNNWeights(d_flat, spec).tensors()
    tapes = [_tape(spec, shape, room) for room in saved]
    if gradients is not None and d_outputs is not None:
        names, read = ("linear.weight", "linear.bias"), tapes[-1].hidden
        _product_gradients(*names, _rows(d_outputs), read, gradients)
    elif gradients is not None:
        for name in {"linear.weight", "linear.bias"} & gradients.keys():
            gradients[name].zero_()
    above = None if d_outputs is None else torch.bmm(_rows(d_outputs), weights["linear.weight"])
    for layer in reversed(range(spec.num_layers)):
        tape = tapes[layer]
        d_gates = torch.empty_like(tape.gates)
        where = (spec.num_parameters, _offset(spec, f"rnn.weight_hh_l{layer}"))
        known = (tape.gates, tape.hidden, tape.memory, *pair(tape.first))
        d_end, d_start = (
            pair(None if part is None else part[layer] for part in d_state)
            for d_state in (d_last, d_first)
        )
        data = (*known, above, *d_end, d_gates, *d_start)
        _launch(cell.backward, spec, shape, flat, *where, *data, **cell.options)
        d_driven = _rows(d_gates)[:, :, : spec.gates * spec.hidden_size]
        if gradients is not None:
            below = tapes[layer - 1].hidden if layer else inputs
            names = (f"rnn.weight_ih_l{layer}", f"rnn.bias_ih_l{layer}")
            _product_gradients(*names, d_driven, below, gradients)
            _recurrent_gradients(spec, layer, d_gates, tape, gradients)
        w_ih = weights[f"rnn.weight_ih_l{layer}"]
        if layer:
            above = torch.bmm(d_driven, w_ih)
        elif d_inputs is not None:
            torch.bmm(d_driven, w_ih, out=_rows(d_inputs))


def adamw(
    flat: Tensor,
    mean: Tensor,
    square: Tensor,
    gradient: Tensor,
    kept: Tensor,
    numbers: tuple[float, float, float, float, float],
) -> None:
    """Update ``flat``, ``mean`` and ``square (P, N)`` in place, as ``cpu.adamw``."""
    programs = len(flat) * triton.cdiv(flat.shape[1], ADAMW_SIZE)
    with torch.cuda.device_of(flat):
        triton_training.adamw[(programs,)](
            flat, mean, square, gradient, kept, flat.shape[1], *numbers, SIZE=ADAMW_SIZE
        )


def _launch(
    kernel: Any,
    spec: RNNSpec,
    shape: torch.Size,
    *data: Tensor | int | None,
    **fixed: bool | str,
) -> None:
    """Run a layer's kernel, a program for every ``ROWS`` sequences of an RNN."""
    population, sequences, steps = shape
    size = max(16, triton.next_power_of_2(spec.hidden_size))
    sizes = {"H": spec.hidden_size, "SIZE": size, "ROWS": ROWS}
    programs = population * triton.cdiv(sequences, ROWS)
    # 64 neurons on 4 warps would not fit their registers.
    launched = {"num_warps": 4 if size <= 32 else 8}
    with torch.cuda.device_of(data[0]):
        kernel[(programs,)](*data, sequences, steps, **fixed, **sizes, **launched)


def _product_gradients(
    name: str, bias: str, d_values: Tensor, read: Tensor, gradients: dict[str, Tensor]
) -> None:
    """Write the gradients of a matrix and its bias; ``d_values (P, S * T, size)``."""
    torch.bmm(d_values.transpose(1, 2), _rows(read), out=gradients[name])
    if bias in gradients:
        torch.sum(d_values, 1, out=gradients[bias])


def _recurrent_gradients(
    spec: RNNSpec, layer: int, d_gates: Tensor, tape: _Tape, gradients: dict[str, Tensor]
) -> None:
    size = spec.hidden_size
    before = torch.cat([tape.first[0][:, :, None], tape.hidden[:, :, :-1]], 2)
    for first, last, gate in KERNELS[spec.cell].recurrent:
        part = _rows(d_gates)[:, :, first * size : last * size]
        rows = slice(gate * size, (gate + last - first) * size)
        weight = gradients[f"rnn.weight_hh_l{layer}"][:, rows]
        torch.bmm(part.transpose(1, 2), _rows(before), out=weight)
        if spec.bias:
            torch.sum(part, 1, out=gradients[f"rnn.bias_hh_l{layer}"][:, rows])


def _tape_size(spec: RNNSpec, shape: torch.Size) -> int:
    blocks: int = KERNELS[spec.cell].blocks
    apart = 0 if blocks == 1 else spec.state_parts
    numbers = shape[2] * (blocks + apart) + spec.state_parts
    return shape[:2].numel() * spec.hidden_size * numbers


def _tape(spec: RNNSpec, shape: torch.Size, room: Tensor) -> _Tape:
    """Divide a layer's room."""
    blocks, states, size = KERNELS[spec.cell].blocks, spec.state_parts, spec.hidden_size
    width = blocks * size
    first, room = room.tensor_split([states * shape[:2].numel() * size])
    gates, room = room.tensor_split([shape.numel() * width])
    first, gates = first.view(states, *shape[:2], size), gates.view(*shape, width)
    if blocks == 1:
        return _Tape(gates, gates, None, first)
    apart = room.view(states, *shape, size)
    return _Tape(gates, apart[0], apart[1] if states == 2 else None, first)


def _rows(values: Tensor) -> Tensor:
    """View ``(P, S, T, size)`` as ``(P, S * T, size)``."""
    return values.flatten(1, 2)


def _offset(spec: RNNSpec, name: str) -> int:
    """Return where a tensor starts in the flat vector; 0 where there is none."""
    return {tensor.name: tensor.offset for tensor in spec.tensors}.get(name, 0)
