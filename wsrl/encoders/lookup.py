"""Classes by their import path, where the path is from a file that may be anybody's.

To import a module is to run it. So that a checkpoint cannot choose what runs, a module that is not
yet imported is read first, and imported only where its source says that the class is what it is to
be: then it is an encoder (say) that the user has installed or keeps in the folder they work in.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TypeVar

_Class = TypeVar("_Class")


def import_subclass(path: str, base: type[_Class]) -> type[_Class]:
    """Return a class, importing nothing but a module that defines a subclass of ``base``.

    Args:
        path: ``package.module.Name``.
        base: a class of this package.

    Raises:
        ValueError: where no module of that name defines such a class at its top, as far as can be
            told without running it (its bases are named, not computed).
    """
    module, _, name = path.rpartition(".")
    if not module:
        raise ValueError(f"no {_kind(base)} at {path!r}: give the path of its module as well")
    if module not in sys.modules and not _is_defined(module, name, base, set()):
        raise ValueError(
            f"no {_kind(base)} at {path!r}: a module that can be imported must define it, at its "
            f"top, as a subclass of wsrl.{base.__name__} (no other module is imported for a file's "
            "sake; import yours before)"
        )
    try:
        found = vars(import_module(module))[name]
    except KeyError as error:
        raise ValueError(f"no {_kind(base)} at {path!r}: its module has no {error}") from error
    except (Exception, SystemExit) as error:  # a module of one's own can raise anything
        if isinstance(error, SystemExit) and isinstance(error.code, int) and error.code > 128:
            raise  # this process was told to end, by a signal
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"no {_kind(base)} at {path!r} ({reason:.300})") from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ValueError(f"{path!r} is no subclass of wsrl.{base.__name__}")
    return found


def _is_defined(module: str, name: str, base: type, seen: set[tuple[str, str]]) -> bool:
    """Whether a module's source defines a subclass of ``base``, or takes one from another."""
    if f"{module}.".startswith("wsrl."):
        return _is_ours(module, name, base)
    if (module, name) in seen or (source := _source(module)) is None:
        return False
    seen.add((module, name))
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise ValueError(f"module {module}, line {error.lineno}: {error.msg}") from error
    except (ValueError, RecursionError, MemoryError):
        return False
    known = _names(tree, module)
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            for dotted in map(_dotted, node.bases):
                first, _, rest = dotted.partition(".")
                where = known.get(first, f"{module}.{first}")
                of, _, parent = (f"{where}.{rest}" if rest else where).rpartition(".")
                if of and _is_defined(of, parent, base, seen):
                    return True
    return False


def _is_ours(module: str, name: str, base: type) -> bool:
    """Whether a module of this package, which any may import, has such a class."""
    try:
        found = getattr(import_module(module), name, None)
    except ImportError:
        return False
    return isinstance(found, type) and issubclass(found, base)


def _names(tree: ast.Module, module: str) -> dict[str, str]:
    """Return what the names that a module imports stand for."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                whole = alias.asname is not None
                top = alias.name if whole else alias.name.partition(".")[0]
                found[alias.asname or top] = top
        elif isinstance(node, ast.ImportFrom):
            package = module.rsplit(".", node.level)[0] if node.level else ""
            source = ".".join(filter(None, (package, node.module)))
            found |= {alias.asname or alias.name: f"{source}.{alias.name}" for alias in node.names}
    return found


def _dotted(node: ast.expr) -> str:
    """Return ``a.b.C``, also of ``a.b.C[...]``; nothing for what is computed."""
    if isinstance(node, ast.Subscript):
        return _dotted(node.value)
    if isinstance(node, ast.Attribute):
        return f"{before}.{node.attr}" if (before := _dotted(node.value)) else ""
    return node.id if isinstance(node, ast.Name) else ""


def _source(module: str) -> bytes | None:
    """Return a module's source without importing it or the packages it is in."""
    path: list[str] | None = None
    spec: ModuleSpec | None = None
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        spec = next(_specs(".".join(parts[:count]), path), None)
        if spec is None or (count < len(parts) and spec.submodule_search_locations is None):
            return None
        path = list(spec.submodule_search_locations or ())
    try:
        if spec is not None and spec.origin is not None and spec.origin.endswith(".py"):
            return Path(spec.origin).read_bytes()
        get_source = getattr(spec and spec.loader, "get_source", None)  # as out of an archive
        return get_source(module).encode() if get_source else None
    except (ImportError, OSError, SyntaxError, ValueError, AttributeError):
        return None


def _specs(module: str, path: list[str] | None) -> Iterator[ModuleSpec]:
    """Ask the finders, as ``import`` does."""
    for finder in sys.meta_path:
        try:
            spec = finder.find_spec(module, path)
        except KeyError:  # a folder without __init__.py, in a package that is not imported yet
            spec = finder.find_spec(module.rpartition(".")[2], path)
        except (ImportError, ValueError, AttributeError):
            continue
        if spec is not None:
            yield spec


def _kind(base: type) -> str:
    return base.__name__.lower()
