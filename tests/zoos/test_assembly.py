"""One zoo by several processes, whichever of them end early, is the zoo of one."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.waiting import until
from tests.zoos.building import (
    PROBLEM,
    SETTINGS,
    SHARDS,
    contents,
    end,
    gate_of,
    names,
    start,
    whole,  # noqa: F401
)
from wsrl.problems import FormalLanguages
from wsrl.zoos import BuildSettings, ZooError, build_zoo, group, open_zoo
from wsrl.zoos.folder import locked_zoo
from wsrl.zoos.manifest import BACKUP, MANIFEST, PROGRESS
from wsrl.zoos.shards import shares, tidy, whats_left


def test_several_workers_build_the_zoo_of_one(whole: Path, tmp_path: Path) -> None:  # noqa: F811
    zoo = tmp_path / "zoo"
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # one for each worker
    try:
        build_zoo(zoo, PROBLEM, SETTINGS, quiet=True, workers=2)
    finally:
        torch.set_num_threads(threads)
    assert contents(zoo) == contents(whole)


def test_a_zoo_is_one_command_s(whole: Path, tmp_path: Path) -> None:  # noqa: F811
    zoo = tmp_path / "zoo"
    builder = start(zoo, held_before=5, checkpoint_seconds=0)
    until(lambda: gate_of(zoo).waiting() == [builder.pid])
    for part in (None, (1, 2)):
        with pytest.raises(ZooError, match=rf"process {builder.pid} on .* is working on"):
            build_zoo(zoo, PROBLEM, SETTINGS, quiet=True, part=part)
    builder.kill()
    assert end(builder) == -signal.SIGKILL
    assert names(zoo, "*.safetensors") == ["00000.safetensors"]
    build_zoo(zoo, PROBLEM, SETTINGS, quiet=True)
    assert contents(zoo) == contents(whole)


def test_the_first_error_ends_a_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails for one shard, as on a full disk, is not tried for all the others."""
    begun: list[list[int]] = []

    def failing(members: group.Group, *_: Any) -> None:
        begun.append(members.members)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(group.Group, "train", failing)
        with pytest.raises(OSError, match="No space left"):
            build_zoo(tmp_path / "zoo", PROBLEM, SETTINGS, quiet=True)
    assert begun == [[0, 1]]
    assert build_zoo(tmp_path / "zoo", PROBLEM, SETTINGS, quiet=True).complete


