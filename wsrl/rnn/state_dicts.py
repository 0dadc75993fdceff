"""State dicts of ``torch.nn`` modules as flat weights: the spec is found from names and shapes."""

import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import fields

import torch
from torch import Tensor

from wsrl.rnn.cells import Cell, get_cell, list_cells
from wsrl.rnn.masks import check_usable
from wsrl.rnn.spec import MAX_LAYERS, RNNSpec, layer_name
from wsrl.rnn.weights import RNNWeights

_SHARED_BYTES = 1 << 26  # that tensors of a state dict may claim beyond those that are stored


class OpenCellError(ValueError):
    """A state dict fits several cells, or one with options, and none was named."""


def read_state_dict(state: Mapping[str, Tensor], cell: str | None = None) -> RNNWeights:
    """Read one RNN out of the state dict of a model; ``B = 1``.

    The model is a recurrent module, such as ``nn.LSTM``, and an ``nn.Linear`` on its outputs, each
    under any name: ``lstm.weight_ih_l0``, ``fc.weight``. Where several cells have such tensors,
    those of ``torch.nn`` come first; of an ``nn.RNN``, which has tanh or ReLU, and of cells with
    options ``cell`` must be given.

    >>> model = torch.nn.ModuleDict({"core": torch.nn.RNN(3, 8), "out": torch.nn.Linear(8, 2)})
    >>> print(read_state_dict(model.state_dict(), cell="tanh").spec)
    tanh 1x8, 3 inputs, 2 outputs

    Raises:
        OpenCellError: where ``cell`` is needed and not given.
        ValueError: naming the keys, where they are not exactly those of one such model; or where a
            mask leaves a neuron nothing to read (``check_usable``).
    """
    _check_stored(state)
    known = [get_cell(name) for name in list_cells()]
    said = known if cell is None else [get_cell(cell)]
    keys, layers = _keys_by_name(state, {*known, *said})
    found = {kind: _nearest(state, keys, layers, kind) for kind in dict.fromkeys([*said, *known])}
    fitting = {kind: spec for kind, (*_, spec) in found.items() if isinstance(spec, RNNSpec)}
    if cell is None and any(kind.torch_form for kind in fitting):
        fitting = {kind: spec for kind, spec in fitting.items() if kind.torch_form}
    chosen = [spec for kind, spec in fitting.items() if kind in said]
    names = sorted(map(str, fitting))
    choices = " or ".join(names)
    if len(chosen) > 1:
        raise OpenCellError(
            f"{_list(keys.values())}: a state dict does not tell {' from '.join(names)}. Say which "
            f"cell it is: --cell {choices} (cell=... in Python)"
        )
    if cell is None and chosen and (options := [f.name for f in fields(chosen[0].kind)]):
        raise OpenCellError(
            f"{_list(keys.values())}: a state dict does not tell the options of {choices} "
            f"({', '.join(options)}). Give them: --cell '{choices}({options[0]}=...)', or --cell "
            f"{choices} for the defaults (cell=... in Python)"
        )
    if not chosen and fitting:
        raise ValueError(f"{_list(keys.values())}: the cell is {choices}, not '{said[0]}'")
    if not chosen:
        near = min(said, key=lambda kind: (found[kind][:-1], kind.torch_form is None))
        raise ValueError(
            f"{found[near][-1]}. Expected one recurrent module, in one direction and without "
            "projections, and one linear readout of its outputs, with biases in both or in none"
        )
    (spec,) = chosen
    if other := [key for key in keys.values() if not state[key].is_floating_point()]:
        raise ValueError(f"weights must be floating point numbers: {_list(other)}")
    parts = [state[keys[tensor.name]].detach().reshape(-1) for tensor in spec.tensors]
    weights = RNNWeights(torch.cat(parts)[None], spec)
    check_usable(weights)
    return weights


