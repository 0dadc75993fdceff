"""The random search for faults: the same seed does the same, and rules can be broken.

``python -m benchmarks.mutations`` makes the attempts themselves.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file

from benchmarks.mutations.attempts import WORK, lay_out, plan
from benchmarks.mutations.folders import OUTSIDE
from benchmarks.mutations.judging import judge, state_of
from benchmarks.mutations.processes import Outcome

GIBI = 2**30
WELL = Outcome(0, None, 1.0, GIBI, None, "well\n", "")


@pytest.fixture(scope="module")
def inputs(zoo_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Something of most kinds; only the zoo is a real one."""
    folder = tmp_path_factory.mktemp("mutations") / "inputs"
    shutil.copytree(zoo_path, folder / "zoo")
    state = {"rnn.weight_hh_l0": torch.randn(8, 2), "rnn.bias_hh_l0": torch.randn(12)}
    for place in ("run/checkpoints", "bench", "models"):
        (folder / place).mkdir(parents=True)
    checkpoint = {"epoch": 1, "state_dict": state, "optimizer_states": [{"state": {0: {"a": 1}}}]}
    checkpoint["hyper_parameters"] = {"spec": {"cell": "lstm", "hidden_size": 2}}
    torch.save(checkpoint, folder / "run/checkpoints/best.ckpt")
    torch.save(state, folder / "models/m01.pt")
    save_file(state, folder / "own.safetensors")
    (folder / "bench/cell.json").write_text('{"seed": 0, "cost": {"steps": 4}, "metrics": [0.5]}')
    (folder / "table.csv").write_text("file,animal,size\n0.pt,dog,1\n1.pt,cat,2\n2.pt,dog,3\n")
    (folder / "emulation.yaml").write_text(yaml.safe_dump({"model": {"width": 8}, "data": [1, 2]}))
    return folder


def digest(folder: Path) -> str:
    """Return a digest of all entries of a folder: kinds, rights, contents, where links lead."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        link = os.readlink(path) if path.is_symlink() else ""
        link = link.replace(str(folder.parent), "")
        entry = (str(path.relative_to(folder)), path.lstat().st_mode, link)
        found.update(repr(entry).encode(errors="replace") + content)
    return found.hexdigest()


def test_one_seed_changes_copies_alike(inputs: Path, tmp_path: Path) -> None:
    as_it_was, changed = digest(inputs), 0
    first, again, other = (list(itertools.islice(plan(inputs, seed), 40)) for seed in (0, 0, 1))
    assert first == again
    assert [one.path for one in first] != [one.path for one in other]
    for attempt in first:
        assert attempt.path.parts[0] in attempt.command.reads.split()
        found = []
        for folder in (tmp_path / "a", tmp_path / "b"):
            lay_out(inputs, folder)
            said = attempt.mutate(folder)
            found.append((said, digest(folder / WORK)))
        # The old format of torch.save names tensors by their addresses.
        assert found[0] == found[1] or attempt.mutator.__name__ == "old_format"
        changed += found[0][1] != as_it_was
    assert changed > 30  # now and then a value is replaced by its like
    assert digest(inputs) == as_it_was
    (only,) = itertools.islice(plan(inputs, 0, [first[3].kind]), 1)
    assert only == first[3]  # a kind alone keeps its numbers


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


def test_what_must_be_refused_and_what_must_stay_is_seen(inputs: Path, tmp_path: Path) -> None:
    for kind, findings in (("flipped bits", 1), ("checkpoints", 0)):
        assert len(judge(next(plan(inputs, 0, [kind])), WELL, WELL, {}, {})) == findings
    lay_out(inputs, tmp_path)
    before = state_of(tmp_path, "new")
    (tmp_path / WORK / "new").mkdir()
    assert state_of(tmp_path, "new") == before
    (tmp_path / OUTSIDE / "keep.txt").write_text("precious\n")  # the same again
    found = judge(None, WELL, WELL, before, state_of(tmp_path, "new"))
    assert found == ["changed: outside/keep.txt"]
