"""The zoo on disk: reading, and every kind of damage told apart."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.zoos.building import shard
from wsrl.zoos import Zoo, ZooError, open_zoo, verify_zoo
from wsrl.zoos.tensors import read_tensors, write_tensors


@pytest.fixture
def copy(zoo_path: Path, tmp_path: Path) -> Path:
    """A zoo that a test may damage."""
    return Path(shutil.copytree(zoo_path, tmp_path / "zoo"))


def edit_manifest(path: Path, **changes: object) -> None:
    """Change a manifest on purpose: it loses its checksum, as one written by hand has none."""
    file = path / "manifest.json"
    content = json.loads(file.read_text()) | changes
    content.pop("sha256", None)
    file.write_text(json.dumps(content))


def test_rows_are_gathered_over_shards(zoo: Zoo) -> None:
    assert len(zoo.manifest.shards) == 3
    rows = torch.tensor([71, 0, 35, 30, 29, 35])
    for name in zoo.columns:
        assert torch.equal(zoo.read(name, rows), zoo.read(name)[rows])
    picks = torch.randint(zoo.sequences_stored, (6, 2))
    sequences, outputs = zoo.read_sequences(rows, picks)
    index = torch.arange(6)[:, None]
    assert torch.equal(sequences, zoo.read("sequences")[rows][index, picks])
    assert torch.equal(outputs, zoo.read("outputs")[rows][index, picks])


def test_newer_schema(copy: Path) -> None:
    edit_manifest(copy, schema=99)
    with pytest.raises(ZooError, match=r"schema 99.*newer wsrl"):
        open_zoo(copy)


def rewrite(path: Path, name: str, value: torch.Tensor) -> None:
    """Replace a column and make the manifest agree: only recomputing can tell."""
    from wsrl.zoos.files import checksum

    tensors = {key: tensor.clone() for key, tensor in read_tensors(shard(path)).items()}
    write_tensors(shard(path), tensors | {name: value}, {})
    shards = json.loads((path / "manifest.json").read_text())["shards"]
    size, digest = shard(path).stat().st_size, checksum(shard(path))
    shards[1] |= {"bytes": size, "sha256": digest}
    edit_manifest(path, shards=shards)


def test_outputs_of_other_weights(copy: Path) -> None:
    report = verify_zoo(copy, sequences=2)
    assert (report.snapshots, report.sequences) == (72, 2)
    assert report.largest_error < 5e-3
    tensors = {name: tensor.clone() for name, tensor in read_tensors(shard(copy)).items()}
    tensors["weights"][4] += 0.1
    rewrite(copy, "weights", tensors["weights"])
    message = r"outputs of 1 snapshots do not follow.*run 11, step 20: .*may be"
    with pytest.raises(ZooError, match=message):
        verify_zoo(copy)
    tensors["outputs"][2, 0, 0, 0] = float("nan")
    rewrite(copy, "outputs", tensors["outputs"])
    with pytest.raises(ZooError, match="outputs of 2 snapshots do not follow"):
        verify_zoo(copy)


def test_labels_that_are_not_of_the_runs(copy: Path) -> None:
    rewrite(copy, "run", read_tensors(shard(copy))["run"] + 1)
    with pytest.raises(ZooError, match="24 runs x 3 snapshots"):
        verify_zoo(copy)


def test_tasks_that_change(copy: Path) -> None:
    task = read_tensors(shard(copy))["task"].clone()
    task[4, 1] += 1
    rewrite(copy, "task", task)
    with pytest.raises(ZooError, match="task changes"):
        verify_zoo(copy)


@pytest.mark.parametrize("value", [9, -9])
def test_classes_that_are_none(value: int, copy: Path) -> None:
    task = read_tensors(shard(copy))["task"].clone()
    task[3:6, 1] = value  # all snapshots of a run
    rewrite(copy, "task", task)
    with pytest.raises(ZooError, match=r"target task: column 'task' holds values outside of"):
        verify_zoo(copy)


def test_a_file_that_is_not_listed(copy: Path) -> None:
    shutil.copy(shard(copy), shard(copy, 7))
    with pytest.raises(ZooError, match="no manifest lists"):
        verify_zoo(copy)


def test_unknown_column(zoo: Zoo) -> None:
    with pytest.raises(ZooError, match="no column 'angle', but weights, run, step"):
        zoo.read("angle")
