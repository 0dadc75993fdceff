"""The one place where files of ``torch.save`` are read: nothing in them is ever run."""

import contextlib
import math
import re
import warnings
import zipfile
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

MapLocation: TypeAlias = Callable[..., Any] | torch.device | str | dict[str, str] | None

_SCALAR: Any = np.float64().__reduce__()[0]
_NUMBERS = (*"?bBhHiIlLqQefdFD",)

HARMLESS: tuple[Any, ...] = (
    Namespace,
    np.dtype,
    *((_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *{type(np.dtype(code)) for code in _NUMBERS},
)
"""What training checkpoints often hold beside plain values: options of a command, and numbers of
NumPy. To make one runs nothing else."""


class _NoWeightsError(ValueError):
    """A file of PyTorch's that holds something else than weights."""


def read_torch_file(
    path: str | Path,
    kind: str = "a checkpoint",
    mmap: bool = False,
    map_location: MapLocation = "cpu",
    allowed: Sequence[Any] = (),
) -> Any:
    """Read a file that ``torch.save`` wrote, tensors and plain values alone.

    There is no way to turn ``weights_only`` off, the environment's
    ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD`` included. The whole file is read once and compared with its
    own checksums, which PyTorch does not look at (0.04 s for 100 MB). Files in PyTorch's format of
    before 1.6 have none, nor have those written after ``set_crc32_options(False)``.

    With ``mmap`` tensors stay on the disk until they are used; ``kind`` is for the message. Objects
    of the ``allowed`` classes may be in the file, too (such as ``HARMLESS``).

    Raises:
        OSError: where there is no regular file, or it must not be read.
        ValueError: for one that is damaged, holds anything but tensors and plain values, or whose
            tensors, or contents, have more numbers than it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file at {path}")
    with path.open("rb"):  # a file that may not be read is not damaged: the error says so
        pass
    try:
        _check_archive(path)
        mapped = mmap and zipfile.is_zipfile(path)
        with warnings.catch_warnings():  # of what the error says, or of what is well
            warnings.simplefilter("ignore")
            with safe_globals(list(allowed)):
                content = torch.load(
                    path, map_location=map_location, weights_only=True, mmap=mapped
                )
        for tensor in tensors_in(content):
            _check_size(tensor)
    except _NoWeightsError as error:
        raise ValueError(f"{path} {error}") from error
    except Exception as error:  # a file that is none of PyTorch's can raise anything
        names = _classes_in(path, error, allowed)
        why = (
            f"it holds objects of {names}, and nothing in a file is ever run. Load it where these "
            "are known, and save model.state_dict()"
            if names
            else "it is damaged, or holds more than tensors and plain values, and nothing in a "
            f"file is ever run ({_reason(error)})"
        )
        raise ValueError(f"{path} cannot be read as {kind}: {why}") from error
    return content


def tensors_in(content: object) -> Iterator[Tensor]:
    """Yield every tensor in nested lists and dictionaries once; these may hold themselves."""
    waiting, seen = [content], set()
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        if isinstance(item, Tensor):
            yield item
        elif isinstance(item, Mapping):
            waiting += item.values()
        elif isinstance(item, list | tuple | set):
            waiting += item
        else:
            continue
        seen.add(id(item))


def _check_archive(path: Path) -> None:
    """Refuse an archive that has changed, or unpacks to more than it is: PyTorch packs nothing."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        if any(name.rpartition("/")[2] == "constants.pkl" for name in archive.namelist()):
            raise _NoWeightsError(
                "is TorchScript, a program, and nothing in a file is ever run: load it where it "
                "came from, and save the module's state_dict"
            )
        unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > path.stat().st_size:
            raise ValueError(f"it unpacks to {unpacked} bytes")
        has_checksums = any(entry.CRC for entry in archive.infolist())
        damaged = archive.testzip() if has_checksums else None
    if damaged is not None:
        raise ValueError(f"{damaged} in it has changed")


def _check_size(tensor: Tensor) -> None:
    """Refuse a tensor of more numbers than are stored, as by a stride of 0: a copy has them all."""
    if tensor.layout is not torch.strided:  # sparse: it holds other tensors
        return
    needed = math.prod(tensor.shape) * tensor.element_size()
    held = 0 if tensor.is_meta else tensor.untyped_storage().nbytes()
    if needed > held:
        shape = tuple(tensor.shape)
        raise ValueError(f"a tensor of shape {shape} needs {needed} bytes, but {held} are stored")


def _classes_in(path: Path, error: Exception, allowed: Sequence[Any]) -> str:
    """Name the classes and functions that a file needs; none where that is not what is wrong."""
    if not isinstance(error, UnpicklingError):
        return ""
    with contextlib.suppress(Exception), safe_globals(list(allowed)):  # it is no checkpoint
        names = sorted(set(get_unsafe_globals_in_checkpoint(path)))
        own_first = sorted(names, key=lambda name: name.startswith("torch."))[:8]
        listed = ", ".join(n if n.isprintable() else ascii(n) for n in own_first)
        return f"{listed[:500]}{' and others' if len(names) > 8 else ''}"
    return ""


def _reason(error: Exception) -> str:
    """Return the error as one line, without PyTorch's advice to unpickle."""
    if isinstance(error, UnpicklingError):
        found = re.search(r"WeightsUnpickler error: (.{,200}?)(\. |\n|$)", str(error))
        return found[1] if found and found[1] else "no file that torch.save wrote"
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"
