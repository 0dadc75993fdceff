"""Several zoos read as one: what is read, which belong together, how a folder of them is built."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.conftest import SMALL_PROBLEM
from tests.zoos.building import contents
from wsrl.problems import FormalLanguages
from wsrl.rnn import MixedRNNs, run_population
from wsrl.zoos import (
    BuildSettings,
    Zoo,
    ZooCollection,
    ZooError,
    build_zoo,
    build_zoos,
    open_zoo,
    settings_grid,
    verify_zoo,
    zoo_folders,
)

SETTINGS = BuildSettings(runs=5, snapshots=(0, 4), hidden_size=3, num_layers=1, group_size=2)
PROBLEM = FormalLanguages(**SMALL_PROBLEM)


@pytest.fixture
def zoo(collection_path: Path) -> ZooCollection:
    found = open_zoo(collection_path)
    assert isinstance(found, ZooCollection)
    return found


def test_rows_are_those_of_one_zoo_after_the_other(zoo: ZooCollection) -> None:
    assert [one.path.name for one in zoo.zoos] == ["gru-4", "lstm-4", "lstm-6"]
    assert [str(spec) for spec in zoo.specs] == [str(one.spec) for one in zoo.zoos]
    assert len(zoo) == sum(map(len, zoo.zoos)) == 108
    assert zoo.steps == (0, 20, 60)
    rows = torch.tensor([100, 0, 35, 36, 71, 72, 100])
    local = [(2, 28), (0, 0), (0, 35), (1, 0), (1, 35), (2, 0), (2, 28)]
    assert zoo.zoo_of(rows).tolist() == [index for index, _ in local]
    assert zoo.spec_of(rows) == [zoo.zoos[index].spec for index, _ in local]
    picks = torch.randint(zoo.sequences_stored, (7, 2))
    read = zoo.read_sequences(rows, picks)
    for place, (index, row) in enumerate(local):
        own, at = zoo.zoos[index], torch.tensor([row])
        for name in ("step", "task", "performance", "sequences", "outputs"):
            assert torch.equal(zoo.read(name, rows)[place], own.read(name, at)[0]), name
        for mine, theirs in zip(read, own.read_sequences(at, picks[place][None]), strict=True):
            assert torch.equal(mine[place], theirs[0])
    runs = zoo.read("run", rows).tolist()
    assert runs == [own * 12 + int(zoo.zoos[own].read("run")[row]) for own, row in local]
    assert zoo.names(rows)[0] == f"run {runs[0]}, step 20"


def test_rnns_come_in_the_order_of_the_rows(zoo: ZooCollection) -> None:
    rows = torch.tensor([100, 0, 35, 36, 71, 72, 100])
    rnns = zoo.read_weights(rows)
    assert isinstance(rnns, MixedRNNs)
    sequences, stored = zoo.read_sequences(rows, torch.zeros(7, 1, dtype=torch.int64))
    outputs, _ = run_population(rnns, zoo.problem.encode(sequences))
    found, wanted = outputs.log_softmax(-1), stored.float().log_softmax(-1)
    torch.testing.assert_close(found, wanted, rtol=2e-3, atol=5e-3)
    assert not torch.allclose(found.flip(0), wanted, rtol=2e-3, atol=5e-3)
    assert zoo.read_weights(rows[:1]).flat.shape == (1, zoo.specs[2].num_parameters)
    with pytest.raises(ZooError, match="RNNs of 3 specs have no column of weights"):
        zoo.read("weights", rows)


def test_one_zoo_is_a_collection_of_one(collection_path: Path, tmp_path: Path) -> None:
    path = collection_path / "lstm-4"
    alone = open_zoo([path])
    assert isinstance(alone, Zoo)
    shutil.copytree(path, tmp_path / "zoos" / "lstm-4")
    assert isinstance(open_zoo(tmp_path / "zoos"), Zoo)
    assert alone.zoos == (alone,)
    rows = torch.tensor([3, 0])
    assert alone.zoo_of(rows).tolist() == [0, 0]
    assert torch.equal(alone.read_weights(rows).flat, alone.read("weights", rows))


def test_zoos_of_different_problems_are_refused(collection_path: Path, tmp_path: Path) -> None:
    good = collection_path / "lstm-4"
    for name, settings, what in (
        ("tokens", {"num_tokens": 4}, "num_tokens 3 and 4"),
        ("length", {"length": 18}, "length 16 and 18"),
    ):
        other = FormalLanguages(**(SMALL_PROBLEM | settings))
        build_zoo(tmp_path / name, other, SETTINGS, quiet=True)
        with pytest.raises(ZooError, match=what) as refused:
            open_zoo([good, tmp_path / name])
        assert str(good) in str(refused.value)
        assert str(tmp_path / name) in str(refused.value)
    with pytest.raises(ZooError, match="given more than once"):
        open_zoo([good, collection_path])
    with pytest.raises(ZooError, match="one or more"):
        open_zoo([])


def test_the_least_number_of_sequences_is_read(collection_path: Path, tmp_path: Path) -> None:
    fewer = FormalLanguages(**(SMALL_PROBLEM | {"stored_strings": 5}))
    build_zoo(tmp_path / "fewer", fewer, SETTINGS, quiet=True)
    zoo = open_zoo([collection_path, tmp_path / "fewer"])
    assert zoo.sequences_stored == 5
    assert zoo.read("sequences").shape[:2] == (108 + 10, 5)
    assert zoo.steps == (0, 4, 20, 60)


def test_an_unfinished_or_unreadable_zoo_of_a_collection_is_named(
    collection_path: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(collection_path, tmp_path / "zoos"))
    build_zoo(path / "half", PROBLEM, SETTINGS, quiet=True, part=(1, 2))
    with pytest.raises(ZooError, match=r"zoos/half is unfinished \(2 shards are done\)"):
        open_zoo(path)
    shutil.rmtree(path / "half")
    manifest = path / "gru-4" / "manifest.json"
    content = json.loads(manifest.read_text())
    content["spec"]["cell"] = content["build"]["cell"] = "wonder"
    content.pop("sha256")
    manifest.write_text(json.dumps(content))
    with pytest.raises(ZooError, match=r"gru-4/manifest.json holds RNNs of the cell 'wonder'"):
        open_zoo(path)


def test_a_folder_of_zoos_is_verified_whole(collection_path: Path, tmp_path: Path) -> None:
    report = verify_zoo(collection_path, 2)
    assert (report.snapshots, report.sequences) == (108, 2)
    path = Path(shutil.copytree(collection_path, tmp_path / "zoos"))
    (path / "lstm-6" / "shards" / "00000.safetensors").unlink()
    with pytest.raises(ZooError, match="lstm-6"):
        verify_zoo(path)


def test_zoos_are_found_in_folders_of_folders(zoo_path: Path, tmp_path: Path) -> None:
    for name in ("size/small", "size/large", "other", "size/deeper/none", ".hidden/none"):
        shutil.copytree(zoo_path, tmp_path / name)
    found = [str(folder.relative_to(tmp_path)) for folder in zoo_folders(tmp_path)]
    assert found == ["other", "size/large", "size/small"]
    assert zoo_folders(tmp_path / "other" / "shards") == [tmp_path / "other" / "shards"]


def test_a_grid_builds_the_zoos_that_single_builds_make(tmp_path: Path) -> None:
    grid = settings_grid(SETTINGS, ["lstm", "tanh"], [3, 5], [2])
    assert list(grid) == ["lstm-2x3", "lstm-2x5", "tanh-2x3", "tanh-2x5"]
    for part in ((1, 2), (2, 2)):  # as two jobs of a cluster would
        build_zoos(tmp_path / "zoos", PROBLEM, grid, quiet=True, part=part)
    assert [folder.name for folder in zoo_folders(tmp_path / "zoos")] == sorted(grid)
    before = contents(tmp_path / "zoos")
    build_zoos(tmp_path / "zoos", PROBLEM, grid, quiet=True)  # all is there
    assert contents(tmp_path / "zoos") == before
    for name in ("lstm-2x5", "tanh-2x3"):
        build_zoo(tmp_path / name, PROBLEM, grid[name], quiet=True)
        assert contents(tmp_path / name) == contents(tmp_path / "zoos" / name)
    tasks = [open_zoo(tmp_path / "zoos" / name).read("task") for name in grid]
    assert all(torch.equal(tasks[0], other) for other in tasks[1:])


def test_a_grid_names_each_zoo_once(tmp_path: Path) -> None:
    assert list(settings_grid(SETTINGS, "gru")) == ["."]
    assert list(settings_grid(SETTINGS, None, [4])) == ["lstm-4"]
    with pytest.raises(ValueError, match="two zoos would be called lstm-4"):
        settings_grid(SETTINGS, None, [4, 4])
    with pytest.raises(ValueError, match="hidden_size: expected one or more"):
        settings_grid(SETTINGS, None, [])
    with pytest.raises(ValueError, match="unknown cell"):
        build_zoos(tmp_path / "zoos", PROBLEM, settings_grid(SETTINGS, ["lstm", "wonder"]))
    assert not (tmp_path / "zoos").exists()
    build_zoo(tmp_path / "one", PROBLEM, SETTINGS, quiet=True)
    with pytest.raises(ZooError, match="holds one zoo, not a folder of zoos"):
        build_zoos(tmp_path / "one", PROBLEM, settings_grid(SETTINGS, ["gru"]))
