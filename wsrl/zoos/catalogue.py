"""Catalogues: copies of zoos without weights, sequences and outputs, some hundred times smaller.

A catalogue says what every RNN is: its run, step, task and performance. With the embeddings that an
encoder gave them it is all that the inspection of other RNNs needs.
"""

from dataclasses import replace
from pathlib import Path

from wsrl.zoos.files import checksum
from wsrl.zoos.manifest import SHARDS, Shard
from wsrl.zoos.open import open_zoo
from wsrl.zoos.tensors import write_tensors

LARGE = ("weights", "sequences", "outputs")
"""Columns that are left out."""

_FILE = "00000.safetensors"


def write_catalogue(zoo: str | Path, folder: str | Path) -> None:
    """Copy a zoo's labels into a new folder, which ``open_zoo`` opens; its rows are the zoo's.

    Raises:
        ZooError: where there is no finished, undamaged zoo.
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
    left_out = [name for name in whole.columns if name in LARGE]
    columns = {name: whole.read(name) for name in whole.columns if name not in LARGE}
    (folder / SHARDS).mkdir(parents=True)
    path = folder / SHARDS / _FILE
    write_tensors(path, columns, {})
    shard = Shard(_FILE, len(whole), path.stat().st_size, checksum(path))
    manifest = replace(whole.manifest, shards=[shard], complete=True, left_out=left_out)
    manifest.write(folder)
