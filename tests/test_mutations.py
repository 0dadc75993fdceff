"""The random search for faults: the same seed does the same, and every rule can be broken.

``python -m benchmarks.mutations`` makes the attempts themselves.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from random import Random

import pytest
import torch
import yaml
from safetensors.torch import save_file

from benchmarks.mutations.attempts import WORK, Attempt, lay_out, plan
from benchmarks.mutations.folders import OUTSIDE
from benchmarks.mutations.judging import (
    judge,
    leftovers,
    pages_with_markup,
    state_of,
)
from benchmarks.mutations.kinds import COMMANDS, KINDS, Command, Mutator, commands_that_read
from benchmarks.mutations.parquet import write_parquet
from benchmarks.mutations.processes import Outcome
from benchmarks.mutations.trees import MARKUP, change_tree, places

GIBI = 2**30
WELL = Outcome(0, None, 1.0, GIBI, None, "well\n", "")


@pytest.fixture(scope="module")
def inputs(zoo_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Something of every kind; only the zoo is a real one."""
    folder = tmp_path_factory.mktemp("mutations") / "inputs"
    shutil.copytree(zoo_path, folder / "zoo")
    state = {"rnn.weight_hh_l0": torch.randn(8, 2), "rnn.bias_hh_l0": torch.randn(12)}
    moments = {0: {"step": torch.tensor(4.0), "exp_avg": torch.randn(8, 2)}}
    checkpoint = {"epoch": 1, "state_dict": state, "optimizer_states": [{"state": moments}]}
    checkpoint["hyper_parameters"] = {"spec": {"cell": "lstm", "hidden_size": 2}}
    for place in ("run/checkpoints", "bench", "models", "zoo/progress"):
        (folder / place).mkdir(parents=True)
    for name in ("best.ckpt", "last.ckpt"):
        torch.save(checkpoint, folder / "run/checkpoints" / name)
    for name in ("own.pt", "models/m01.pt"):
        torch.save(state, folder / name)
    for name in ("own.safetensors", "run/checkpoints/inspection.safetensors"):
        save_file(state, folder / name)
    for name in ("bench/cell.json", "zoo/progress/00000.json"):
        (folder / name).write_text('{"seed": 0, "cost": {"steps": 4}, "metrics": [0.5, 1.0]}')
    (folder / "table.csv").write_text("file,animal,size\n0.pt,dog,1\n1.pt,cat,2\n2.pt,dog,3\n")
    write_parquet(folder / "table.csv", folder / "table.parquet")
    settings = {"model": {"encoder": "x", "width": 8}, "data": [1, 2], "trainer": {"steps": 3}}
    (folder / "emulation.yaml").write_text(yaml.safe_dump(settings))
    return folder


