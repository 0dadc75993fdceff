"""What a file may have imported: registered and installed classes, and what the user named."""

from __future__ import annotations

import importlib
import json
import shutil
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


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: Path) -> Path:
    """A folder that packages are installed into."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    return folder


def install(folder: Path, source: Path | None = None) -> None:
    """Install ``gadgets.py``, or note that it is installed from elsewhere, to be edited there."""
    info = folder / "gadgets-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gadgets\nVersion: 1.0\n")
    (info / "RECORD").write_text("" if source else "gadgets.py,,\n")
    if source:
        told = {"url": source.as_uri(), "dir_info": {"editable": True}}
        (info / "direct_url.json").write_text(json.dumps(told))
    ((source or folder) / "gadgets.py").write_text(CODE)
    importlib.invalidate_caches()


def test_a_file_in_the_working_folder_is_not_installed(here: Path) -> None:
    (here / "gadgets.py").write_text(CODE)
    assert not is_installed("gadgets")
    with pytest.raises(ValueError, match="add --import gadgets"):
        find_class("gadgets.Own", Encoder)  # type: ignore[type-abstract]
    assert "gadgets" not in sys.modules
    named = find_class("gadgets.Own", Encoder, {"gadgets.Own"})  # type: ignore[type-abstract]
    assert find_class("gadgets.Own", Encoder) is named  # type: ignore[type-abstract]


def test_what_an_installer_put_there_is_installed_and_what_says_so_here_is_not(
    here: Path, site: Path
) -> None:
    install(here)  # as a download that is unpacked here, with metadata
    assert not is_installed("gadgets")
    shutil.rmtree(here / "gadgets-1.0.dist-info")
    install(site)  # the file here comes first: an import would take that
    assert not is_installed("gadgets")
    (here / "gadgets.py").unlink()
    importlib.invalidate_caches()
    assert is_installed("gadgets")
    assert find_class("gadgets.Own", Encoder).__name__ == "Own"  # type: ignore[type-abstract]


def test_a_package_in_editable_mode_is_installed(here: Path, site: Path) -> None:
    install(site, source=here)
    assert is_installed("gadgets")
    (here / "other.py").write_text(CODE)
    assert not is_installed("other")


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
