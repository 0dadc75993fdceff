"""State dicts of ``torch.nn`` modules as flat weights: the spec is found from names and shapes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from wsrl.rnn.spec import CELLS, RNNSpec
from wsrl.rnn.weights import RNNWeights

_RECURRENT = re.compile(r"(?P<prefix>(?:.*\.)?)(?P<part>(?:weight|bias)_(?:ih|hh|hr)_l\d+.*)")


def weights_from_state_dict(state: Mapping[str, Tensor], cell: str | None = None) -> RNNWeights:
    """Read one RNN out of the state dict of a model; ``B = 1``.

    The model is an ``nn.LSTM``, ``nn.GRU`` or ``nn.RNN`` and an ``nn.Linear`` on its outputs, each
    under any name: ``lstm.weight_ih_l0``, ``fc.weight``. A state dict does not tell an ``nn.RNN``
    with ReLU, or a linear RNN, from one with tanh: it is taken to be tanh unless ``cell`` is given.

    Args:
        state: tensors by name.
        cell: one of ``CELLS``, where it is known; by default the first with as many gates.

    Returns:
        The weights ``(1, N)``, of the state dict's dtype.

    Raises:
        ValueError: naming the keys, where they are not exactly those of one such model, or need
            what a spec does not have (bidirectional, projections, biases in only one part), or are
            not those of the cell given.
    """
    rnn, rest = _recurrent_part(state)
    readout = _readout(state, rest)
    bias = _has_biases(rnn, readout)
    spec = _spec_of(state, rnn, readout["weight"], bias, cell)
    keys = {f"rnn.{part}": key for part, key in rnn.items()}
    keys |= {f"linear.{part}": key for part, key in readout.items()}
    _check_shapes(state, spec, keys)
    parts = [state[keys[tensor.name]].detach().reshape(-1) for tensor in spec.tensors]
    return RNNWeights(torch.cat(parts)[None], spec)


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
    layers = 1 + max(int(re.search(r"_l(\d+)", part)[1]) for part in rnn)  # type: ignore[index]
    names = [f"weight_{side}" for side in ("ih", "hh")]
    names += [f"bias_{side}" for side in ("ih", "hh")] if bias else []
    expected = [f"{name}_l{layer}" for layer in range(layers) for name in names]
    if unknown := [key for part, key in rnn.items() if part not in expected]:
        raise ValueError(f"unknown keys: {_list(unknown)}")
    if missing := [part for part in expected if part not in rnn]:
        raise ValueError(f"missing keys: {_list(missing)} beside {_list(rnn.values())}")
    for key in (rnn["weight_ih_l0"], rnn["weight_hh_l0"]):
        if state[key].ndim != 2 or 0 in state[key].shape:
            raise ValueError(f"{key} must be a matrix, not {tuple(state[key].shape)}")
    rows, hidden = state[rnn["weight_hh_l0"]].shape
    cells = [name for name, gates in CELLS.items() if gates * hidden == rows]
    if not cells:
        raise ValueError(
            f"{rnn['weight_hh_l0']} is {rows} x {hidden}: its rows must be 4 (LSTM), 3 (GRU) or 1 "
            "(RNN) times its columns"
        )
    if cell is not None and cell not in cells:
        raise ValueError(
            f"{rnn['weight_hh_l0']} is {rows} x {hidden}: the cell is {' or '.join(cells)}, "
            f"not {cell!r}"
        )
    inputs = state[rnn["weight_ih_l0"]].shape[1]
    return RNNSpec(cell or cells[0], inputs, hidden, layers, state[readout].shape[0], bias)


def _check_shapes(state: Mapping[str, Tensor], spec: RNNSpec, keys: Mapping[str, str]) -> None:
    wrong = [
        f"{keys[tensor.name]} is {tuple(state[keys[tensor.name]].shape)}, not {tensor.shape}"
        for tensor in spec.tensors
        if tuple(state[keys[tensor.name]].shape) != tensor.shape
    ]
    if wrong:
        raise ValueError(f"shapes do not fit one RNN ({spec}): {'; '.join(wrong)}")
    if other := [key for key in keys.values() if not state[key].is_floating_point()]:
        raise ValueError(f"weights must be floating point numbers: {_list(other)}")


def _list(keys: Iterable[str]) -> str:
    listed = list(keys)
    more = f" and {len(listed) - 8} more" if len(listed) > 8 else ""
    return ", ".join(listed[:8]) + more if listed else "(none)"
