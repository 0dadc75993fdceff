"""The random search for faults: the same seed does the same, and rules can be broken.

``python -m benchmarks.mutations`` makes the attempts themselves.
"""

from __future__ import annotations

import itertools
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.mutations.attempts import WORK, lay_out, plan
from benchmarks.mutations.folders import OUTSIDE
from benchmarks.mutations.judging import judge, state_of
from benchmarks.mutations.processes import Outcome

GIBI = 2**30
KINDS = ["manifests", "state dicts", "tables", "shards", "flipped bits"]
WELL = Outcome(0, None, 1.0, GIBI, None, "well\n", "")


@pytest.fixture
def inputs(zoo_path: Path, tmp_path: Path) -> Path:
    """A zoo, and a state dict in a folder, which some command reads with the table."""
    folder = tmp_path / "inputs"
    shutil.copytree(zoo_path, folder / "zoo")
    (folder / "models").mkdir()
    torch.save({"rnn.weight_hh_l0": torch.ones(8, 2)}, folder / "models/m01.pt")
    (folder / "table.csv").write_text("file,animal,size\n0.pt,dog,1\n1.pt,cat,2\n2.pt,dog,3\n")
    return folder


def contents(folder: Path) -> dict[Path, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return {path.relative_to(folder): path.read_bytes() for path in files}


def test_one_seed_changes_copies_alike(inputs: Path, tmp_path: Path) -> None:
    as_it_was, changed = contents(inputs), 0
    drawn = (plan(inputs, seed, KINDS) for seed in (0, 0, 1))
    first, again, other = (list(itertools.islice(one, 20)) for one in drawn)
    assert first == again
    assert first != other
    for attempt in first:
        found = []
        for folder in (tmp_path / "a", tmp_path / "b"):
            lay_out(inputs, folder)
            found.append((attempt.mutate(folder), contents(folder / WORK)))
        assert found[0] == found[1]
        changed += found[0][1] != as_it_was
    assert changed > 10  # now and then a value is replaced by its like, or rights are changed
    assert contents(inputs) == as_it_was


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"status": 1, "stderr": "wsrl fit: error: no\n"}, None),
        ({"status": 70, "stderr": "wsrl fit: error: no\n"}, "status 70"),
        ({"status": 1}, "without a word"),
        ({"status": None, "signal": "SIGSEGV"}, "SIGSEGV"),
        ({"ended": "it did not end in 21 s"}, "did not end"),
        ({"memory": 5 * GIBI}, "5.0 GiB"),
        ({"stderr": "Traceback (most recent call last):\nKeyError: 1\n"}, "KeyError"),
        ({"stderr": "a line\n" * 6}, "6 lines"),
        ({"stderr": "x" * 2001}, "2001 characters"),
        ({"stdout": "\x1b[31mred"}, "control characters"),
        ({"stdout": "a\ttable, é\n" * 100}, None),
    ],
)
def test_rules(change: dict[str, object], finding: str | None) -> None:
    found = judge(None, replace(WELL, **change), WELL, {}, {})
    assert [finding in one for one in found] == ([True] if finding else [])


def test_what_must_stay_is_seen(inputs: Path, tmp_path: Path) -> None:
    lay_out(inputs, tmp_path / "there")
    before = state_of(tmp_path / "there", "new")
    (tmp_path / "there" / WORK / "new").mkdir()
    assert state_of(tmp_path / "there", "new") == before
    (tmp_path / "there" / OUTSIDE / "keep.txt").write_text("precious\n")  # the same again
    found = judge(None, WELL, WELL, before, state_of(tmp_path / "there", "new"))
    assert found == ["changed: outside/keep.txt"]
