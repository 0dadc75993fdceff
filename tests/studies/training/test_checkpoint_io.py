"""Checkpoints are whole or not there, and nothing in them is run."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy

from wsrl.studies.training.checkpoint_io import AtomicCheckpointIO
from wsrl.studies.training.checkpoint_io import with_checkpoint_io as with_io


class Other(AtomicCheckpointIO):
    pass


class Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.mkdir, (self.path,)


def test_a_checkpoint_comes_back_from_a_plain_local_path(tmp_path: Path) -> None:
    path = tmp_path / "new" / "last.ckpt"
    ways, content = AtomicCheckpointIO(), {"state_dict": {"w": torch.arange(3.0)}, "step": 3}
    ways.save_checkpoint(content, path)
    found = ways.load_checkpoint(path)
    assert found["step"] == 3
    assert torch.equal(found["state_dict"]["w"], content["state_dict"]["w"])
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]
    for _ in range(2):
        ways.remove_checkpoint(path)
    assert not path.exists()
    with pytest.raises(ValueError, match="local disks"):
        ways.save_checkpoint({}, "s3://bucket/last.ckpt")
    with pytest.raises(ValueError, match="local disks"):
        ways.save_checkpoint({}, path, storage_options={})


def test_nothing_in_a_checkpoint_is_run(tmp_path: Path) -> None:
    torch.save({"state_dict": Malicious(tmp_path / "made")}, tmp_path / "bad.ckpt")
    for weights_only in (False, None, True):
        with pytest.raises(ValueError, match="nothing in a file is ever run"):
            AtomicCheckpointIO().load_checkpoint(tmp_path / "bad.ckpt", weights_only=weights_only)
    assert not (tmp_path / "made").exists()
    torch.load(tmp_path / "bad.ckpt", weights_only=False)  # it would have been
    assert (tmp_path / "made").exists()


def test_what_was_chosen_stays() -> None:
    other = Other()
    assert with_io([other], "ddp") == with_io(other, "ddp") == [other]
    chosen, plain = SingleDeviceStrategy(checkpoint_io=other), SingleDeviceStrategy()
    assert with_io(None, chosen) == with_io(None, plain) == []
    assert chosen.checkpoint_io is other
    assert type(plain.checkpoint_io) is AtomicCheckpointIO
    assert [type(plugin) for plugin in with_io(None, "ddp")] == [AtomicCheckpointIO]
