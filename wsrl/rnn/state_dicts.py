"""State dicts of ``torch.nn`` modules as flat weights: the spec is found from names and shapes."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from wsrl.rnn.cells import HIDDEN, Cell, get_cell, list_cells
from wsrl.rnn.spec import MAX_LAYERS, RNNSpec
from wsrl.rnn.weights import RNNWeights

_SHARED_BYTES = 1 << 26
"""Bytes that the tensors of a state dict may claim beyond those that are stored."""


class OpenCellError(ValueError):
    """A state dict that is of one of several cells, and it was not said of which."""


def read_state_dict(state: Mapping[str, Tensor], cell: str | None = None) -> RNNWeights:
    """Read one RNN out of the state dict of a model; ``B = 1``.

    The model is a recurrent module, such as ``nn.LSTM``, and an ``nn.Linear`` on its outputs, each
    under any name: ``lstm.weight_ih_l0``, ``fc.weight``. Several cells may have the same tensors,
    as the ``nn.RNN`` with tanh, the one with ReLU, and the linear RNN: for these ``cell`` must be
    given.

    Args:
        state: tensors by name.
        cell: a registered cell; needed where several have such tensors.

    Returns:
        The weights ``(1, N)``, of the state dict's dtype.

    >>> model = torch.nn.ModuleDict({"core": torch.nn.RNN(3, 8), "out": torch.nn.Linear(8, 2)})
    >>> print(read_state_dict(model.state_dict(), cell="tanh").spec)
    tanh 1x8, 3 inputs, 2 outputs

    Raises:
        OpenCellError: where ``cell`` is needed and not given.
        ValueError: naming the keys, where they are not exactly those of one such model, need what
            a spec does not have (bidirectional, projections, biases in only one part), are not
            those of the cell given, or claim more numbers than are stored.
    """
    _check_stored(state)
    known = [get_cell(name) for name in list_cells()]
    said = known if cell is None else [get_cell(cell)]
    rnn, rest, layers = _recurrent_part(state, [*known, *said])
    readout = _readout(state, rest)
    bias = _has_biases(rnn, readout, layers, said)
    _check_names(rnn, [_names(cell, bias, layers) for cell in said])
    kind, inputs, hidden = _kind_of(state, rnn, bias, said, known)
    outputs = state[readout["weight"]].shape[0]
    spec = RNNSpec(str(kind), inputs, hidden, layers, outputs, bias)
    keys = {f"rnn.{part}": key for part, key in rnn.items()}
    keys |= {f"linear.{part}": key for part, key in readout.items()}
    _check_shapes(state, spec, keys)
    parts = [state[keys[tensor.name]].detach().reshape(-1) for tensor in spec.tensors]
    return RNNWeights(torch.cat(parts)[None], spec)


def weights_from_state_dict(state: Mapping[str, Tensor], cell: str | None = None) -> RNNWeights:
    """Read a state dict as ``read_state_dict`` does, but that of an ``nn.RNN`` as tanh.

    Warns where it takes a state dict for tanh without being told.

    Args:
        state: tensors by name.
        cell: a registered cell; one that is given is never replaced.

    Returns:
        The weights ``(1, N)``, of the state dict's dtype.

    Raises:
        ValueError: as ``read_state_dict``, but for a cell that is left open.

    >>> model = torch.nn.ModuleDict({"core": torch.nn.GRU(3, 8), "out": torch.nn.Linear(8, 2)})
    >>> print(weights_from_state_dict(model.state_dict()).spec)
    gru 1x8, 3 inputs, 2 outputs
    """
    try:
        return read_state_dict(state, cell)
    except OpenCellError as error:
        warnings.warn(f"taken for tanh: {error}", stacklevel=2)
        return read_state_dict(state, "tanh")


def _check_stored(state: Mapping[str, Tensor]) -> None:
    """Refuse tensors that share their numbers, or repeat them by a stride of 0, on a large scale.

    The flat vector holds every number once for each tensor: a small file could fill all memory.
    """
    dense = [v for v in state.values() if isinstance(v, Tensor) and v.layout == torch.strided]
    storages = {v.untyped_storage().data_ptr(): v.untyped_storage().nbytes() for v in dense}
    claimed = sum(value.numel() * value.element_size() for value in dense)
    if claimed > (stored := sum(storages.values())) + _SHARED_BYTES:
        raise ValueError(
            f"its tensors claim {claimed} bytes, but {stored} are stored: they overlap or repeat"
        )


def _recurrent_part(
    state: Mapping[str, Tensor], cells: Iterable[Cell]
) -> tuple[dict[str, str], list[str], int]:
    """Return recurrent keys by their last part (``weight_ih_l0``), all others, and the layers."""
    names = {tensor.name for cell in cells for tensor in cell.tensors(bias=True)} | {"weight_hr"}
    listed = "|".join(map(re.escape, sorted(names)))
    pattern = re.compile(
        rf"(?P<prefix>(?:.*\.)?)(?P<part>(?:{listed})_l(?P<layer>[0-9]+).*)", re.DOTALL
    )
    found: dict[str, dict[str, str]] = {}
    rest, layers = [], 0
    for key in state:
        match = pattern.fullmatch(key)
        if match is None:
            rest.append(key)
        else:
            found.setdefault(match["prefix"], {})[match["part"]] = key
            layer = match["layer"].lstrip("0")
            if len(layer) > len(str(MAX_LAYERS)) or int(layer or "0") >= MAX_LAYERS:
                raise ValueError(f"an RNN has at most {MAX_LAYERS} layers: {_list([key])}")
            layers = max(layers, int(layer or "0") + 1)
    if not found:
        raise ValueError(
            "no key is of an nn.LSTM or another cell (such as rnn.weight_ih_l0); there are "
            f"{_list(state)}"
        )
    if len(found) > 1:
        firsts = [next(iter(keys.values())) for keys in found.values()]
        raise ValueError(f"several recurrent modules: {_list(firsts)}; an RNN of a zoo has one")
    (rnn,) = found.values()
    for sign, meaning in (("_reverse", "bidirectional RNNs"), ("weight_hr", "LSTM projections")):
        if keys := [key for part, key in rnn.items() if sign in part]:
            raise ValueError(f"{meaning} are not supported: {_list(keys)}")
    return rnn, rest, layers


def _readout(state: Mapping[str, Tensor], rest: list[str]) -> dict[str, str]:
    """Return the readout's keys by ``weight`` and ``bias``; all keys but the RNN's are its."""
    matrices = [key for key in rest if key.rpartition(".")[2] == "weight" and state[key].ndim == 2]
    if not matrices:
        raise ValueError(f"no linear readout (such as linear.weight) among the keys {_list(rest)}")
    if len(matrices) > 1:
        raise ValueError(
            f"more than one key may be the readout's: {_list(matrices)}; an RNN of a zoo has one "
            "linear layer, which reads its outputs"
        )
    prefix = matrices[0].removesuffix("weight")
    readout = {"weight": matrices[0]}
    if prefix + "bias" in rest:
        readout["bias"] = prefix + "bias"
    if unknown := [key for key in rest if key not in readout.values()]:
        raise ValueError(f"unknown keys: {_list(unknown)}; expected an RNN and its linear readout")
    return readout


def _names(cell: Cell, bias: bool, layers: int) -> list[str]:
    """Return the last parts of the keys of a cell: ``weight_ih_l0``."""
    return [f"{t.name}_l{layer}" for layer in range(layers) for t in cell.tensors(bias)]


def _has_biases(
    rnn: Mapping[str, str], readout: Mapping[str, str], layers: int, cells: list[Cell]
) -> bool:
    biases: set[str] = set()
    for cell in cells:
        biases |= {*_names(cell, True, layers)} - {*_names(cell, False, layers)}
    inside = [key for part, key in rnn.items() if part in biases]
    if bool(inside) != ("bias" in readout):
        there = inside or [readout["bias"]]
        lacks = "the readout" if inside else "the recurrent part"
        raise ValueError(f"biases in all parts or in none: {_list(there)}, but none in {lacks}")
    return bool(inside)


def _check_names(rnn: Mapping[str, str], expected: list[list[str]]) -> None:
    """Make sure that the keys are those of a cell; a fault is told beside the nearest one."""
    nearest = min(expected, key=lambda names: len(rnn.keys() ^ set(names)))
    if unknown := [key for part, key in rnn.items() if part not in nearest]:
        raise ValueError(f"unknown keys: {_list(unknown)}")
    if missing := [part for part in nearest if part not in rnn]:
        raise ValueError(f"missing keys: {_list(missing)} beside {_list(rnn.values())}")


def _kind_of(
    state: Mapping[str, Tensor],
    rnn: Mapping[str, str],
    bias: bool,
    said: list[Cell],
    known: list[Cell],
) -> tuple[Cell, int, int]:
    """Return the one cell, of those that it may be, that has such tensors; and ``I`` and ``H``."""
    first = {part.removesuffix("_l0"): key for part, key in rnn.items() if part.endswith("_l0")}
    shapes = {name: tuple(state[key].shape) for name, key in first.items()}
    named = [cell for cell in {*said, *known} if {t.name for t in cell.tensors(bias)} == {*first}]
    sizes = {cell: found for cell in named if (found := cell.sizes(shapes, bias)) is not None}
    fitting = [cell for cell in said if cell in sizes]
    if len(fitting) == 1:
        return fitting[0], *sizes[fitting[0]]
    recurrent = [t.name for t in named[0].tensors(bias) if t.axes[1:] == (HIDDEN,)]
    shown = recurrent[0] if recurrent else next(iter(first))
    matrix = f"{_list([first[shown]])} is {' x '.join(map(str, shapes[shown]))}"
    choices = " or ".join(sorted(map(str, sizes)))
    if fitting:
        raise OpenCellError(
            f"{matrix}: a state dict does not tell tanh from ReLU, nor other cells with the same "
            f"tensors. Say which cell it is: --cell {choices} (cell=... in Python)"
        )
    if sizes:
        raise ValueError(f"{matrix}: the cell is {choices}, not '{said[0]}'")
    rows = sorted(f"{t.gates} ({cell})" for cell in named for t in cell.tensors(bias)[:1])
    raise ValueError(f"{matrix}: its rows must be {', '.join(rows)} times the neurons")


def _check_shapes(state: Mapping[str, Tensor], spec: RNNSpec, keys: Mapping[str, str]) -> None:
    wrong = [
        f"{_list([keys[tensor.name]])} is {tuple(state[keys[tensor.name]].shape)}, "
        f"not {tensor.shape}"
        for tensor in spec.tensors
        if tuple(state[keys[tensor.name]].shape) != tensor.shape
    ]
    if wrong:
        raise ValueError(f"shapes do not fit one RNN ({spec}): {'; '.join(wrong)}")
    if other := [key for key in keys.values() if not state[key].is_floating_point()]:
        raise ValueError(f"weights must be floating point numbers: {_list(other)}")


def _list(keys: Iterable[str]) -> str:
    """Return the first keys to read; a file may hold many, long ones, and any characters."""
    listed = list(keys)
    more = f" and {len(listed) - 8} more" if len(listed) > 8 else ""
    shown = [key if len(key) <= 80 else f"{key[:77]}..." for key in listed[:8]]
    shown = [key if key.isprintable() else ascii(key) for key in shown]
    return ", ".join(shown) + more if shown else "(none)"
