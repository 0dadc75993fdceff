"""Open zoos, in whichever format folders hold them."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from wsrl.zoos.collection import AnyZoo, collect
from wsrl.zoos.manifest import BACKUP, MANIFEST, ZooError
from wsrl.zoos.published.reading import is_published, open_published
from wsrl.zoos.store import Zoo, open_store


def open_zoo(path: str | Path | Sequence[str | Path], include_failed: bool = False) -> AnyZoo:
    """Open a finished zoo, or several of one problem as one.

    Args:
        path: a folder that holds a zoo, one of ours or one of published ``.npy`` files; a folder of
            such folders; or several of either.
        include_failed: keep the snapshots of runs that failed in training.

    Returns:
        A ``Zoo``, or of several zoos a ``ZooCollection``, which is read alike.

    Raises:
        ZooError: for a folder that holds no finished, readable zoo; and naming two zoos that are
            not of one problem, and what differs.

    >>> from tempfile import mkdtemp
    >>> from wsrl.problems import FormalLanguages
    >>> from wsrl.zoos import BuildSettings, build_zoo, verify_zoo
    >>> folder, settings = mkdtemp(), BuildSettings(runs=4, hidden_size=4, snapshots=(0, 20))
    >>> problem = FormalLanguages(2, 8, evaluated_strings=20, stored_strings=4)
    >>> _ = build_zoo(folder, problem, settings, backend="eager", quiet=True)
    >>> verify_zoo(folder).snapshots
    8
    >>> zoo = open_zoo(folder)
    >>> zoo.read("step").tolist()
    [0, 20, 0, 20, 0, 20, 0, 20]
    >>> zoo.read("weights").shape == (8, zoo.spec.num_parameters)
    True
    """
    return collect([_open(folder, include_failed) for folder in zoo_folders(path)])


def open_one(path: str | Path, include_failed: bool = False) -> Zoo:
    """Open a zoo where a command takes one alone; a folder of several is a ``ZooError``."""
    folders = zoo_folders(path)
    if len(folders) > 1:
        names = ", ".join(folder.name for folder in folders)
        raise ZooError(f"{path} holds several zoos: name one of them ({names})")
    return _open(folders[0], include_failed)


def zoo_folders(path: str | Path | Sequence[str | Path]) -> list[Path]:
    """Return the folders of the zoos that ``open_zoo`` would open, by name in each folder.

    A folder holds zoos, or folders of zoos, as of one problem that were built apart. One that comes
    twice is a ``ZooError``: its RNNs would count twice, and be in two splits.
    """
    if not isinstance(path, str | Path):
        if not path:
            raise ZooError("no zoo is given: expected one or more folders")
        found = [folder for each in path for folder in zoo_folders(each)]
        places = [folder.resolve() for folder in found]
        if twice := [each for each, at in zip(found, places, strict=True) if places.count(at) > 1]:
            raise ZooError(f"{twice[-1]} is given more than once")
        return found
    folder = Path(path)
    if _holds_zoo(folder) or not folder.is_dir():
        return [folder]
    inside = [[each] if _holds_zoo(each) else _folders(each) for each in _folders(folder)]
    return [*filter(_holds_zoo, chain(*inside))] or [folder]


def _folders(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.is_dir() and each.name[0] != ".")


def _open(folder: Path, include_failed: bool) -> Zoo:
    return (open_published if is_published(folder) else open_store)(folder, include_failed)


def _holds_zoo(folder: Path) -> bool:
    held = (MANIFEST, BACKUP)
    return any((folder / name).is_file() for name in held) or is_published(folder)
