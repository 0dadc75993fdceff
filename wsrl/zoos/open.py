"""Open a zoo, in whichever format a folder holds it."""

from pathlib import Path

from wsrl.zoos.published.reading import is_published, open_published
from wsrl.zoos.store import Zoo, open_store


def open_zoo(path: str | Path, include_failed: bool = False) -> Zoo:
    """Open a finished zoo.

    Args:
        path: its folder: one of ours, or one of published ``.npy`` files.
        include_failed: keep the snapshots of runs that failed in training.

    Raises:
        ZooError: for a folder that holds no finished, readable zoo.

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
    folder = Path(path)
    return (open_published if is_published(folder) else open_store)(folder, include_failed)
