"""What the README shows runs as it stands there."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from wsrl.cli import main
from wsrl.encoders import registry

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def block(language: str, containing: str) -> str:
    blocks = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    (found,) = [text for text in blocks if containing in text]
    return str(found)


def test_an_encoder_in_twenty_lines(
    zoo_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = block("python", "register_encoder")
    lines = [line for line in code.splitlines() if line.strip() and "import" not in line]
    assert len(lines) <= 20
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))  # as it was, after
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", str(tmp_path))])
    (tmp_path / "my_encoder.py").write_text(code)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "zoos").mkdir()
    (tmp_path / "zoos/small").symlink_to(zoo_path)
    command = block("bash", "my_encoder.TensorNorms").replace("\\\n", " ").split()
    assert command[0] == "wsrl"
    assert main([*command[1:], "--trainer.fast_dev_run", "true"]) == 0


def test_the_python_example(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    exec(block("python", "from_module"), names)
    assert names["outputs"].shape == (1, 5, 20, 6)  # type: ignore[attr-defined]
    assert names["embedding"].shape == (1, 16)  # type: ignore[attr-defined]


def test_every_encoder_is_listed() -> None:
    from wsrl import list_encoders

    for name in list_encoders():
        assert f"| `{name}` |" in README


def test_every_config_that_is_named_exists() -> None:
    for path in re.findall(r"configs/[\w/.]+\.yaml", README):
        assert (ROOT / path).is_file(), path


def test_every_picture_and_linked_file_exists() -> None:
    for path in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / path).is_file(), path
