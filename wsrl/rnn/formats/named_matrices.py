"""Leaky or Elman RNNs of anybody's code: the user says which tensor is which."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from wsrl.rnn.formats.content import Candidate, Content, Recogniser, Said, listed
from wsrl.rnn.formats.leaky_units import OPTIONS, LeakyUnits
from wsrl.rnn.formats.names import check_known
from wsrl.rnn.formats.parts import Parts

_KINDS = frozenset(
    {"torch", "safetensors", "memory", "npz", "json", "matlab", "flax", "tensorflow", "keras"}
)
_ROLES = {
    "recurrent": "key of the recurrent matrix (H, H)",
    "input": "key of the matrix from inputs to neurons",
    "readout": "key of the matrix from neurons to outputs",
    "bias": "key of the neurons' bias; of several, which are added up, all keys, by commas",
    "readout_bias": "the same of the readout",
    "initial": "key of the first state",
}
_SUMS = ("bias", "readout_bias")
_ORIENTATIONS = ("to, from", "from, to")


def _find(content: Content, said: Said) -> list[Candidate] | str:
    """Read the tensors that are named; the others must be ignored by name."""
    if "recurrent" not in said:
        return f"of the tensors nothing is known, nor said: {listed(content.tensors)}"
    keys = {role: _keys(said[role]) for role in _ROLES if role in said}
    if missing := [role for role in ("input", "readout") if role not in keys]:
        raise ValueError(f"with recurrent say {' and '.join(missing)}, too: keys of matrices")
    if several := [role for role, own in keys.items() if len(own) > 1 and role not in _SUMS]:
        raise ValueError(f"one key each is expected of {' and '.join(several)}")
    named = [key for listed_keys in keys.values() for key in listed_keys]
    if absent := [key for key in named if key not in content.tensors]:
        raise ValueError(f"no key {listed(absent)}; there are {listed(content.tensors)}")
    check_known(content.tensors, named)
    given = {role: [content.tensors[key] for key in own] for role, own in keys.items()}
    recurrent, size = given["recurrent"][0], given["recurrent"][0].shape[0]
    if recurrent.shape != (size, size):
        raise ValueError(f"the recurrent matrix is {tuple(recurrent.shape)}, not square")
    return [one for units in _units(given, size) for one in units.candidates(said)]


def _keys(said: object) -> list[str]:
    return [key.strip() for key in str(said).split(",")]


def _units(given: Mapping[str, list[Tensor]], size: int) -> Iterator[LeakyUnits]:
    """Yield both orientations of the recurrent matrix; shapes tell those of the others."""
    vectors = {
        role: torch.stack([value.reshape(-1) for value in given[role]]).sum(0)
        for role in ("bias", "readout_bias", "initial")
        if role in given
    }
    for orientation in _ORIENTATIONS:
        turned = orientation == _ORIENTATIONS[1]
        recurrent = given["recurrent"][0]
        layer = {
            "weight_ih": _oriented(given["input"][0], 0, size, turned),
            "weight_hh": recurrent.mT if turned else recurrent,
        }
        layer |= {role: value for role, value in vectors.items() if role == "bias"}
        readout = _oriented(given["readout"][0], 1, size, turned), vectors.get("readout_bias")
        first = [{"h": vectors["initial"]}] if "initial" in vectors else []
        yield LeakyUnits(
            Parts("leaky", [layer], [readout], initial=first),
            choices={"orientation": orientation},
        )


def _oriented(matrix: Tensor, axis: int, size: int, turned: bool) -> Tensor:
    """Return a matrix with the neurons along an axis; one that has them on both as ``turned``."""
    fits = [place for place in range(matrix.ndim) if matrix.shape[place] == size]
    if matrix.ndim != 2 or not fits:
        raise ValueError(f"a matrix {tuple(matrix.shape)} does not meet {size} neurons")
    along = fits[0] if len(fits) == 1 else axis ^ turned
    return matrix if along == axis else matrix.mT


NAMED_MATRICES = Recogniser(
    "tensors that are named",
    _KINDS,
    OPTIONS
    | _ROLES
    | {"orientation": "of the recurrent matrix, rows and columns: 'to, from' or 'from, to'"},
    _find,
)
