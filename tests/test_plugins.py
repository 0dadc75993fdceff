"""Parts by name, whatever kind they are of."""

import importlib
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from wsrl.plugins import Registry


@pytest.fixture
def parts() -> Registry[Callable[[], int]]:
    return Registry("odd part", "wsrl.tests.parts")


def one() -> int:
    return 1


def test_a_part_is_found_by_its_name_alone(parts: Registry[Callable[[], int]]) -> None:
    assert parts.register(one) is one
    assert (parts.names(), parts.get("one")) == (["one"], one)
    assert one in parts
    with pytest.raises(ValueError, match=r"unknown odd part 'two'; choose one of one, or .*--imp"):
        parts.get("two")
    with pytest.raises(ValueError, match=r"the odd part 'one' is .*plugins\.one"):
        parts.register(one)


def test_what_is_registered_within_is_forgotten(parts: Registry[Callable[[], int]]) -> None:
    with parts.restored():
        parts.register(one)
        assert parts.names() == ["one"]
    assert parts.names() == []


def test_other_packages_announce_parts(
    parts: Registry[Callable[[], int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other_parts.py").write_text("def three():\n    return 3\n")
    info = tmp_path / "other_parts-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-parts\nVersion: 1.0\n")
    points = "three = other_parts:three\nfour = other_parts:four\n"
    (info / "entry_points.txt").write_text(f"[wsrl.tests.parts]\n{points}")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.warns(UserWarning, match="other_parts:four.*does not load"):
        assert parts.get("three")() == 3
    assert parts.names() == ["three"]


@pytest.mark.parametrize("room", ["wsrl.rnn.cells", "wsrl.encoders", "wsrl.problems"])
def test_a_file_in_its_room_is_enough(
    room: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one_file_more.py").write_text("")
    package = importlib.import_module(room)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    runpy.run_path(str(package.__file__), {"__path__": package.__path__}, room)
    assert sys.modules.pop(f"{room}.one_file_more")
