"""Which backend runs a population: PyTorch (``eager``) or kernels (``cpu``, ``triton``)."""

from __future__ import annotations

import logging
from collections.abc import Collection
from functools import cache
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor
from torch.autograd import forward_ad

from wsrl.rnn.kernels import cpu
from wsrl.rnn.kernels.compilation import LIBRARIES, library, warn_once
from wsrl.rnn.kernels.functions import Kernels
from wsrl.rnn.spec import RNNSpec
from wsrl.rnn.weights import RNNWeights

Backend: TypeAlias = Literal["auto", "eager", "cpu", "triton"]

LARGEST_HIDDEN = 128
"""Above this size PyTorch's products on all cores are as fast as a core per RNN."""

LARGEST_ON_GPU = 64
"""Above this size the recurrent weights fit neither registers nor shared memory of a program."""

SMALL_ON_GPU, SHARED_MEMORY = 32, 163840
"""Up to this size every GPU has the shared memory; above it, this many bytes are needed."""

_log = logging.getLogger("wsrl")


def check_backend(
    backend: str, kind: str = "elementwise", device: torch.device | None = None
) -> None:
    """Make sure that a backend exists, and can be had if it is asked for by name.

    Args:
        backend: its name.
        kind: the library of the compiled kernels that is needed, such as a cell.
        device: where it is to compute, if that is known.

    Raises:
        ValueError: saying why not.
    """
    if backend not in get_args(Backend):
        raise ValueError(f"unknown backend {backend!r}; choose {', '.join(get_args(Backend))}")
    found: object = triton_kernels() if backend == "triton" else None
    if backend == "cpu" and kind in LIBRARIES:
        found = library(kind)
    if isinstance(found, Exception):
        raise ValueError(f"backend {backend!r} cannot be used here: {found}; try auto")
    if device is not None and backend not in ("auto", "eager"):
        _refuse(backend, _obstacle(backend, (torch.empty(1, device=device),)))


def check_elementwise(backend: str, *tensors: Tensor, kind: str = "elementwise") -> None:
    """Make sure that elementwise work goes where it is told to, if a backend is named.

    Args:
        backend: its name.
        tensors: what is worked on.
        kind: the library of the compiled kernels that does it.

    Raises:
        ValueError: for a backend that is unknown, not here, or cannot do this.
    """
    check_backend(backend, kind)
    if backend in ("cpu", "triton"):
        _refuse(backend, _obstacle(backend, tensors))


def choose_backend(backend: Backend, weights: RNNWeights, *others: Tensor) -> str:
    """Return ``eager``, ``cpu`` or ``triton``.

    Args:
        backend: ``auto``, or what must be taken.
        weights: the RNNs.
        others: the other tensors of the computation.

    Raises:
        ValueError: for a backend that is unknown, not here, or cannot do this.
    """
    spec, device = weights.spec, weights.flat.device
    check_backend(backend, spec.cell)
    tensors = (weights.flat, *others)
    if backend in ("cpu", "triton"):
        if spec.cell not in cells_with_kernels(backend):
            _log_once(f"Backend {backend!r} has no kernels of {spec.cell} RNNs; PyTorch runs them.")
            return "eager"
        unfit = _unfit_for_triton(spec, device) if backend == "triton" else None
        _refuse(backend, _obstacle(backend, tensors) or unfit)
        return backend
    if weights.flat.is_cpu and spec.hidden_size > LARGEST_HIDDEN:
        return "eager"
    chosen = choose_elementwise(backend, *tensors, kind=spec.cell)
    if chosen == "triton" and (reason := _unfit_for_triton(spec, device)):
        _log_once(f"{reason}. {_SLOWER}")
        return "eager"
    return chosen


def cells_with_kernels(backend: str) -> Collection[str]:
    """Return the names of the cells that a backend has kernels of."""
    kernels: Kernels | ImportError = cpu if backend == "cpu" else triton_kernels()
    return () if isinstance(kernels, Exception) else kernels.KERNELS.keys()


def choose_elementwise(backend: Backend, *tensors: Tensor, kind: str = "elementwise") -> str:
    """Return what does elementwise work on tensors: ``eager``, ``cpu`` or ``triton``.

    Args:
        backend: ``auto``, or what is to be taken where it can be.
        tensors: what is worked on.
        kind: the library of the compiled kernels that does it.
    """
    natural = {"cpu": "cpu", "cuda": "triton"}.get(tensors[0].device.type, "eager")
    wanted = natural if backend == "auto" else backend
    if wanted == "eager" or _obstacle(wanted, tensors):
        return "eager"
    if wanted == "cpu" and kind not in LIBRARIES:
        return "eager"
    return wanted if backend == wanted or _found(wanted, kind) else "eager"


