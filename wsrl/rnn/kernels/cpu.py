"""The compiled kernels as functions of tensors; without gradients, see ``functions`` for these.

All tensors are contiguous float32 on the CPU (but ``targets``). RNNs are distributed over as many
threads as PyTorch uses. Results depend neither on the threads nor on the other RNNs.
"""

import ctypes
from collections.abc import Iterable, Mapping
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from wsrl.rnn.kernels.compilation import CELLS, library
from wsrl.rnn.spec import RNNSpec, layer_name

KERNELS: Mapping[str, Any] = CELLS
"""What the kernels know of each cell."""

LEAST_ELEMENTS = 1 << 14  # with fewer, one thread is done before others have started


class _Spec(ctypes.Structure):  # of network.h
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("inputs", "hidden", "layers", "outputs")),
        ("parameters", ctypes.c_int64),
        ("offsets", ctypes.POINTER(ctypes.c_int64)),
    )


# By the names that cells give them.
_OF_A_LAYER = (("weight_ih",), ("weight_hh",), ("bias_ih", "bias"), ("bias_hh",), ("alpha",))


@cache
def _described(spec: RNNSpec) -> _Spec:
    offsets = {tensor.name: tensor.offset for tensor in spec.tensors}
    values = [
        max(offsets.get(layer_name(name, layer), -1) for name in names)
        for layer in range(spec.num_layers)
        for names in _OF_A_LAYER
    ]
    values += [offsets.get(name, -1) for name in ("linear.weight", "linear.bias")]
    sizes = (spec.input_size, spec.hidden_size, spec.num_layers, spec.output_size)
    array = (ctypes.c_int64 * len(values))(*values)
    return _Spec(*sizes, spec.num_parameters, array)


def _call(where: str, name: str, *arguments: _Spec | Tensor | int | float | None) -> int:
    """Call a function of a library; ``None`` is a null pointer."""
    function = _function(where, name)
    if function.argtypes is None:  # the same kinds in every call
        function.argtypes = [_kind(argument) for argument in arguments]
    values = [a.data_ptr() if isinstance(a, Tensor) else a for a in arguments]
    result: int = function(*values)
    return result


@cache
def _function(where: str, name: str) -> Any:
    kernels = library(where)
    if isinstance(kernels, Exception):
        raise kernels
    function = getattr(kernels, name)
    function.restype = ctypes.c_long
    return function


def _kind(value: _Spec | Tensor | int | float | None) -> Any:
    if isinstance(value, _Spec):
        return ctypes.POINTER(_Spec)
    if isinstance(value, float):
        return ctypes.c_float
    return ctypes.c_long if isinstance(value, int) else ctypes.c_void_p


def threads_for(rnns: int) -> int:
    """Return how many threads work on a population: PyTorch's, but no more than RNNs."""
    return max(1, min(torch.get_num_threads(), rnns))


def cross_entropy(
    spec: RNNSpec, flat: Tensor, inputs: Tensor, targets: Tensor, weights: Tensor, gradient: bool
) -> tuple[Tensor, Tensor | None]:
    """Return the losses ``(P,)`` of ``population_cross_entropy`` and their gradient ``(P, N)``.

    Both come from one pass over each RNN: forward, loss and backward while it is in the cache.
    """
    population, sequences, steps, _ = inputs.shape
    losses = flat.new_empty(population)
    result = torch.empty_like(flat) if gradient else None
    shape = (population, sequences, steps, threads_for(population))
    data = (flat, inputs, targets, weights, losses, result)
    _call(spec.cell, "wsrl_cross_entropy", _described(spec), *shape, *data)
    return losses, result


@cache
def _saved_size(spec: RNNSpec, steps: int) -> int:
    return _call(spec.cell, "wsrl_saved_size", _described(spec), steps)


