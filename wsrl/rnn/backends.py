"""Which backend runs a population: PyTorch (``eager``) or kernels (``cpu``, ``triton``)."""

from collections.abc import Collection
from dataclasses import replace
from functools import cache
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor
from torch.autograd import forward_ad

from wsrl.rnn.kernels import cpu
from wsrl.rnn.kernels.compilation import LIBRARIES, library, log_once
from wsrl.rnn.kernels.functions import Kernels
from wsrl.rnn.spec import RNNSpec, layer_name
from wsrl.rnn.weights import RNNWeights

Backend: TypeAlias = Literal["auto", "eager", "cpu", "triton"]
BACKENDS = get_args(Backend)

ELEMENTWISE = "elementwise"
"""The kind of work that every backend's kernels do: optimizer steps, losses, look-ups."""

# Above this size PyTorch's products on all cores are as fast as a core per RNN.
LARGEST_HIDDEN = 128
# Above this size the recurrent weights fit neither registers nor shared memory of a program.
LARGEST_ON_GPU = 64
# Up to this size every GPU has the shared memory; above it, this many bytes are needed.
SMALL_ON_GPU, SHARED_MEMORY = 32, 163840

_SLOWER = {
    "cpu": "PyTorch does the kernels' work instead, slower (populations of RNNs about five times); "
    "install g++ to change that.",
    "triton": "Populations of RNNs on the GPU run in PyTorch instead, far slower.",
}


def check_backend(backend: str, kind: str = ELEMENTWISE, *tensors: Tensor) -> None:
    """Refuse, by a ``ValueError``, a backend that is unknown, or named and cannot do this.

    The ``kind`` is the library of compiled kernels that is needed, such as a cell.
    """
    if backend not in BACKENDS:
        raise ValueError(f"unknown backend {backend!r}; choose {', '.join(BACKENDS)}")
    if backend in ("cpu", "triton"):
        _require(backend, _missing(backend, kind) or _obstacle(backend, tensors))


def choose_backend(backend: Backend, weights: RNNWeights, *others: Tensor) -> str:
    """Return ``eager``, ``cpu`` or ``triton`` for RNNs and the other tensors of a computation.

    A cell that a backend has no kernels of is left to PyTorch, and a warning says so once. Else one
    that is named and cannot do this is a ``ValueError``.
    """
    spec, tensors = weights.spec, (weights.flat, *others)
    named, cell = backend in ("cpu", "triton"), cell_of_kernels(spec)
    if named and cell not in cells_with_kernels(backend):
        check_backend(backend)
        log_once(f"Backend {backend!r} has no kernels of {spec.cell} RNNs; PyTorch runs them.")
        return "eager"
    check_backend(backend, cell, *tensors)
    if backend == "auto" and weights.flat.is_cpu and spec.hidden_size > LARGEST_HIDDEN:
        return "eager"
    chosen = backend if named else choose_elementwise(backend, *tensors, kind=cell)
    if chosen != "eager" and cell not in cells_with_kernels(chosen):
        return "eager"
    if chosen == "triton" and (reason := _too_large(spec.hidden_size, weights.flat.device)):
        if named:
            _require(backend, reason)
        log_once(f"{reason}. {_SLOWER[chosen]}")
        return "eager"
    return chosen


def cell_of_kernels(spec: RNNSpec) -> str:
    """Return the name of the cell whose kernels would run RNNs of a spec."""
    return spec.kind.simpler or spec.cell


def for_kernels(weights: RNNWeights) -> RNNWeights:
    """Return the core of RNNs as kernels take it, of the cell ``cell_of_kernels``; differentiable.

    >>> weights = RNNWeights(torch.rand(2, 35), RNNSpec("low_rank(rank=1)", 3, 4, 1, 2))
    >>> print(for_kernels(weights).spec)
    leaky(form='state', leak='neuron') 1x4, 3 inputs, 2 outputs
    """
    core, kind = weights.core, weights.spec.kind
    if kind.simpler is None:
        return core
    spec, named = replace(core.spec, cell=kind.simpler), core.tensors()
    for layer, tensors in enumerate(core.layers()):
        made = kind.simplify(tensors)
        named |= {layer_name(name, layer): value for name, value in made.items()}
    return RNNWeights(torch.cat([named[t.name].flatten(1) for t in spec.tensors], 1), spec)