def kernels_serve(backend: Backend, *tensors: Tensor, kind: str = "elementwise") -> bool:
    """Say whether work on tensors, of the kind of a kernel library, goes to the kernels.

    Triton has kernels of the kind ``elementwise`` alone.
    """
    if kind != "elementwise" and not tensors[0].is_cpu:
        return False
    chosen = choose_elementwise(backend, *tensors, kind=kind)
    return chosen == "cpu" or (chosen == "triton" and kind == "elementwise")


def kernels_of(chosen: str) -> Kernels:
    """Return the kernels of a backend that ``choose_backend`` returned.

    Raises:
        ImportError: where there are none.
    """
    if chosen == "cpu":
        return cpu
    kernels = triton_kernels()
    if isinstance(kernels, Exception):
        raise kernels
    return kernels


@cache
def triton_kernels() -> Kernels | ImportError:
    """Return the Triton kernels, or why there are none."""
    try:
        from wsrl.rnn.kernels import gpu
    except ImportError as error:
        return ImportError(f"Triton cannot be imported ({error})")
    if gpu.INTERPRETED:
        return gpu
    if gpu.RELEASE in gpu.BROKEN_RELEASES:
        return ImportError(f"Triton {gpu.RELEASE} crashes on the kernels; install another release")
    return gpu if torch.cuda.is_available() else ImportError("PyTorch finds no CUDA GPU")


def _refuse(backend: str, reason: str | None) -> None:
    if reason:
        raise ValueError(f"backend {backend!r} cannot run this: {reason}; try auto")


_SLOWER = "Populations of RNNs on the GPU run in PyTorch instead, far slower."


@cache
def _log_once(message: str) -> None:
    """Log a warning; a process logs each once."""
    _log.warning(message)


def _unfit_for_triton(spec: RNNSpec, device: torch.device) -> str | None:
    """Say why the Triton kernels cannot run RNNs of this cell and size, if so."""
    if spec.cell not in cells_with_kernels("triton"):
        return f"there are no Triton kernels of {spec.cell} cells"
    size = spec.hidden_size
    if size > LARGEST_ON_GPU:
        return f"the Triton kernels have room for {LARGEST_ON_GPU} neurons a layer, not {size}"
    if size > SMALL_ON_GPU and device.type == "cuda":
        found = torch.cuda.get_device_properties(device)
        room = int(getattr(found, "shared_memory_per_block_optin", 0))
        if room < SHARED_MEMORY:
            return f"{size} neurons a layer need {SHARED_MEMORY} bytes of shared memory, not {room}"
    return None


def _found(backend: str, kind: str) -> bool:
    """Say whether there are kernels of a kind, and if not, why, once."""
    if backend == "triton":
        if isinstance(reason := triton_kernels(), Exception):
            _log_once(f"{reason}. {_SLOWER}")
            return False
        return True
    if isinstance(found := library(kind), Exception):
        warn_once(str(found))
        return False
    return True


def _obstacle(backend: str, tensors: tuple[Tensor, ...]) -> str | None:
    """Say why a backend's kernels cannot compute with these tensors, if so."""
    if torch.compiler.is_compiling():  # first: it cannot trace all that follows
        return "torch.compile is tracing"
    for value in tensors:
        if not _reaches(backend, value.device):
            return f"a tensor is on {value.device}"
        if value.dtype != torch.float32:
            return f"a tensor is {value.dtype}, not torch.float32"
        if value.numel() == 0:
            return f"a tensor is empty: {tuple(value.shape)}"
    if torch.is_autocast_enabled(tensors[0].device.type):
        return "autocast is on"
    try:
        _Probe.apply(tensors[0].new_empty(0))  # type: ignore[no-untyped-call]
    except RuntimeError:
        return "a transform of torch.func is active"
    if any(forward_ad.unpack_dual(value).tangent is not None for value in tensors):
        return "forward-mode differentiation is active"
    return None


class _Probe(torch.autograd.Function):
    """Does nothing, and as the kernels' functions cannot be called in transforms of torch.func."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        """Return the tensor."""
        return value

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Return the gradient."""
        return gradient


def _reaches(backend: str, device: torch.device) -> bool:
    """Say whether a backend's kernels can read a device's memory."""
    if backend == "cpu":
        return device.type == "cpu"
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (7, 0)  # Triton's oldest
    if device.type != "cpu" or isinstance(triton_kernels(), Exception):
        return False
    from wsrl.rnn.kernels import gpu

    return gpu.INTERPRETED
