"""A catalogue says what the RNNs of a zoo are, without holding them."""

from pathlib import Path

import pytest
import torch

from wsrl.problems import FormalLanguages
from wsrl.zoos import BuildSettings, ZooError, build_zoo, open_zoo
from wsrl.zoos.catalogue import write_catalogue
from wsrl.zoos.manifest import Manifest

PROBLEM = FormalLanguages(2, 8, evaluated_strings=20, stored_strings=4)


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """A zoo of two shards, one run of which failed."""
    settings = BuildSettings(runs=3, hidden_size=4, snapshots=(0, 9), group_size=2)
    build_zoo(tmp_path / "zoo", PROBLEM, settings, backend="eager", quiet=True)
    manifest = Manifest.read(tmp_path / "zoo")
    manifest.failed["1"] = 9
    manifest.write(tmp_path / "zoo")
    return tmp_path / "zoo"


def test_labels_and_rows_are_those_of_the_zoo(zoo: Path) -> None:
    folder = zoo.parent / "catalogue"
    write_catalogue(zoo, folder)
    whole, small = open_zoo(zoo), open_zoo(folder)
    assert len(small) == len(whole) == 4
    assert (small.spec, small.problem.settings()) == (whole.spec, whole.problem.settings())
    for name in ("run", "step", "task", "performance"):
        assert torch.equal(small.read(name), whole.read(name))
    assert small.sequences_stored == whole.sequences_stored
    small.check()
    sizes = [sum(f.stat().st_size for f in path.rglob("*.safetensors")) for path in (zoo, folder)]
    assert sizes[1] < sizes[0] / 5


def test_a_collection_has_a_catalogue_of_each_zoo(zoo: Path) -> None:
    settings = BuildSettings(runs=2, cell="gru", hidden_size=3, snapshots=(0,))
    build_zoo(zoo.parent / "gru", PROBLEM, settings, backend="eager", quiet=True)
    folder, both = zoo.parent / "catalogue", [zoo, zoo.parent / "gru"]
    write_catalogue(both, folder)
    whole, small = open_zoo(both), open_zoo([folder / "zoo", folder / "gru"])
    assert small.specs == whole.specs
    for name in ("run", "step", "task", "performance"):
        assert torch.equal(small.read(name), whole.read(name))
    with pytest.raises(ZooError, match="two zoos have one name: zoo, zoo"):
        write_catalogue([zoo, folder / "zoo"], zoo.parent / "other")


def test_what_is_left_out_is_said(zoo: Path) -> None:
    folder = zoo.parent / "catalogue"
    write_catalogue(zoo, folder)
    with pytest.raises(ZooError, match="is a catalogue, without weights: give the zoo"):
        open_zoo(folder).read("weights")
    with pytest.raises(FileExistsError):
        write_catalogue(zoo, folder)


def test_a_damaged_zoo_has_no_catalogue(zoo: Path) -> None:
    shard = next((zoo / "shards").iterdir())
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    with pytest.raises(ZooError, match="damaged"):
        write_catalogue(zoo, zoo.parent / "catalogue")
    assert not (zoo.parent / "catalogue").exists()