def test_told_to_end_in_an_evaluation_nothing_is_lost(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Signals come in the middle of evaluations and at their ends; no update is made twice."""
    build_zoo(tmp_path / "whole", PROBLEM, SETTINGS, quiet=True)
    monkeypatch.setattr(group, "EVALUATED_TOGETHER", 1)
    evaluate, step = FormalLanguages.evaluate, group.Group._train_step
    evaluated, made = 0, 0

    def signalling(*arguments: Any) -> Any:
        nonlocal evaluated
        evaluated += 1
        if evaluated % 4 == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return evaluate(*arguments)

    def counting(members: group.Group) -> None:
        nonlocal made
        made += 1
        step(members)

    monkeypatch.setattr(FormalLanguages, "evaluate", signalling)
    monkeypatch.setattr(group.Group, "_train_step", counting)
    ends = []
    while not ends or ends[-1] is not None:
        ends.append(ended_by(tmp_path / "zoo"))
    assert ends[:2] == [128 + signal.SIGTERM] * 2
    assert made == SHARDS * max(SETTINGS.snapshots)
    assert contents(tmp_path / "zoo") == contents(tmp_path / "whole")


def ended_by(zoo: Path) -> Any:
    """Build here; return the status with which a signal ended it, if one did."""
    try:
        build_zoo(zoo, PROBLEM, SETTINGS, quiet=True)
    except SystemExit as ended:
        return ended.code
    return None


def test_parts_do_not_wait_and_the_last_completes(tmp_path: Path, whole: Path) -> None:  # noqa: F811
    zoo = tmp_path / "zoo"
    assert end(start(zoo, part=(2, 3))) == 0
    assert names(zoo, "*.json") == ["00001.json", "00004.json"]
    with pytest.raises(ZooError, match=r"unfinished \(2 shards are done\)"):
        open_zoo(zoo)
    assert whats_left({zoo: SHARDS}, 3) == [
        "3 of 5 shards are missing",
        "2 of part 1/3",
        "1 of part 3/3",
    ]
    others = [start(zoo, part=(which, 3), held_before=1) for which in (1, 3)]
    until(lambda: len(gate_of(zoo).waiting()) == 2)
    gate_of(zoo).open()  # both at once
    assert [end(other) for other in others] == [0, 0]
    assert contents(zoo) == contents(whole)
    assert whats_left({zoo: SHARDS}, 3) == []


def test_parts_that_complete_a_zoo_at_once_all_end_well(tmp_path: Path) -> None:
    """None falls over what another has removed, as it tidied up."""
    small = BuildSettings(runs=5, snapshots=[0], hidden_size=2, group_size=1)
    for attempt in range(2):
        zoo = tmp_path / str(attempt)
        builders = [start(zoo, small, part=(i + 1, 5), backend="eager") for i in range(5)]
        assert [end(builder) for builder in builders] == [0] * 5
        assert sorted(path.name for path in zoo.iterdir()) == [BACKUP, MANIFEST, "shards"]
        assert (zoo / BACKUP).read_bytes() == (zoo / MANIFEST).read_bytes()


def test_parts_of_another_number_wait_for_their_turn(tmp_path: Path) -> None:
    """Their shares overlap; those of one number do not."""
    with locked_zoo(tmp_path, (1, 2)):
        with locked_zoo(tmp_path, (2, 2)):
            pass
        for part in (None, (1, 2), (1, 3), (2, 12)):
            refused = pytest.raises(ZooError, match=f"process {os.getpid()} on .* is working on")
            with refused, locked_zoo(tmp_path, part):
                pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"part": (0, 2)}, "expected i/n with i from 1 to n"),
        ({"part": (3, 2)}, "expected i/n with i from 1 to n"),
        ({"device": "quux"}, "device 'quux' cannot be used here"),
        ({"device": "cuda:99"}, "device 'cuda:99' cannot be used here"),
    ],
)
def test_what_cannot_be_leaves_nothing_behind(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        build_zoo(tmp_path / "zoo", PROBLEM, SETTINGS, quiet=True, **options)
    assert not (tmp_path / "zoo").exists()


def test_no_training_on_top_of_a_lost_or_damaged_shard(tmp_path: Path) -> None:
    zoo = tmp_path / "zoo"
    assert end(start(zoo, part=(1, 5))) == 0
    shard = zoo / "shards" / "00000.safetensors"
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    with pytest.raises(ZooError, match=r"checksums differ\): 00000"):
        build_zoo(zoo, PROBLEM, SETTINGS, quiet=True)
    shard.unlink()
    with pytest.raises(ZooError, match="missing or damaged"):
        build_zoo(zoo, PROBLEM, SETTINGS, quiet=True)


@pytest.mark.parametrize("shards", [1, 2, 7])
@pytest.mark.parametrize("parts", [1, 2, 3, 9])
@pytest.mark.parametrize("before", [0, 1, 8])
def test_every_shard_is_of_one_part(shards: int, parts: int, before: int) -> None:
    shared = [shares(shards, (part + 1, parts), before) for part in range(parts)]
    assert sorted(index for share in shared for index in share) == list(range(shards))
    for part, share in enumerate(shared):  # as if the others' shards came first
        assert all((before + index) % parts == part for index in share)


def test_a_finished_zoo_keeps_nothing_of_its_making(tmp_path: Path) -> None:
    (tmp_path / PROGRESS).mkdir()
    for name in ("00000.json", "00000.json.lock", "00001.safetensors"):
        (tmp_path / PROGRESS / name).touch()  # some of a process that was killed
    tidy(tmp_path)
    assert not (tmp_path / PROGRESS).exists()


@pytest.mark.parametrize("damage", ["flipped", "another's"])
def test_a_damaged_record_is_never_believed(damage: str, tmp_path: Path) -> None:
    zoo = tmp_path / "zoo"
    assert end(start(zoo, part=(1, 4))) == 0
    record, other = (zoo / PROGRESS / f"0000{index}.json" for index in (0, 4))
    content = record.read_bytes().replace(b'"rows": 6', b'"rows": 7')
    record.write_bytes(content if damage == "flipped" else other.read_bytes())
    with pytest.raises(ZooError, match=rf"{record} is damaged .* wsrl zoo repair"):
        build_zoo(zoo, PROBLEM, SETTINGS, quiet=True)
    (zoo / PROGRESS / "notes.txt").write_text("years of work")
    record.unlink()
    build_zoo(zoo, PROBLEM, SETTINGS, quiet=True)
    assert [file.name for file in (zoo / PROGRESS).iterdir()] == ["notes.txt"]  # not ours
