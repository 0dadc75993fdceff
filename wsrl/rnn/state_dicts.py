"""State dicts of ``torch.nn`` modules as flat weights: the spec is found from names and shapes."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from wsrl.rnn.spec import CELLS, MAX_LAYERS, RNNSpec
from wsrl.rnn.weights import RNNWeights

_RECURRENT = re.compile(
    r"(?P<prefix>(?:.*\.)?)(?P<part>(?:weight|bias)_(?:ih|hh|hr)_l(?P<layer>[0-9]+).*)", re.DOTALL
)

_SHARED_BYTES = 1 << 26
"""Bytes that the tensors of a state dict may claim beyond those that are stored."""


class OpenCellError(ValueError):
    """A state dict that is of one of several cells, and it was not said of which."""


def weights_from_state_dict(state: Mapping[str, Tensor], cell: str | None = None) -> RNNWeights:
    """Do what ``read_state_dict`` does, but take an ``nn.RNN`` for one with tanh, with a warning.

    Args:
        state: as there.
        cell: as there.

    Raises:
        ValueError: as there, but for a cell that is left open.
    """
    try:
        return read_state_dict(state, cell)
    except OpenCellError as error:
        warnings.warn(f"taken for tanh: {error}", stacklevel=2)
        return read_state_dict(state, "tanh")


def read_state_dict(state: Mapping[str, Tensor], cell: str | None = None) -> RNNWeights:
    """Read one RNN out of the state dict of a model; ``B = 1``.

    The model is an ``nn.LSTM``, ``nn.GRU`` or ``nn.RNN`` and an ``nn.Linear`` on its outputs, each
    under any name: ``lstm.weight_ih_l0``, ``fc.weight``. A state dict does not tell an ``nn.RNN``
    with tanh from one with ReLU, or from a linear RNN: for these ``cell`` must be given.

    Args:
        state: tensors by name.
        cell: one of ``CELLS``; needed where several have as many gates.

    Returns:
        The weights ``(1, N)``, of the state dict's dtype.

    Raises:
        OpenCellError: where ``cell`` is needed and not given.
        ValueError: naming the keys, where they are not exactly those of one such model, need what
            a spec does not have (bidirectional, projections, biases in only one part), are not
            those of the cell given, or claim more numbers than are stored.
    """
    _check_stored(state)
    rnn, rest = _recurrent_part(state)
    readout = _readout(state, rest)
    bias = _has_biases(rnn, readout)
    spec = _spec_of(state, rnn, readout["weight"], bias, cell)
    keys = {f"rnn.{part}": key for part, key in rnn.items()}
    keys |= {f"linear.{part}": key for part, key in readout.items()}
    _check_shapes(state, spec, keys)
    parts = [state[keys[tensor.name]].detach().reshape(-1) for tensor in spec.tensors]
    return RNNWeights(torch.cat(parts)[None], spec)


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


def _recurrent_part(state: Mapping[str, Tensor]) -> tuple[dict[str, str], list[str]]:
    """Return the recurrent keys by their last part, ``weight_ih_l0``, and all other keys."""
    found: dict[str, dict[str, str]] = {}
    rest = []
    for key in state:
        match = _RECURRENT.fullmatch(key)
        if match is None:
            rest.append(key)
        else:
            found.setdefault(match["prefix"], {})[match["part"]] = key
            layer = match["layer"].lstrip("0")
            if len(layer) > len(str(MAX_LAYERS)) or int(layer or "0") >= MAX_LAYERS:
                raise ValueError(f"an RNN has at most {MAX_LAYERS} layers: {_list([key])}")
    if not found:
        raise ValueError(
            "no key is of an nn.LSTM, nn.GRU or nn.RNN (such as rnn.weight_ih_l0); there are "
            f"{_list(state)}"
        )
    if len(found) > 1:
        firsts = [next(iter(keys.values())) for keys in found.values()]
        raise ValueError(f"several recurrent modules: {_list(firsts)}; an RNN of a zoo has one")
    (rnn,) = found.values()
    for sign, meaning in (("_reverse", "bidirectional RNNs"), ("weight_hr", "LSTM projections")):
        if keys := [key for part, key in rnn.items() if sign in part]:
            raise ValueError(f"{meaning} are not supported: {_list(keys)}")
    return rnn, rest


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


def _has_biases(rnn: Mapping[str, str], readout: Mapping[str, str]) -> bool:
    inside = [key for part, key in rnn.items() if part.startswith("bias")]
    if bool(inside) != ("bias" in readout):
        there = inside or [readout["bias"]]
        lacks = "the readout" if inside else "the recurrent part"
        raise ValueError(f"biases in all parts or in none: {_list(there)}, but none in {lacks}")
    return bool(inside)


def _spec_of(
    state: Mapping[str, Tensor],
    rnn: Mapping[str, str],
    readout: str,
    bias: bool,
    cell: str | None,
) -> RNNSpec:
    """Find the spec whose names are those of the keys."""
    layers = 1 + max(int(_RECURRENT.fullmatch(part)["layer"]) for part in rnn)  # type: ignore[index]
    names = [f"weight_{side}" for side in ("ih", "hh")]
    names += [f"bias_{side}" for side in ("ih", "hh")] if bias else []
    expected = [f"{name}_l{layer}" for layer in range(layers) for name in names]
    known = set(expected)
    if unknown := [key for part, key in rnn.items() if part not in known]:
        raise ValueError(f"unknown keys: {_list(unknown)}")
    if missing := [part for part in expected if part not in rnn]:
        raise ValueError(f"missing keys: {_list(missing)} beside {_list(rnn.values())}")
    for key in (rnn["weight_ih_l0"], rnn["weight_hh_l0"]):
        if state[key].ndim != 2 or 0 in state[key].shape:
            raise ValueError(f"{_list([key])} must be a matrix, not {tuple(state[key].shape)}")
    rows, hidden = state[rnn["weight_hh_l0"]].shape
    cell = _cell_of(f"{_list([rnn['weight_hh_l0']])} is {rows} x {hidden}", rows / hidden, cell)
    inputs = state[rnn["weight_ih_l0"]].shape[1]
    return RNNSpec(cell, inputs, hidden, layers, state[readout].shape[0], bias)


def _cell_of(matrix: str, gates: float, cell: str | None) -> str:
    """Return the cell with so many gates: the one that is said where there are several."""
    cells = [name for name, count in CELLS.items() if count == gates]
    if not cells:
        raise ValueError(
            f"{matrix}: its rows must be 4 (LSTM), 3 (GRU) or 1 (RNN) times its columns"
        )
    if cell is not None and cell not in cells:
        relu = "; ReLU is not supported" if "tanh" in cells else ""
        raise ValueError(f"{matrix}: the cell is {' or '.join(cells)}, not {cell!r}{relu}")
    if cell is None and len(cells) > 1:
        raise OpenCellError(
            f"{matrix}, of an nn.RNN: a state dict does not tell tanh from ReLU, which is not "
            f"supported. Say which cell it is: --cell {' or '.join(cells)} (cell=... in Python)"
        )
    return cell or cells[0]


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
