"""Files as tensors and plain values. What a file is, its first bytes say, not its name."""

import zipfile
from pathlib import Path

from safetensors import safe_open

from wsrl.rnn.formats.content import Container, Content, Head
from wsrl.rnn.formats.foreign_containers import FOREIGN_CONTAINERS
from wsrl.rnn.formats.torch_checkpoints import TORCH


def _read_safetensors(path: Path) -> Content:
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return Content(tensors, dict(file.metadata() or {}), "safetensors")
    except Exception as error:  # of dtypes that are not torch's, the library raises this and that
        raise ValueError(f"it is damaged: {error}") from error


SAFETENSORS = Container("safetensors", lambda head: head.start[8:9] == b"{", _read_safetensors)

_ZIP = b"PK\x03\x04"

CONTAINERS: tuple[Container, ...] = (*FOREIGN_CONTAINERS, SAFETENSORS, TORCH)
"""Every kind of file, in the order in which they are tried."""


def read_container(path: str | Path) -> Content:
    """Return what a file holds; nothing in it is run.

    A checkpoint of TensorFlow can be given by the common name of its files.

    Raises:
        OSError: where there is no file, or it must not be read.
        ValueError: for a file that is damaged, or of no kind that is known. It names the file, and
            says what the file is as far as that can be seen.
    """
    path = Path(path)
    if not path.exists() and (index := path.with_name(f"{path.name}.index")).is_file():
        path = index
    head = look_at(path)
    for container in CONTAINERS:
        if container.matches(head):
            try:
                return container.read(path)
            except ValueError as error:
                named = str(error).startswith(f"{path} ")  # some errors name the file themselves
                raise ValueError(str(error) if named else f"{path}: {error}") from error
    raise ValueError(f"{path}: {_what_it_is(head)}")


def look_at(path: Path) -> Head:
    """Return what tells the kind of a file; raises as ``read_container``."""
    if not path.exists():
        raise FileNotFoundError(f"no file at {path}")
    if not path.is_file():
        raise ValueError(f"{path} is no regular file")
    with path.open("rb") as file:
        start = file.read(4096)
    return Head(path, start, _members(path) if start[:4] == _ZIP else ())


def _members(path: Path) -> tuple[str, ...]:
    """Return the names in a zip archive, which ``.pt``, ``.npz`` and ``.keras`` are."""
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("its end is missing: copy or download it again")
        with zipfile.ZipFile(path) as archive:
            return tuple(archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise ValueError(f"{path}: it is a damaged zip archive ({error})") from error


def _what_it_is(head: Head) -> str:
    """Say in one line what a file is that no container is, and what to do."""
    start = head.start.lstrip()
    if not start:
        return "it is empty"
    if start.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, not the file itself: fetch that (git lfs pull)"
    if start[:1] == b"\x80" and start[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        return (
            "it is a pickle, which could run code, and is never read: save tensors alone, by "
            "torch.save of a state_dict or by numpy.savez, and say plain values as options"
        )
    if start[:1] == b"<":
        return "it is a web page (HTML or XML), not a file of weights: download the file itself"
    kinds = ", ".join(dict.fromkeys(container.name for container in CONTAINERS))
    return f"it is no file of weights that is known here ({kinds})"
