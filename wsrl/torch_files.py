"""The one place where files of ``torch.save`` are read: nothing in them is ever run."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeAlias

import torch

MapLocation: TypeAlias = Callable[..., Any] | torch.device | str | dict[str, str] | None


def read_torch_file(
    path: str | Path,
    kind: str = "a checkpoint",
    mmap: bool = False,
    compare: bool = False,
    map_location: MapLocation = "cpu",
) -> Any:
    """Read a file that ``torch.save`` wrote, tensors and plain values alone.

    There is no way to turn ``weights_only`` off, the environment's
    ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD`` included.

    Args:
        path: the file.
        kind: what it is to be, for the message.
        mmap: leave tensors on the disk until they are used.
        compare: read the whole file once and compare it with its own checksums, which PyTorch
            does not look at.
        map_location: the device to load to, as ``torch.load`` takes it.

    Raises:
        FileNotFoundError: where there is no regular file.
        ValueError: for a file that is none of PyTorch's, is damaged, unpacks to more than its own
            size, or holds anything but tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file at {path}")
    try:
        _check_archive(path, compare)
        return torch.load(path, map_location=map_location, weights_only=True, mmap=mmap)
    except Exception as error:  # a file that is none of PyTorch's can raise anything
        raise ValueError(
            f"{path} cannot be read as {kind}: it is damaged, or holds more than tensors and plain "
            f"values, and nothing in a file is ever run ({_reason(error)})"
        ) from error


def _check_archive(path: Path, compare: bool) -> None:
    """Refuse an archive that unpacks to more than it is, since PyTorch packs nothing."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > path.stat().st_size:
            raise ValueError(f"it unpacks to {unpacked} bytes")
        damaged = archive.testzip() if compare else None
    if damaged is not None:
        raise ValueError(f"{damaged} in it has changed")


def _reason(error: Exception) -> str:
    """Say in one line what is wrong, without PyTorch's advice to unpickle after all."""
    if found := re.search(r"WeightsUnpickler error: (.{,200}?)(\. |\n|$)", str(error)):
        return found[1]
    if isinstance(error, UnpicklingError):
        return "no file that torch.save wrote"
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"
