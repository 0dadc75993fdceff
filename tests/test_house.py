"""Which room may import which, and what must not be imported at all."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import wsrl
from wsrl.rnn import list_cells

ROOT = Path(__file__).parent.parent / "wsrl"
SOURCES = {path.relative_to(ROOT).as_posix(): path.read_text() for path in ROOT.rglob("*.py")}
MAY_IMPORT = {
    "rnn": "plugins safe_files torch_files strict_json",
    "jobs": "minutes resources terminal",
    "problems": "rnn plugins class_paths recorded safe_files validation",
    "zoos": "rnn problems jobs hints plugins stopping torch_files safe_files strict_json resources "
    "validation minutes",
    "data": "rnn problems zoos jobs safe_files strict_json resources validation",
    "encoders": "rnn plugins class_paths recorded",
    "tasks": "rnn encoders data.batch analysis.figures class_paths plugins recorded torch_files "
    "safe_files",
    "analysis": "rnn encoders validation",
    "studies": "rnn problems jobs hints zoos data encoders tasks analysis class_paths recorded "
    "torch_files safe_files strict_json validation environment stopping resources minutes "
    "terminal failures plugins _process",
}


def imports(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_rooms_import_only_what_they_may(room: str) -> None:
    allowed = tuple(f"wsrl.{name}." for name in (room, *MAY_IMPORT[room].split()))
    for file, source in SOURCES.items():
        if file.startswith(f"{room}/"):
            for module in imports(source):
                inside = module.startswith(("wsrl.", "."))
                assert not inside or f"{module}.".startswith(allowed), f"{file} imports {module}"


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
    assert named_cells(ast.parse("{'gru': 3, 'tanh': 1}", mode="eval").body) == {"gru", "tanh"}
    for file, source in SOURCES.items():
        if not file.startswith(("rnn/cells/", "rnn/kernels/")):
            nodes = ast.walk(ast.parse(source))
            found = {name for node in nodes for name in named_cells(node)}
            assert not found, f"{file} asks for cells by name: {found}"


LIBRARIES = ("lightning", "lightning_fabric", "pytorch_lightning", "torch", "torchmetrics")


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_exit"  # of os: public


def own_names(source: str) -> set[str]:
    """Return the private names that a module defines: functions, classes, variables, attributes."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("self", "cls"):
            found |= {node.attr} if isinstance(node.ctx, ast.Store) else set()
    return set(filter(is_private, found))


def reached_inside(source: str, own: set[str]) -> set[str]:
    """Find private names of the libraries, and attributes set on their modules and objects.

    Args:
        source: of a module.
        own: private names that are ours.
    """
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            if is_private(node.attr) and node.attr not in own:
                found.add(node.attr)
            inside = r"(\w+\.)*trainer\.\w+\.|(\w+\.)*\w*_loop\.|(torch|lightning)\."
            if isinstance(node.ctx, ast.Store) and re.match(inside, ast.unparse(node)):
                found.add(ast.unparse(node))
        elif isinstance(node, ast.ImportFrom | ast.Import):
            module = getattr(node, "module", None)
            for path in (f"{module or ''}.{alias.name}".strip(".") for alias in node.names):
                parts = path.split(".")
                found |= set(filter(is_private, parts)) if parts[0] in LIBRARIES else set()
    return found


def test_libraries_are_used_by_their_public_interface() -> None:
    own = set().union(*map(own_names, SOURCES.values()))
    for file, source in SOURCES.items():
        assert reached_inside(source, own) == set(), file


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
    assert reached_inside(source, own_names("self._x = 1"))
    assert not reached_inside("other._x + self._x", own_names("self._x = 1"))


FORBIDDEN = {
    # What is where else than it may be: a pattern, and the files that may have it.
    # A worker gets its jobs from the command that TLS and keys let in; no file is ever unpickled.
    "unpickling": (
        r"pickle\.(?!UnpicklingError)|import pickle|pickle import .*loads|weights_only=False",
        ("jobs/worker.py",),
    ),
    "reading what torch saved": (r"torch\.load\(", ("torch_files.py",)),
    "reading YAML": (r"yaml\.\w*load\w*\(", ("studies/configs.py",)),
    "printing": (r"(?m)^ +print\(|sys\.std(out|err)\.write|rich import print", ("terminal.py",)),
    "drawing": (
        r"(import|from) matplotlib",
        ("analysis/figures.py", "analysis/memory_figures.py"),
    ),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_one_place_does_it(what: str) -> None:
    pattern, places = FORBIDDEN[what]
    for file, source in SOURCES.items():
        code = re.sub(r'""".*?"""', "", source, flags=re.DOTALL)
        assert file in places or not re.search(pattern, code), file
    assert all(re.search(pattern, SOURCES[place]) for place in places)


def test_results_are_written_as_strict_json() -> None:
    for file, source in SOURCES.items():
        if file.startswith(("cli/", "studies/")):
            assert not re.search(r"json\.dumps?\(", source), file


@pytest.mark.parametrize(
    ("module", "left_out"),
    [("wsrl", ("torch", "lightning")), ("wsrl.studies.zoo_summary", ("lightning",))],
)
def test_what_is_slow_to_import_is_imported_when_it_is_needed(
    module: str, left_out: tuple[str, ...]
) -> None:
    code = f"import sys, {module}; print([m for m in {left_out} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    for name in wsrl.__all__:
        assert getattr(wsrl, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        _ = wsrl.missing