def digest(folder: Path) -> str:
    """Return a digest of all entries of a folder: kinds, rights, contents, where links lead."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        link = os.readlink(path) if path.is_symlink() else ""
        link = link.replace(str(folder.parent), "")
        found.update(repr((str(path.relative_to(folder)), mode, link)).encode(errors="replace"))
        found.update(content)
    return found.hexdigest()


def mutated(attempt: Attempt, inputs: Path, folder: Path) -> tuple[str, str]:
    """Return what an attempt says of its mutation, and the digest of what it made."""
    lay_out(inputs, folder)
    return attempt.mutate(folder), digest(folder / WORK)


@pytest.mark.parametrize(
    ("kind", "mutator"),
    [(name, mutator) for name, kind in KINDS.items() for mutator in dict.fromkeys(kind.mutators)],
    ids=lambda one: getattr(one, "__name__", one),
)
def test_mutators_change_their_input_and_one_seed_does_it_alike(
    kind: str, mutator: Mutator, inputs: Path, tmp_path: Path
) -> None:
    if kind == "Parquet" and not find_spec("pyarrow"):
        pytest.skip("no pyarrow")
    as_it_was, changed = digest(inputs), []
    drawn = (one for one in plan(inputs, 0, [kind]))
    for attempt in itertools.islice(drawn, 12):
        attempt = replace(attempt, mutator=mutator)
        said, first = mutated(attempt, inputs, tmp_path / "a")
        same, again = mutated(attempt, inputs, tmp_path / "b")
        assert said == same
        assert first == again or mutator.__name__ == "old_format"  # which names tensors by address
        changed.append(first != as_it_was)
    assert sum(changed) >= 8  # now and then a value is replaced by its like
    assert digest(inputs) == as_it_was  # what is changed are copies


def test_a_seed_draws_the_same_attempts_and_another_one_others(inputs: Path) -> None:
    first, again, other = (
        list(itertools.islice(plan(inputs, seed), 3 * len(KINDS))) for seed in (0, 0, 1)
    )
    assert first == again
    assert [one.path for one in first] != [one.path for one in other]
    there = {name for name in KINDS if name != "Parquet" or find_spec("pyarrow")}
    assert {one.kind for one in first} == there
    for attempt in first:
        assert attempt.path.parts[0] in attempt.command.reads.split()
    name = first[3].kind
    (only,) = itertools.islice(plan(inputs, 0, [name]), 1)
    assert only == first[3]  # a kind alone keeps its numbers


def test_every_command_is_drawn_by_some_kind(tmp_path: Path) -> None:
    names = {first for command in COMMANDS for first in command.reads.split()}
    for name in names:
        (tmp_path / name).touch()
    drawn: set[Command] = set()
    for name in names:
        for kind in KINDS.values():
            drawn.update(commands_that_read(kind, Path(name), tmp_path))
    assert drawn == set(COMMANDS)
    (tmp_path / "table.csv").unlink()
    for command in commands_that_read(KINDS["state dicts"], Path("models"), tmp_path):
        assert "table.csv" not in command.words  # what is not there is not read


def test_one_place_of_a_tree_is_changed() -> None:
    tree = {"a": [1, {"b": 2}], "c": {}}
    assert len(places(tree)) == 5
    changes = {change_tree(Random(seed), {"a": [1, {"b": 2}], "c": {}}) for seed in range(50)}
    assert len(changes) > 20
    assert change_tree(Random(0), {}) == "nothing to change"


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"status": 1, "stderr": "wsrl fit: error: no\n"}, None),
        ({"status": 2, "stderr": "wsrl fit: error: no\n"}, None),
        ({"status": 70, "stderr": "wsrl fit: error: no\n"}, "status 70"),
        ({"status": 1}, "without a word"),
        ({"status": None, "signal": "SIGSEGV"}, "SIGSEGV"),
        ({"ended": "it did not end in 21 s"}, "did not end"),
        ({"memory": 5 * GIBI}, "5.0 GiB"),
        ({"stderr": "Traceback (most recent call last):\nKeyError: 1\n"}, "KeyError"),
        ({"stderr": "a line\n" * 6}, "6 lines"),
        ({"stderr": "a line\n" * 5}, None),
        ({"stdout": "much\n" * 100}, None),
        ({"stderr": "x" * 2001}, "2001 characters"),
        ({"stdout": "\x1b[31mred"}, "control characters"),
        ({"stdout": "\x9bred"}, "control characters"),
        ({"stdout": "a\ttable, é\n"}, None),
    ],
)
def test_rules(change: dict[str, object], finding: str | None) -> None:
    found = judge(None, replace(WELL, **change), WELL, {}, {})
    assert [finding in one for one in found] == ([True] if finding else [])


@pytest.mark.parametrize(("kind", "findings"), [("flipped bits", 1), ("checkpoints", 0)])
def test_a_flipped_bit_must_be_refused(kind: str, findings: int, inputs: Path) -> None:
    attempt = next(plan(inputs, 0, [kind]))
    refused = replace(WELL, status=1, stderr="wsrl test: error: damaged\n")
    assert len(judge(attempt, WELL, WELL, {}, {})) == findings
    assert judge(attempt, refused, WELL, {}, {}) == []


def test_changes_elsewhere_are_seen(inputs: Path, tmp_path: Path) -> None:
    lay_out(inputs, tmp_path)
    before = state_of(tmp_path, "new run")
    for name in ("new/a", "run/config.yaml"):
        (tmp_path / WORK / name).parent.mkdir(exist_ok=True)
        (tmp_path / WORK / name).write_text("x")
    assert state_of(tmp_path, "new run") == before
    (tmp_path / OUTSIDE / "keep.txt").write_text("precious\n")  # the same again
    (tmp_path / WORK / "table.csv").chmod(0o600)
    (tmp_path / "home/.new").touch()
    found = judge(None, WELL, WELL, before, state_of(tmp_path, "new run"))
    assert found == ["changed: home, home/.new, outside/keep.txt"]  # the first three
    os.utime(tmp_path / WORK)
    assert state_of(tmp_path, "")["work/table.csv"] != before["work/table.csv"]


def test_pages_and_leftovers(inputs: Path, tmp_path: Path) -> None:
    lay_out(inputs, tmp_path)
    attempt = next(plan(inputs, 0, ["records"]))
    attempt = replace(attempt, command=Command("report bench", "bench", "bench"))
    page = tmp_path / WORK / "bench/report.html"
    page.write_text(MARKUP.replace("<", "&lt;"))
    assert (pages_with_markup(tmp_path, attempt), leftovers(tmp_path)) == ([], set())
    page.write_text(MARKUP)
    (tmp_path / WORK / "bench/x.partial").touch()
    assert len(pages_with_markup(tmp_path, attempt)) == len(leftovers(tmp_path)) == 1


RUN = """
import os, signal, sys, time
from pathlib import Path
from benchmarks.mutations import processes

def call(words):
    what = words[0]
    if what == "sleep":
        time.sleep(600)
    if what == "spin":
        while True:
            pass
    if what == "child":
        os.fork()
        time.sleep(600)
    if what == "die":
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "say":
        print(os.getcwd(), os.environ)
        print("word", file=sys.stderr)
    return 3

processes._call = call
here = Path(sys.argv[1])
for what in ("say", "die", "sleep", "spin", "child"):
    seconds = 600 if what in ("say", "die") else 0.3
    found = processes.run_command([what], here, {"A": "B"}, seconds)
    ended = found.ended is not None
    print(what, found.status, found.signal, ended, "'A': 'B'" in found.stdout, found.stderr.strip())
"""


def test_processes_are_bounded_and_measured(tmp_path: Path) -> None:
    words = [sys.executable, "-c", RUN, str(tmp_path)]
    root = Path(__file__).parent.parent
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "say 3 None False True word",
        "die None SIGSEGV False False ",
        "sleep None SIGKILL True False ",
        "spin None SIGKILL True False ",
        "child None SIGKILL True False ",
    ]
