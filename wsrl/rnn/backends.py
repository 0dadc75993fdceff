"""Which backend runs a population: PyTorch (``eager``) or the compiled kernels (``cpu``)."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor
from torch.autograd import forward_ad

from wsrl.rnn.kernels.compilation import library, warn_once
from wsrl.rnn.weights import RNNWeights

Backend: TypeAlias = Literal["auto", "eager", "cpu"]

LARGEST_HIDDEN = 128
"""Above this size PyTorch's products on all cores are as fast as a core per RNN."""


def check_backend(backend: str, kind: str = "elementwise") -> None:
    """Make sure that a backend exists, and can be had if it is asked for by name.

    Args:
        backend: its name.
        kind: the library of kernels that is needed, such as a cell.

    Raises:
        ValueError: saying why not.
    """
    if backend not in get_args(Backend):
        raise ValueError(f"unknown backend {backend!r}; choose {', '.join(get_args(Backend))}")
    if backend == "cpu" and isinstance(found := library(kind), Exception):
        raise ValueError(f"backend 'cpu' cannot be used here: {found}; try auto")


def choose_backend(backend: Backend, weights: RNNWeights, *others: Tensor) -> str:
    """Return ``eager`` or ``cpu``.

    Args:
        backend: ``auto``, or what must be taken.
        weights: the RNNs.
        others: the other tensors of the computation.

    Raises:
        ValueError: for a backend that is unknown, not here, or cannot do this.
    """
    check_backend(backend, weights.spec.cell)
    if backend == "eager":
        return "eager"
    reason = _obstacle((weights.flat, *others))
    if backend == "cpu":
        if reason:
            raise ValueError(f"backend 'cpu' cannot run this: {reason}; try auto")
        return "cpu"
    if reason or weights.spec.hidden_size > LARGEST_HIDDEN:
        return "eager"
    return "cpu" if _found(weights.spec.cell) else "eager"


def kernels_serve(backend: Backend, *tensors: Tensor, kind: str = "elementwise") -> bool:
    """Say whether work on tensors, of the kind of a kernel library, goes to the kernels."""
    if backend == "eager" or _obstacle(tensors):
        return False
    return backend == "cpu" or _found(kind)


def _found(name: str) -> bool:
    """Say whether there are kernels of this name, and if not, why, once."""
    if isinstance(found := library(name), Exception):
        warn_once(str(found))
        return False
    return True


def _obstacle(tensors: tuple[Tensor, ...]) -> str | None:
    """Say why the kernels cannot compute with these tensors, if so."""
    for value in tensors:
        if value.device.type != "cpu":
            return f"a tensor is on {value.device}"
        if value.dtype != torch.float32:
            return f"a tensor is {value.dtype}, not torch.float32"
        if value.numel() == 0:
            return f"a tensor is empty: {tuple(value.shape)}"
    if torch.is_autocast_enabled("cpu"):
        return "autocast is on"
    if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
        return "a transform of torch.func, or forward-mode differentiation, is active"
    if torch.compiler.is_compiling():
        return "torch.compile is tracing"
    return None
