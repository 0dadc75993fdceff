"""Which room may import which, and what must not be imported at all."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "wsrl"
MAY_IMPORT = {
    "rnn": {"plugins", "safe_files"},
    "problems": {"rnn", "plugins", "safe_files", "validation"},
    "zoos": {
        *("rnn", "problems", "plugins", "stopping", "torch_files", "safe_files", "strict_json"),
        "validation",
    },
    "data": {"rnn", "problems", "zoos", "safe_files", "strict_json", "validation"},
    "encoders": {"rnn", "plugins", "class_paths", "recorded"},
    "tasks": {
        *("rnn", "encoders", "data.batch", "analysis.figures"),
        *("class_paths", "plugins", "recorded", "torch_files", "safe_files"),
    },
    "analysis": {"rnn", "encoders", "terminal"},
    "studies": {
        *("_process", "environment", "stopping", "torch_files", "safe_files", "strict_json"),
        *("class_paths", "recorded", "terminal", "failures", "validation"),
        *("rnn", "problems", "zoos", "data", "encoders", "tasks", "analysis"),
    },
}


def imports(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_rooms_import_only_what_they_may(room: str) -> None:
    allowed = [f"wsrl.{name}" for name in (room, *MAY_IMPORT[room])]
    for file in (ROOT / room).rglob("*.py"):
        for module in imports(file):
            inside = module.startswith("wsrl.")
            assert not inside or any(f"{module}.".startswith(f"{a}.") for a in allowed), (
                f"{file} imports {module}"
            )


def test_nothing_is_unpickled_and_only_figures_draw() -> None:
    for file in ROOT.rglob("*.py"):
        modules = imports(file)
        assert not re.search(r"pickle\.(?!UnpicklingError)|import pickle", file.read_text()), file
        draws = any(module.split(".")[0] == "matplotlib" for module in modules)
        may_draw = ("analysis/figures.py", "analysis/memory_figures.py")
        assert not draws or file.relative_to(ROOT).as_posix() in may_draw, file


def test_one_place_reads_what_torch_saved_and_one_place_reads_yaml() -> None:
    for file in ROOT.rglob("*.py"):
        text = file.read_text()
        assert "torch.load(" not in text or file.name == "torch_files.py", file
        assert "weights_only=False" not in text, file
        loads = re.findall(r"yaml\.\w*load\w*\(.*\)", text)
        expected = ["yaml.load(text, _Loader)"] if file.name == "configs.py" else []
        assert loads == expected, file


def test_one_place_prints() -> None:
    for file in ROOT.rglob("*.py"):
        text = file.read_text()
        calls = [node.func for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
        prints = [name for name in calls if isinstance(name, ast.Name) and name.id == "print"]
        writes = re.search(r"sys\.std(out|err)\.write|rich import print", text)
        assert file.name == "terminal.py" or (not prints and not writes), file


def test_one_place_writes_json_of_results() -> None:
    for file in [ROOT / "cli.py", *(ROOT / "studies").rglob("*.py")]:
        assert not re.search(r"json\.dumps?\(", file.read_text()), file


def test_importing_wsrl_imports_neither_torch_nor_lightning() -> None:
    code = "import sys, wsrl; print([m for m in ('torch', 'lightning') if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_commands_on_zoos_start_without_lightning() -> None:
    code = "import sys, wsrl.studies.zoo_commands; print('lightning' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"  # seconds, at the start of every job


def test_every_public_name_is_there() -> None:
    import wsrl

    for name in wsrl.__all__:
        assert getattr(wsrl, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        _ = wsrl.missing