def cells_with_kernels(backend: str) -> Collection[str]:
    """Return the names of the cells that a backend has kernels of."""
    kernels = kernels_of(backend)
    return () if isinstance(kernels, Exception) else kernels.KERNELS.keys()


def choose_elementwise(backend: Backend, *tensors: Tensor, kind: str = ELEMENTWISE) -> str:
    """Return the backend for a kind of work: ``eager``, ``cpu`` or ``triton``.

    A backend that is named is taken where it can do this.
    """
    natural = {"cpu": "cpu", "cuda": "triton"}.get(tensors[0].device.type, "eager")
    wanted = natural if backend == "auto" else backend
    if wanted == "eager" or _obstacle(wanted, tensors):
        return "eager"
    if missing := _missing(wanted, kind):
        log_once(f"{missing}. {_SLOWER[wanted]}")
        return "eager"
    known = LIBRARIES if wanted == "cpu" else (ELEMENTWISE, *cells_with_kernels(wanted))
    return wanted if kind in known else "eager"


def kernels_serve(backend: Backend, *tensors: Tensor, kind: str = ELEMENTWISE) -> bool:
    """Say whether kernels do a kind of work on these tensors; see ``choose_elementwise``."""
    return choose_elementwise(backend, *tensors, kind=kind) != "eager"


def kernels_of(backend: str) -> Kernels:
    """Return the kernels of ``cpu`` or ``triton``, or the error why there are none."""
    return cpu if backend == "cpu" else triton_kernels()


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


def _require(backend: str, obstacle: object) -> None:
    if obstacle:
        raise ValueError(f"backend {backend!r} cannot be used here: {obstacle}; try auto")


def _missing(backend: str, kind: str) -> Exception | None:
    """Return why a backend has no kernels on this machine, or ``None``."""
    if backend == "triton":
        found = triton_kernels()
    else:
        found = library(kind) if kind in LIBRARIES else None
    return found if isinstance(found, Exception) else None


def _too_large(size: int, device: torch.device) -> str | None:
    """Return why the Triton kernels cannot run layers of this size, or ``None``."""
    if size > LARGEST_ON_GPU:
        return f"the Triton kernels have room for {LARGEST_ON_GPU} neurons a layer, not {size}"
    if size > SMALL_ON_GPU and device.type == "cuda":
        found = torch.cuda.get_device_properties(device)
        room = int(getattr(found, "shared_memory_per_block_optin", 0))
        if room < SHARED_MEMORY:
            return f"{size} neurons a layer need {SHARED_MEMORY} bytes of shared memory, not {room}"
    return None


def _obstacle(backend: str, tensors: tuple[Tensor, ...]) -> str | None:
    """Return why a backend's kernels cannot compute with these tensors, or ``None``."""
    if torch.compiler.is_compiling():  # first: it cannot trace all that follows
        return "torch.compile is tracing"
    for value in tensors:
        if not _reaches(backend, value.device):
            return f"a tensor is on {value.device}"
        if value.dtype != torch.float32:
            return f"a tensor is {value.dtype}, not torch.float32"
        if value.numel() == 0:
            return f"a tensor is empty: {tuple(value.shape)}"
        try:
            value.data_ptr()
        except RuntimeError:  # wrapped, it has no memory of its own
            return "a transform of torch.func is active"
        if forward_ad.unpack_dual(value).tangent is not None:
            return "forward-mode differentiation is active"
    if tensors and torch.is_autocast_enabled(tensors[0].device.type):
        return "autocast is on"
    return None


def _reaches(backend: str, device: torch.device) -> bool:
    """Say whether a backend's kernels can read a device's memory."""
    if backend == "cpu":
        return device.type == "cpu"
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (7, 0)  # Triton's oldest
    kernels = triton_kernels()
    interpreted = not isinstance(kernels, Exception) and kernels.INTERPRETED
    return device.type == "cpu" and bool(interpreted)
