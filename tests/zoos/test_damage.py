"""Any damage to any file of a zoo is seen: never is something else read than was written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from wsrl.problems import FormalLanguages
from wsrl.zoos import BuildSettings, Manifest, ZooError, build_zoo, open_zoo

PROBLEM = FormalLanguages(2, 8, 3, -2, 1, evaluated_strings=8, stored_strings=2)
BUILD = BuildSettings(runs=3, snapshots=[0, 2], hidden_size=2, num_layers=1, group_size=2)

WHERE = st.floats(0, 1, exclude_max=True)
WHAT = st.one_of(
    st.tuples(st.just("flip"), st.integers(0, 7)),
    st.tuples(st.just("set"), st.integers(0, 255)),
    st.tuples(st.just("insert"), st.integers(0, 255)),
    st.tuples(st.just("cut"), st.integers(1, 40)),
    st.tuples(st.just("end"), st.just(0)),
)


def damaged(content: bytes, where: int, what: tuple[str, int]) -> bytes:
    kind, value = what
    if kind == "flip":
        new = bytes([content[where] ^ 1 << value])
        return content[:where] + new + content[where + 1 :]
    if kind == "set":
        return content[:where] + bytes([value]) + content[where + 1 :]
    if kind == "insert":
        return content[:where] + bytes([value]) + content[where:]
    return content[:where] + (content[where + value :] if kind == "cut" else b"")


@contextmanager
def damage(file: Path, where: float | int, what: tuple[str, int]) -> Iterator[None]:
    """Damage a file, and mend it afterwards."""
    content = file.read_bytes()
    position = int(where * len(content)) if isinstance(where, float) else where
    new = damaged(content, position, what)
    if new == content:
        assume(False)
    try:
        file.write_bytes(new)
        yield
    finally:
        file.write_bytes(content)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zoo that the tests damage and mend."""
    path = tmp_path_factory.mktemp("zoos") / "zoo"
    build_zoo(path, PROBLEM, BUILD, quiet=True)
    return path


@given(WHERE, WHAT)
@settings(max_examples=150)
def test_a_damaged_manifest_is_refused_or_says_the_same(
    small: Path, where: float, what: tuple[str, int]
) -> None:
    """The same only where blanks between the words of the JSON changed."""
    sound = Manifest.read(small)
    with damage(small / "manifest.json", where, what):
        content = (small / "manifest.json").read_bytes()
        try:
            found = Manifest.read(small)
        except ZooError:
            with pytest.raises(ZooError, match=r"manifest\.json"):
                open_zoo(small)
            return
        assert found == sound
        plain = json.dumps(json.loads(content), indent=2)
        assert "".join(plain.split()) == "".join(content.decode().split())


@given(st.integers(0, 1), WHERE, WHAT)
@settings(max_examples=100)
def test_a_damaged_shard_is_refused(
    small: Path, index: int, where: float, what: tuple[str, int]
) -> None:
    file = small / "shards" / f"{index:05d}.safetensors"
    with damage(file, where, what), pytest.raises(ZooError, match=file.name):
        open_zoo(small).check()


@given(WHERE, WHAT)
@settings(max_examples=20)
@example(0.0, ("flip", 0))
@example(0.999, ("flip", 0))
def test_a_damaged_state_of_an_unfinished_group_is_refused(
    unfinished: Path, where: float, what: tuple[str, int]
) -> None:
    (file,) = (unfinished / "progress").glob("*.safetensors")
    with damage(file, where, what), pytest.raises(ZooError, match=file.name):
        build_zoo(unfinished, PROBLEM, BUILD, quiet=True)


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zoo whose building was interrupted after a group had saved its state."""
    path = tmp_path_factory.mktemp("zoos") / "zoo"

    def evaluate(run, tasks, members, seed, step):
        if step == 2:
            raise KeyboardInterrupt
        return FormalLanguages.evaluate(problem, run, tasks, members, seed, step)

    problem = FormalLanguages(**PROBLEM.settings())
    problem.evaluate = evaluate
    with pytest.raises(KeyboardInterrupt):
        build_zoo(path, problem, BUILD, checkpoint_seconds=0, quiet=True)
    return path


def test_an_undamaged_state_is_gone_on_with(unfinished: Path, small: Path, tmp_path: Path) -> None:
    """The negative partner: and the zoo is the one that was never interrupted."""
    again = Path(shutil.copytree(unfinished, tmp_path / "zoo"))
    build_zoo(again, PROBLEM, BUILD, quiet=True)
    assert open_zoo(again).manifest.shards == open_zoo(small).manifest.shards
