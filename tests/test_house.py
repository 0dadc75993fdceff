"""Which room may import which, and what must not be imported at all."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Set
from pathlib import Path

import pytest

from wsrl.rnn import list_cells

ROOT = Path(__file__).parent.parent / "wsrl"
MAY_IMPORT = {
    "rnn": {"plugins", "safe_files"},
    "jobs": set(),
    "problems": {"rnn", "plugins", "class_paths", "recorded", "safe_files", "validation"},
    "zoos": {
        "minutes",
        *("rnn", "problems", "jobs", "plugins", "stopping", "torch_files", "safe_files"),
        *("strict_json", "resources", "validation"),
    },
    "data": {
        *("rnn", "problems", "zoos", "jobs"),
        *("safe_files", "strict_json", "resources", "validation"),
    },
    "encoders": {"rnn", "plugins", "class_paths", "recorded"},
    "tasks": {
        *("rnn", "encoders", "data.batch", "analysis.figures"),
        *("class_paths", "plugins", "recorded", "torch_files", "safe_files"),
    },
    "analysis": {"rnn", "encoders", "validation"},
    "studies": {
        *("_process", "environment", "stopping", "torch_files", "safe_files", "strict_json"),
        *("class_paths", "recorded", "terminal", "failures", "resources", "validation"),
        *("rnn", "problems", "jobs", "zoos", "data", "encoders", "tasks", "analysis"),
        "minutes",
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


def named_cells(node: ast.AST) -> set[str]:
    """Return the cells that a comparison of a cell, or a table by cells, names."""
    if isinstance(node, ast.Compare):
        sides = ast.unparse(node.left), *map(ast.unparse, node.comparators)
        if not any(re.search(r"\bcell\b", side) for side in sides):
            return set()
    elif not isinstance(node, ast.Dict | ast.match_case):
        return set()
    keys = node.keys if isinstance(node, ast.Dict) else [node]
    inside = [part for key in keys if key for part in ast.walk(key)]
    found = {part.value for part in inside if isinstance(part, ast.Constant)} & {*list_cells()}
    return found if isinstance(node, ast.Compare) or len(found) > 1 else set()


def test_only_cells_and_kernels_ask_for_a_cell_s_name() -> None:
    assert named_cells(ast.parse("spec.cell != 'lstm'", mode="eval").body) == {"lstm"}
    assert named_cells(ast.parse("cell in ('gru', 'x')", mode="eval").body) == {"gru"}
    assert named_cells(ast.parse("{'gru': 3, 'tanh': 1}", mode="eval").body) == {"gru", "tanh"}
    for file in ROOT.rglob("*.py"):
        if not file.is_relative_to(ROOT / "rnn/cells") and file.parent.name != "kernels":
            found = {
                name for node in ast.walk(ast.parse(file.read_text())) for name in named_cells(node)
            }
            assert not found, f"{file} asks for cells by name: {found}"


LIBRARIES = ("lightning", "lightning_fabric", "pytorch_lightning", "torch", "torchmetrics")


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_exit"  # of os: public


def is_own(value: ast.expr) -> bool:
    """Whether an object is the one that a method belongs to, or its class or parent."""
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Name) and value.func.id in ("super", "type")
    return isinstance(value, ast.Name) and value.id in ("self", "cls")


def defined(source: str) -> set[str]:
    """Return the attributes and methods that a module gives its own classes."""
    nodes = list(ast.walk(ast.parse(source)))
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    named = [t for node in nodes if isinstance(node, ast.Assign) for t in node.targets]
    named += [node.target for node in nodes if isinstance(node, ast.AnnAssign)]
    return (
        {node.attr for node in attributes if is_own(node.value) and type(node.ctx) is ast.Store}
        | {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        | {target.id for target in named if isinstance(target, ast.Name)}
    )


def private_names(source: str, elsewhere: Set[str] = frozenset()) -> set[str]:
    """Find private names of the libraries' modules, and private attributes of their objects.

    Args:
        source: of a module.
        elsewhere: what other modules define, for their subclasses here.
    """
    nodes = list(ast.walk(ast.parse(source)))
    here = defined(source)
    found = {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in here
        if not (is_own(node.value) and node.attr in elsewhere)
    }
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in LIBRARIES:
            path = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            found |= set(filter(is_private, path))
        elif isinstance(node, ast.Import):
            for alias in node.names:
                path = alias.name.split(".")
                found |= set(filter(is_private, path)) if path[0] in LIBRARIES else set()
    return found


def patched(source: str) -> set[str]:
    """Find attributes of the trainer's parts, or of the libraries' modules, that are set."""
    targets = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign):
            targets += node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            targets.append(node.target)
    texts = {ast.unparse(target) for target in targets if isinstance(target, ast.Attribute)}
    inside = re.compile(r"(\w+\.)*trainer\.\w+\.|(\w+\.)*\w*_loop\.|(torch|lightning)\.")
    return {text for text in texts if inside.match(text)}


def test_libraries_are_used_by_their_public_interface() -> None:
    sources = {file.relative_to(ROOT).as_posix(): file.read_text() for file in ROOT.rglob("*.py")}
    everywhere = set().union(*map(defined, sources.values()))
    for file, source in sources.items():
        assert private_names(source, everywhere) == set(), file
        assert patched(source) == set(), file


@pytest.mark.parametrize(
    "source",
    [
        "from torch._C import x",
        "from lightning.pytorch.strategies.launchers import _Launcher",
        "import torch._dynamo",
        "trainer._signal_connector = None",
        "if trainer.fit_loop._should_accumulate(): pass",
        "torch._C.f()",
        "trainer.fit_loop.epoch_loop.max_steps += 1",
        "trainer.strategy.save_checkpoint = print",
        "def f(self): return self._trainer",
    ],
)
def test_reaching_inside_a_library_is_found(source: str) -> None:
    assert private_names(source) | patched(source)
    own = "self._x = 1\nother._x + super()._y + type(self)._z"
    assert private_names(own, {"_y", "_z"}) == set()


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
    for file in [*(ROOT / "cli").rglob("*.py"), *(ROOT / "studies").rglob("*.py")]:
        assert not re.search(r"json\.dumps?\(", file.read_text()), file


def test_importing_wsrl_imports_neither_torch_nor_lightning() -> None:
    code = "import sys, wsrl; print([m for m in ('torch', 'lightning') if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_commands_on_zoos_start_without_lightning() -> None:
    code = "import sys, wsrl.studies.zoo_summary; print('lightning' in sys.modules)"
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