def weights_from_state_dict(state: Mapping[str, Tensor], cell: str | None = None) -> RNNWeights:
    """Read a state dict as ``read_state_dict`` does, but that of an ``nn.RNN`` as tanh.

    Warns where it takes a state dict for tanh without being told.

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
    """Refuse tensors that share or repeat their numbers so that a small file could fill memory."""
    dense = [v for v in state.values() if isinstance(v, Tensor) and v.layout == torch.strided]
    storages = {v.untyped_storage().data_ptr(): v.untyped_storage().nbytes() for v in dense}
    claimed = sum(value.numel() * value.element_size() for value in dense)
    if claimed > (stored := sum(storages.values())) + _SHARED_BYTES:
        raise ValueError(
            f"its tensors claim {claimed} bytes, but {stored} are stored: they overlap or repeat"
        )


def _keys_by_name(state: Mapping[str, Tensor], cells: Iterable[Cell]) -> tuple[dict[str, str], int]:
    """Return the keys by the names that a spec gives their tensors, and the number of layers.

    Keys that belong to neither part go by names that no spec has.
    """
    names = {tensor.name for cell in cells for tensor in cell.tensors(bias=True)}
    listed = "|".join(map(re.escape, sorted(names)))
    pattern = re.compile(
        rf"(?P<prefix>(?:.*\.)?)(?P<name>(?:{listed})_l(?P<layer>[0-9]{{1,4}}).*)", re.DOTALL
    )
    found = {key: match for key in state if (match := pattern.fullmatch(key))}
    if not found:
        raise ValueError(
            "no key is of an nn.LSTM or another cell (such as rnn.weight_ih_l0); there are "
            f"{_list(state)}"
        )
    firsts = {match["prefix"]: key for key, match in reversed(found.items())}
    if len(firsts) > 1:
        raise ValueError(f"several recurrent modules: {_list(firsts.values())}")
    last = max(found, key=lambda key: int(found[key]["layer"]))
    layers = int(found[last]["layer"]) + 1
    if layers > MAX_LAYERS:
        raise ValueError(f"an RNN has at most {MAX_LAYERS} layers: {_list([last])}")
    others = [key for key in state if key not in found]
    matrices = [k for k in others if k.rpartition(".")[2] == "weight" and state[k].ndim == 2]
    if len(matrices) != 1:
        problem = "more than one key may be" if matrices else "no key is"
        listed = _list(matrices or others)
        raise ValueError(f"{problem} the linear readout's (as linear.weight is): {listed}")
    prefix = matrices[0].removesuffix("weight")
    readout = {f"{prefix}{part}": f"linear.{part}" for part in ("weight", "bias")}
    keys = {f"rnn.{match['name']}": key for key, match in found.items()}
    return keys | {readout.get(key, f"other {key}"): key for key in others}, layers


def _nearest(
    state: Mapping[str, Tensor], keys: Mapping[str, str], layers: int, cell: Cell
) -> tuple[int, int, RNNSpec | str]:
    """Return the spec of a cell's RNNs with these tensors, or what differs least.

    Before it stands how many names differ, and how many shapes.
    """
    found: list[tuple[int, int, str]] = []
    shapes = {name: tuple(state[key].shape) for name, key in keys.items()}
    for bias in (True, False):
        names = [t.name for t in RNNSpec(str(cell), 1, 1, layers, 1, bias).tensors]
        unknown = [key for name, key in keys.items() if name not in names]
        missing = [name.partition(".")[2] for name in names if name not in keys]
        if unknown or missing:
            lacking = f"missing keys: {_list(missing)} beside {_list(keys.values())}"
            fault = lacking if missing else f"unknown keys: {_list(unknown)}"
            found.append((len(unknown) + len(missing), 0, fault))
            continue
        first = {t.name: shapes[layer_name(t.name, 0)] for t in cell.tensors(bias)}
        if (sizes := cell.sizes(first, bias)) is None:
            listed = ", ".join(f"{_list([keys[name]])} is {shapes[name]}" for name in names[:4])
            return 0, len(names), f"such shapes are of no cell: {listed}"
        spec = RNNSpec(str(cell), *sizes, layers, shapes["linear.weight"][0], bias)
        wrong = [tensor for tensor in spec.tensors if shapes[tensor.name] != tensor.shape]
        listed = "; ".join(
            f"{_list([keys[t.name]])} is {shapes[t.name]}, not {t.shape}" for t in wrong[:8]
        )
        return 0, len(wrong), f"shapes do not fit one RNN ({spec}): {listed}" if wrong else spec
    return min(found)


def _list(keys: Iterable[str]) -> str:
    """Return the first keys to read; a file may hold many, long ones, and any characters."""
    listed = list(keys)
    more = f" and {len(listed) - 8} more" if len(listed) > 8 else ""
    shown = [key if len(key) <= 80 else f"{key[:77]}..." for key in listed[:8]]
    shown = [key if key.isprintable() else ascii(key) for key in shown]
    return ", ".join(shown) + more if shown else "(none)"