def run(
    spec: RNNSpec,
    flat: Tensor,
    inputs: Tensor,
    state: tuple[Tensor, ...] | None,
    save: bool,
    packed: Tensor | None = None,
) -> tuple[Tensor, tuple[Tensor, ...], Tensor | None]:
    """Run a population, as ``run_population``; faster with weights as of ``Packed``.

    Returns the outputs, the last state and, where asked to ``save``, what ``run_backward`` needs.
    """
    population, sequences, steps, _ = inputs.shape
    outputs = flat.new_empty(population, sequences, steps, spec.output_size)
    last = empty_state(spec, inputs)
    size = _saved_size(spec, steps) if save else 0
    saved = flat.new_empty(population * sequences * size) if save else None
    shape = (population, sequences, steps, threads_for(population))
    data = (flat, packed, inputs, *pair(state), outputs, *pair(last), saved)
    _call(spec.cell, "wsrl_run", _described(spec), *shape, *data)
    return outputs, last, saved


def run_backward(
    spec: RNNSpec,
    flat: Tensor,
    inputs: Tensor,
    saved: Tensor,
    given: tuple[Tensor | None, ...],
    wanted: tuple[Tensor | None, ...],
    packed: Tensor | None = None,
) -> None:
    """Write gradients of ``run`` to those of ``wanted`` that are there.

    ``given`` are those of the outputs and of the last state, ``wanted`` are of ``flat``, of
    ``inputs`` and, if wanted, of the first state.
    """
    population, sequences, steps, _ = inputs.shape
    shape = (population, sequences, steps, threads_for(population))
    data = (flat, packed, inputs, saved, given[0], *pair(given[1:]))
    results = (*wanted[:2], *pair(wanted[2:]))
    _call(spec.cell, "wsrl_run_backward", _described(spec), *shape, *data, *results)


class Packed:
    """``run`` and ``run_backward`` of RNNs whose weights are brought into their form once."""

    def __init__(self, spec: RNNSpec, flat: Tensor) -> None:
        packed = flat.new_empty(len(flat), _call(spec.cell, "wsrl_packed_size", _described(spec)))
        shape = (len(flat), threads_for(len(flat)))
        _call(spec.cell, "wsrl_pack", _described(spec), *shape, flat, packed)
        self.run = partial(run, packed=packed)
        self.run_backward = partial(run_backward, packed=packed)


def adamw(
    flat: Tensor,
    mean: Tensor,
    square: Tensor,
    gradient: Tensor,
    kept: Tensor,
    numbers: tuple[float, float, float, float, float],
) -> None:
    """Update ``flat``, ``mean`` and ``square (P, N)`` in place.

    ``kept (P,)`` is the factor that weight decay leaves of each member's weights. ``numbers`` are
    both betas, epsilon, the learning rate with its correction for the first steps, and the
    correction that ``square`` is divided by.
    """
    shape = (*flat.shape, threads_for(len(flat)))
    _call("elementwise", "wsrl_adamw", *shape, flat, mean, square, gradient, kept, *numbers)


def look_up(images: Tensor, rows: Tensor, sources: Tensor, table: Tensor, lead: int) -> Tensor:
    """Gather pixels ``sources (P, J)`` int32 of images ``rows (P, S)`` int64, -1 reading a 0.

    Returns values of ``table (256,)`` for bytes ``images (N, J)``: ``(P, S, lead + J)``, the first
    ``lead`` being 0; the same bits as by PyTorch.
    """
    (members, count), size = rows.shape, images.shape[1]
    if images.dtype != torch.uint8 or sources.shape != (members, size):
        raise ValueError(f"sources {tuple(sources.shape)} of images of {size} {images.dtype}")
    out = table.new_empty(members, count, lead + size)
    shape = (members, count, size, lead, threads_for(members))
    _call("elementwise", "wsrl_look_up", *shape, images, rows, sources, table, out)
    return out


def statistics(spec: RNNSpec, flat: Tensor) -> Tensor:
    """Return ``(B, K, 7)``, the statistics of each of the ``K`` tensors; see ``rnn.statistics``."""
    result = flat.new_empty(len(flat), len(spec.tensors), 7)
    threads = min(_threads_for_elements(flat.numel()), len(flat))
    shape = (*flat.shape, len(spec.tensors), threads)
    offsets = torch.tensor([tensor.offset for tensor in spec.tensors])
    sizes = torch.tensor([tensor.numel for tensor in spec.tensors])
    _call("statistics", "wsrl_statistics", *shape, offsets, sizes, flat, result)
    return result


