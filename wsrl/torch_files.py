"""The one place where files of ``torch.save`` are read: nothing in them is ever run."""

import math
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeAlias

import torch
from torch import Tensor

MapLocation: TypeAlias = Callable[..., Any] | torch.device | str | dict[str, str] | None


def read_torch_file(
    path: str | Path,
    kind: str = "a checkpoint",
    mmap: bool = False,
    map_location: MapLocation = "cpu",
) -> Any:
    """Read a file that ``torch.save`` wrote, tensors and plain values alone.

    There is no way to turn ``weights_only`` off, the environment's
    ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD`` included. The whole file is read once and compared with its
    own checksums, which PyTorch does not look at (0.04 s for 100 MB). Files in PyTorch's format of
    before 1.6 have none, nor have those written after ``set_crc32_options(False)``.

    With ``mmap`` tensors stay on the disk until they are used; ``kind`` is for the message.

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
            content = torch.load(path, map_location=map_location, weights_only=True, mmap=mapped)
        for tensor in tensors_in(content):
            _check_size(tensor)
    except Exception as error:  # a file that is none of PyTorch's can raise anything
        raise ValueError(
            f"{path} cannot be read as {kind}: it is damaged, or holds more than tensors and plain "
            f"values, and nothing in a file is ever run ({_reason(error)})"
        ) from error
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


def _reason(error: Exception) -> str:
    """Return the error as one line, without PyTorch's advice to unpickle."""
    if isinstance(error, UnpicklingError):
        found = re.search(r"WeightsUnpickler error: (.{,200}?)(\. |\n|$)", str(error))
        return found[1] if found else "no file that torch.save wrote"
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"
