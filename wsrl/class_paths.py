"""Classes by their import path, named by the user or by a file that may be anybody's.

To import a module is to run it. A checkpoint never imports what the user's command line did not
name, unless it is a registered encoder or an installed package's.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable, Iterator
from importlib import import_module
from importlib.metadata import Distribution, distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlparse

_Class = TypeVar("_Class")


def class_path(part: Any) -> str:
    """Return the path by which a class or function is imported: ``package.module.Name``."""
    return f"{part.__module__}.{part.__qualname__}"


def import_class(path: str, base: type[_Class]) -> type[_Class]:
    """Return a class that the user named; its module is imported.

    Args:
        path: ``package.module.Name``.
        base: what it must be a subclass of.

    Raises:
        ValueError: where there is no such class.
    """
    module, _, name = path.rpartition(".")
    kind = base.__name__.lower()
    if not module or not all(part.isidentifier() for part in path.split(".")):
        raise ValueError(f"no {kind} at {path!r}: give the path of its module as well")
    import_own(module, f"no {kind} at {path!r}")
    found = vars(sys.modules[module]).get(name)
    if found is None:
        raise ValueError(f"no {kind} at {path!r}: its module has no {name!r}")
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ValueError(f"{path!r} is no subclass of {base.__name__}")
    return found


def find_class(path: str, base: type[_Class], named: Collection[str] = frozenset()) -> type[_Class]:
    """Return a class that a file names: one that is imported already, or that is installed.

    Args:
        path: ``package.module.Name``.
        base: what it must be a subclass of.
        named: paths that the user's command line names, which are imported too.

    Raises:
        ValueError: where there is no such class, or its module must not be imported for a file.
    """
    module = path.rpartition(".")[0]
    readable = module and all(part.isidentifier() for part in path.split("."))
    trusted = path in named or module in sys.modules or is_installed(module)
    if readable and not trusted:
        raise ValueError(
            f"no {base.__name__.lower()} at {path!r:.200} is registered or installed, and nothing "
            f"else is imported because a file says so; if you trust it, add --import "
            f"{module:.200} (in Python, import it before)"
        )
    return import_class(path, base)


def import_own(module: str, problem: str | None = None) -> None:
    """Import a module that the user named.

    Args:
        module: its name.
        problem: what cannot be done without it, for the message.

    Raises:
        ValueError: in one line, for whatever the module raises.
    """
    try:
        import_module(module)
    except (Exception, SystemExit) as error:  # a module of one's own can raise anything
        if isinstance(error, SystemExit) and isinstance(error.code, int) and error.code > 128:
            raise  # a signal told this process to end
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        problem = problem or f"{module} cannot be imported"
        raise ValueError(f"{problem} ({reason:.300})") from error


def is_installed(module: str) -> bool:
    """Whether a module belongs to a package that an installer put on this machine.

    A file in the working folder is not installed, whatever its name; the folder of a package that
    was installed from there in editable mode is.
    """
    top = module.partition(".")[0]
    if top == "wsrl":
        return True
    try:
        spec = find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return False
    if spec is None or module.endswith(".__main__"):
        return False
    if spec.origin is not None and spec.has_location:
        origin = Path(spec.origin).resolve()
        places = [origin.parent if spec.submodule_search_locations is not None else origin]
    else:
        places = [Path(place).resolve() for place in spec.submodule_search_locations or ()]
    folders = {place.parent for place in places}
    return bool(folders) and any(
        top in _modules_of(package) and folders <= {root.resolve() for root in _roots(package)}
        for package in _installed()
    )


def _installed() -> Iterable[Distribution]:
    here = Path.cwd().resolve()
    return distributions(path=[place for place in sys.path if Path(place).resolve() != here])


def _modules_of(package: Distribution) -> set[str]:
    """Return the names of a package's modules, without those inside others."""
    named = (package.read_text("top_level.txt") or "").split()
    files = [file for file in package.files or () if file.suffix == ".py"]
    inside = {file.parts[0].removesuffix(".py") for file in files}
    return {*named, *inside, package.name.replace("-", "_")}


def _roots(package: Distribution) -> Iterator[Path]:
    """Yield the folders that a package's modules are in."""
    yield Path(str(package.locate_file("")))
    told = json.loads(package.read_text("direct_url.json") or "{}")
    if told.get("dir_info", {}).get("editable"):
        source = Path(unquote(urlparse(told["url"]).path))
        yield from (source, source / "src")