def lstm_cell(driven: Tensor, gates: Tensor, c: Tensor, out: tuple[Tensor, Tensor, Tensor]) -> None:
    """Do the element-wise part of one step of an LSTM layer of any width.

    ``driven`` and ``gates (R, 4H)`` are the input's and the recurrent part of the pre-activations
    i, f, g, o; the activations are written to ``gates``. Of ``driven`` only the rows must be
    contiguous. ``c (R, H)`` is of the step before; ``h``, ``c`` and ``tanh(c)`` go to ``out``.
    """
    shape = (*c.shape, _threads_for_elements(c.numel()))
    _call("lstm_cell", "wsrl_lstm_cell", *shape, driven, driven.stride(0), gates, c, *out)


def lstm_cell_backward(
    activations: Tensor, c: Tensor, tanh_c: Tensor, d_h: Tensor, d_c: Tensor, out: Tensor
) -> None:
    """Write the gradients of ``lstm_cell`` to the pre-activations, ``out``, and to ``c``: ``d_c``.

    ``activations`` are what ``gates`` became, ``c`` is of the step before, ``tanh_c`` of this one;
    ``d_h`` and ``d_c`` are the gradients of this step's ``h`` and ``c``.
    """
    shape = (*c.shape, _threads_for_elements(c.numel()))
    data = (activations, c, tanh_c, d_h, d_c, out, d_c)
    _call("lstm_cell", "wsrl_lstm_cell_backward", *shape, *data)


def map_matrices(
    x: Tensor, weight: Tensor, of_rows: Tensor, of_columns: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``relu(x @ weight.T + of_rows + of_columns)`` and its means along rows and columns.

    Entries of matrices are vectors of channels, ``x (B, n, m, I)`` and ``weight (O, I)``. Shapes of
    means are those of what is added: ``of_rows (B, n, O)`` and ``of_columns (B, m, O)``.
    """
    y = x.new_empty(*x.shape[:3], len(weight))
    means = torch.empty_like(of_rows), torch.empty_like(of_columns)
    data = (x, weight, of_rows, of_columns, y, *means)
    shape = (*x.shape, len(weight), threads_for(len(x)))
    _call("matrices", "wsrl_map_matrices", *shape, *data)
    return y, *means


def map_matrices_backward(
    saved: tuple[Tensor, Tensor, Tensor],
    d_y: Tensor | None,
    d_row_means: Tensor,
    d_column_means: Tensor,
    d_x: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return gradients of ``map_matrices`` to all but ``x``, which is written to ``d_x``.

    ``saved`` are ``x``, ``weight`` and the result ``y``.
    """
    x, weight, _ = saved
    d_turned = x.new_empty(len(x), *reversed(weight.shape))
    added = torch.empty_like(d_row_means), torch.empty_like(d_column_means)
    shape = (*x.shape, len(weight), threads_for(len(x)))
    data = (*saved, d_y, d_row_means, d_column_means, d_x, d_turned, *added)
    _call("matrices", "wsrl_map_matrices_backward", *shape, *data)
    return d_turned.sum(0).t(), *added


def _threads_for_elements(count: int) -> int:
    """Return PyTorch's threads where there is work enough to be worth waking them."""
    return torch.get_num_threads() if count >= LEAST_ELEMENTS else 1


def empty_state(spec: RNNSpec, inputs: Tensor) -> tuple[Tensor, ...]:
    """Return room for a state, ``(L, P, S, H)`` each."""
    shape = (spec.num_layers, *inputs.shape[:2], spec.hidden_size)
    return tuple(inputs.new_empty(shape) for _ in range(spec.state_parts))


def pair(state: Iterable[Tensor | None] | None) -> tuple[Tensor | None, Tensor | None]:
    """Return ``h`` and ``c``, ``None`` where there is none."""
    h, c = (*(() if state is None else state), None, None)[:2]
    return h, c
