"""The one place where files of ``torch.save`` are read: nothing in them is ever run."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch


def read_torch_file(path: str | Path, kind: str = "a checkpoint", mmap: bool = False) -> Any:
    """Read a file that ``torch.save`` wrote, tensors and plain values alone, to the CPU.

    There is no way to turn ``weights_only`` off, the environment's
    ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD`` included.

    Args:
        path: the file.
        kind: what it is to be, for the message.
        mmap: leave tensors on the disk until they are used.

    Raises:
        FileNotFoundError: where there is no regular file.
        ValueError: for a file that is none of PyTorch's, is damaged, unpacks to more than its own
            size, or holds anything but tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file at {path}")
    try:
        _check_sizes(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except Exception as error:  # a file that is none of PyTorch's can raise anything
        raise ValueError(
            f"{path} cannot be read as {kind}: it is damaged, or holds more than tensors and plain "
            f"values, and nothing in a file is ever run ({_reason(error)})"
        ) from error


def _check_sizes(path: Path) -> None:
    """Refuse an archive that unpacks to more than it is; PyTorch packs nothing."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > path.stat().st_size:
        raise ValueError(f"it unpacks to {unpacked} bytes")


def _reason(error: Exception) -> str:
    """Say in one line what is wrong, without PyTorch's advice to unpickle after all."""
    if found := re.search(r"WeightsUnpickler error: (.{,200}?)(\. |\n|$)", str(error)):
        return found[1]
    if isinstance(error, UnpicklingError):
        return "no file that torch.save wrote"
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"
