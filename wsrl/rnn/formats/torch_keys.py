"""Keys of a state dict: weights as they act, and what is no weight at all."""

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor

from wsrl.rnn.formats.content import listed

_Tensors: TypeAlias = dict[str, Tensor]

_COUNTERS = {"num_batches_tracked", "n_averaged"}

_OF_TRAINING = re.compile(
    r"(.*[._])?(loss(es|_fns?|_func(tion)?s?)?|criterions?|criteria|metrics?|acc(uracy)?|auroc|"
    r"confmat|(class|loss|pos)_weights?)([._].*)?"
)
"""Names that say that a tensor is of a loss or of a metric, and no part of the model."""

_SHARED_BYTES = 1 << 26  # that tensors of a state dict may claim beyond those that are stored


def check_stored(tensors: Mapping[str, Tensor]) -> None:
    """Refuse tensors that share or repeat their numbers so that a small file could fill memory."""
    dense = [value for value in tensors.values() if value.layout == torch.strided]
    storages = {v.untyped_storage().data_ptr(): v.untyped_storage().nbytes() for v in dense}
    claimed = sum(value.numel() * value.element_size() for value in dense)
    if claimed > (stored := sum(storages.values())) + _SHARED_BYTES:
        raise ValueError(
            f"its tensors claim {claimed} bytes, but {stored} are stored: they overlap or repeat"
        )


def without_training(tensors: Mapping[str, Tensor]) -> tuple[_Tensors, list[str]]:
    """Leave out counters, and tensors of losses and metrics; return the keys of the latter."""
    left = {k: v for k, v in tensors.items() if k.rpartition(".")[2] not in _COUNTERS}
    named = [key for key in left if _OF_TRAINING.fullmatch(key.lower())]
    return {key: value for key, value in left.items() if key not in named}, named


def acting_weights(tensors: Mapping[str, Tensor]) -> _Tensors:
    """Return the weights that act, after ``weight_norm``, ``spectral_norm`` and pruning.

    A ``ValueError`` names other parametrisations.
    """
    left = dict(tensors)
    for key in tensors:
        for pattern, compute in _FORMS:
            if (match := pattern.fullmatch(key)) is None:
                continue
            names = [name.format(**match.groupdict()) for name in compute.parts]
            if all(name in tensors for name in names):
                values = [left.pop(name, tensors[name]) for name in names]
                left[compute.weight.format(**match.groupdict())] = compute.value(*values)
    if strange := [key for key in left if ".parametrizations." in f".{key}"]:
        raise ValueError(
            f"{listed(strange)}: a parametrisation that is not known here (weight_norm and "
            "spectral_norm are). Save the model after torch.nn.utils.parametrize."
            "remove_parametrizations"
        )
    return left


class _Form:
    """How a weight is kept in parts: their keys, its own, and how it is computed."""

    def __init__(self, parts: tuple[str, ...], weight: str, value: Callable[..., Tensor]) -> None:
        self.parts, self.weight, self.value = parts, weight, value


def _normed(size: Tensor, direction: Tensor) -> Tensor:
    """Return ``g v / |v|``, the norm over the axes along which ``g`` has one number."""
    axes = [axis for axis, length in enumerate(size.shape) if length == 1]
    if size.ndim not in (0, direction.ndim) or (size.ndim and not axes):
        raise ValueError(f"weight_norm of shapes {tuple(size.shape)}, {tuple(direction.shape)}")
    keep = size.ndim > 0
    norm: Tensor = torch.linalg.vector_norm(direction, dim=axes or None, keepdim=keep)
    return size * direction / norm


def _spectral(weight: Tensor, left: Tensor, right: Tensor) -> Tensor:
    if weight.ndim != 2 or (len(left), len(right)) != weight.shape:
        raise ValueError(f"spectral_norm of a weight {tuple(weight.shape)}")
    size: Tensor = torch.dot(left, weight @ right)
    return weight / size


_NEW = "{p}parametrizations.{n}."
_FORMS = (
    (
        re.compile(r"(?P<p>(.*\.)?)parametrizations\.(?P<n>[^.]+)\.original0"),
        _Form((f"{_NEW}original0", f"{_NEW}original1"), "{p}{n}", _normed),
    ),
    (
        re.compile(r"(?P<p>(.*\.)?)parametrizations\.(?P<n>[^.]+)\.original"),
        _Form((f"{_NEW}original", f"{_NEW}0._u", f"{_NEW}0._v"), "{p}{n}", _spectral),
    ),
    (re.compile(r"(?P<w>.*)_g"), _Form(("{w}_g", "{w}_v"), "{w}", _normed)),
    (re.compile(r"(?P<w>.*)_orig"), _Form(("{w}_orig", "{w}_mask"), "{w}", torch.mul)),
    (re.compile(r"(?P<w>.*)_orig"), _Form(("{w}_orig", "{w}_u", "{w}_v"), "{w}", _spectral)),
)
