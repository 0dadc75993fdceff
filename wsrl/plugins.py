"""Parts by name: registered by decorator, or announced by another package's entry point."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from typing import Any, Generic, TypeVar

from wsrl.class_paths import class_path

Part = TypeVar("Part")
_Given = TypeVar("_Given")


class UnknownNameError(ValueError):
    """No part of this name is registered."""

    def __init__(self, kind: str, name: str, choices: Iterable[str]) -> None:
        super().__init__(
            f"unknown {kind} {name!r}; choose one of {', '.join(choices)}, or name the module that "
            "registers it (--import MODULE)"
        )


def import_modules(package: str, path: Iterable[str]) -> None:
    """Import all modules of a package, so that the parts in its files are registered."""
    for module in iter_modules(path):
        import_module(f"{package}.{module.name}")


class Registry(Generic[Part]):
    """The parts of one kind by name, as all encoders.

    Another package announces its parts under an entry point group. They are imported when names
    are listed, or when a name is not known yet.

    Args:
        kind: what a part is called in messages, as ``encoder``.
        group: the entry point group, as ``wsrl.encoders``.
        base: the class of which all parts are subclasses, unless they are functions.
        name: returns the name of a part; raises ``TypeError`` where it lacks what all need.

    >>> greetings: Registry[Callable[[], str]] = Registry("greeting", "wsrl.greetings")
    >>> @greetings.register
    ... def hello() -> str:
    ...     return "Hello"
    >>> greetings.names(), greetings.get("hello")()
    (['hello'], 'Hello')
    """

    def __init__(
        self,
        kind: str,
        group: str,
        base: type = object,
        name: Callable[[Any], str] = lambda part: str(part.__name__),
    ) -> None:
        self.kind, self.group, self.base, self._name = kind, group, base, name
        self._parts: dict[str, Part] = {}
        self._loaded = False

    def register(self, part: _Given) -> _Given:
        """Register a part under its name; a decorator.

        ``TypeError`` for an object that is no such part, ``ValueError`` where the name is taken.
        """
        base = self.base
        if base is not object and not (isinstance(part, type) and issubclass(part, base)):
            raise TypeError(f"only subclasses of {base.__name__} can be registered, not {part!r}")
        name = self._name(part)
        if name in self._parts:
            raise ValueError(
                f"the {self.kind} {name!r} is registered already "
                f"({class_path(self._parts[name])}); give {class_path(part)} another name"
            )
        self._parts[name] = part  # type: ignore[assignment]  # its base was checked
        return part

    def names(self) -> list[str]:
        """Return the names of all parts in order, other packages' included."""
        self._load()
        return sorted(self._parts)

    def get(self, name: str) -> Part:
        """Return the part of a name, or raise ``UnknownNameError`` with the choices."""
        if name not in self._parts and name not in (choices := self.names()):
            raise UnknownNameError(self.kind, name, choices)
        return self._parts[name]

    def __contains__(self, part: object) -> bool:
        """Whether an object is one of the parts registered so far."""
        return any(part is known for known in self._parts.values())

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Restore the registry at the end of the block; entry points are read again."""
        self._load()
        before, self._loaded = dict(self._parts), False
        try:
            yield
        finally:
            self._parts, self._loaded = before, True

    def _load(self) -> None:
        """Import other packages' parts, once; one that does not load is a warning that names it."""
        if self._loaded:
            return
        self._loaded = True
        for point in entry_points(group=self.group):
            try:
                part = point.load()
                if part not in self:  # the import may have registered it
                    self.register(part)
            except Exception as error:  # another package's code may raise anything
                warnings.warn(
                    f"{point.name!r}, announced as {point.value!r} under {self.group}, does not "
                    f"load ({type(error).__name__}: {error}); mend or uninstall its package",
                    stacklevel=2,
                )
