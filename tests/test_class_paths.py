"""What a file may have imported: registered and installed classes, and what the user named."""

import importlib
import site
import sys
from pathlib import Path

import pytest

from wsrl.class_paths import find_class, import_class, is_installed
from wsrl.encoders import Encoder

CODE = "import wsrl\nclass Own(wsrl.Encoder):\n    def forward(self, weights): ...\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, which is on the path like that of ``wsrl``."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    importlib.invalidate_caches()
    return folder


def test_a_file_in_the_working_folder_is_not_installed(here: Path) -> None:
    (here / "gadgets.py").write_text(CODE)
    assert not is_installed("gadgets")
    with pytest.raises(ValueError, match="add --import gadgets"):
        find_class("gadgets.Own", Encoder)  # type: ignore[type-abstract]
    assert "gadgets" not in sys.modules
    named = find_class("gadgets.Own", Encoder, {"gadgets.Own"})  # type: ignore[type-abstract]
    assert find_class("gadgets.Own", Encoder) is named  # type: ignore[type-abstract]


def test_what_lies_where_installers_put_it_is_installed_unless_a_file_here_comes_first(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "site-packages"
    home.mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, str(home)])
    for folder in (here, home):
        (folder / "gadgets.py").write_text(CODE)
    monkeypatch.setattr(site, "getsitepackages", lambda: [str(home)])
    importlib.invalidate_caches()
    assert not is_installed("gadgets")
    (here / "gadgets.py").unlink()
    importlib.invalidate_caches()
    assert is_installed("gadgets")
    assert find_class("gadgets.Own", Encoder).__name__ == "Own"  # type: ignore[type-abstract]


@pytest.mark.parametrize("module", ["antigravity", "no_such_package", "", ".", "torch.__main__"])
def test_modules_of_no_package(module: str) -> None:
    assert not is_installed(module)


def test_a_class_that_the_user_names_is_imported(here: Path) -> None:
    (here / "mine").mkdir()
    (here / "mine" / "deep.py").write_text(CODE)
    (here / "mine" / "broken.py").write_text("1 / 0\n")
    importlib.invalidate_caches()
    assert import_class("mine.deep.Own", Encoder).__name__ == "Own"  # type: ignore[type-abstract]
    for path, reason in (
        ("mine.broken.Own", "ZeroDivisionError"),
        ("mine.deep.Other", "has no 'Other'"),
        ("mine.deep.wsrl", "no subclass of Encoder"),
        ("mine.nothing.Own", "ModuleNotFoundError"),
        ("Own", "give the path of its module"),
    ):
        with pytest.raises(ValueError, match=f"{path.rpartition('.')[2]}.*{reason}"):
            import_class(path, Encoder)  # type: ignore[type-abstract]
