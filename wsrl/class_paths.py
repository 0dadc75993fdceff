"""Classes by their import path, named by the user or by a file that may be anybody's.

To import a module is to run it. A checkpoint never imports what the user's command line did not
name, unless it is a registered encoder or an installed package's.
"""

import site
import sys
from collections.abc import Collection
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

_Class = TypeVar("_Class")


def class_path(part: Any) -> str:
    """Return the path by which a class or function is imported: ``package.module.Name``."""
    return f"{part.__module__}.{part.__qualname__}"


def import_class(path: str, base: type[_Class]) -> type[_Class]:
    """Return the subclass of ``base`` at a path that the user named; its module is imported."""
    module, _, name = path.rpartition(".")
    kind = base.__name__.lower()
    if not _is_path(path):
        raise ValueError(f"no {kind} at {path!r}: give the path of its module as well")
    import_own(module, f"no {kind} at {path!r}")
    found = vars(sys.modules[module]).get(name)
    if found is None:
        raise ValueError(f"no {kind} at {path!r}: its module has no {name!r}")
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ValueError(f"{path!r} is no subclass of {base.__name__}")
    return found


def find_class(path: str, base: type[_Class], named: Collection[str] = frozenset()) -> type[_Class]:
    """Return the subclass of ``base`` at a path that a file names.

    Its module must be imported already or installed, or the path be among those ``named`` on the
    user's command line; all else is a ``ValueError``.
    """
    module = path.rpartition(".")[0]
    trusted = path in named or module in sys.modules or is_installed(module)
    if _is_path(path) and not trusted:
        raise ValueError(
            f"no {base.__name__.lower()} at {path!r:.200} is registered or installed, and nothing "
            f"else is imported because a file says so; if you trust it, add --import "
            f"{module:.200} (in Python, import it before)"
        )
    return import_class(path, base)


def import_own(module: str, problem: str | None = None) -> None:
    """Import a module that the user named; whatever it raises is a ``ValueError`` of one line."""
    try:
        import_module(module)
    except (Exception, SystemExit) as error:  # a module of one's own can raise anything
        if isinstance(error, SystemExit) and isinstance(error.code, int) and error.code > 128:
            raise  # a signal told this process to end
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        problem = problem or f"{module} cannot be imported"
        raise ValueError(f"{problem} ({reason:.300})") from error


def is_installed(module: str) -> bool:
    """Whether a module lies where installers put packages: an import would take it from there.

    A file in the working folder does not, nor does a package in editable mode.
    """
    top = module.partition(".")[0]
    try:
        spec = find_spec(top)
    except (ImportError, ValueError, AttributeError):
        spec = None
    if spec is None or module.endswith(".__main__"):
        return False
    places = [*(spec.submodule_search_locations or [spec.origin or ""])]
    homes = [Path(home).resolve() for home in (*site.getsitepackages(), site.getusersitepackages())]
    return top == "wsrl" or all(
        any(Path(place).resolve().is_relative_to(home) for home in homes) for place in places
    )


def _is_path(path: str) -> bool:
    return "." in path and all(part.isidentifier() for part in path.split("."))
