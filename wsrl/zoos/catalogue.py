"""Catalogues: copies of zoos without weights, sequences and outputs, some hundred times smaller.

A catalogue says what every RNN is: its run, step, task and performance. With the embeddings that an
encoder gave them it is all that the inspection of other RNNs needs.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from wsrl.zoos.files import checksum
from wsrl.zoos.labels import Labels
from wsrl.zoos.manifest import SHARDS, Shard, ZooError
from wsrl.zoos.open import open_zoo
from wsrl.zoos.store import Zoo
from wsrl.zoos.tensors import write_tensors

LARGE = ("weights", "sequences", "outputs")
"""Columns that are left out."""

_FILE = "00000.safetensors"


def write_catalogue(zoo: str | Path | Sequence[str | Path], folder: str | Path) -> None:
    """Copy the labels of zoos into a new folder, which ``open_zoo`` opens; rows are the zoos'.

    Args:
        zoo: as for ``open_zoo``; of several zoos the copies are sub-folders of their names.
        folder: where there is none yet.

    Raises:
        ZooError: where there is no finished, undamaged zoo, or two have one name.
        FileExistsError: where there is a folder already.

    >>> from tempfile import mkdtemp
    >>> from wsrl.problems import FormalLanguages
    >>> from wsrl.zoos import BuildSettings, build_zoo
    >>> folder, settings = Path(mkdtemp()), BuildSettings(runs=2, hidden_size=4, snapshots=(0, 9))
    >>> problem = FormalLanguages(2, 8, evaluated_strings=20, stored_strings=4)
    >>> _ = build_zoo(folder / "zoo", problem, settings, backend="eager", quiet=True)
    >>> write_catalogue(folder / "zoo", folder / "catalogue")
    >>> open_zoo(folder / "catalogue").read("step").tolist()
    [0, 9, 0, 9]
    """
    whole, folder = open_zoo(zoo, include_failed=True), Path(folder)
    whole.check()
    names = [one.path.resolve().name for one in whole.zoos]
    if len(set(names)) < len(names):
        raise ZooError(f"two zoos have one name: {', '.join(names)}")
    folder.mkdir(parents=True)
    for name, one in zip(names, whole.zoos, strict=True):
        _write(one, folder if len(names) == 1 else folder / name)


def _write(zoo: Zoo, folder: Path) -> None:
    left_out = [name for name in zoo.columns if name in LARGE]
    columns = {name: zoo.read(name) for name in zoo.columns if name not in LARGE}
    path = folder / SHARDS / _FILE
    write_tensors(path, columns, {})
    shard = Shard(_FILE, len(zoo), path.stat().st_size, checksum(path))
    manifest = replace(zoo.manifest, shards=[shard], complete=True, left_out=left_out)
    manifest.write(folder)
    Labels.copy(zoo.path, folder)
