"""Objects that record the arguments of their constructor, so that a checkpoint can rebuild them."""

import inspect
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, TypeVar

from wsrl.class_paths import class_path, find_class
from wsrl.plugins import Registry

_Self = TypeVar("_Self", bound="Recorded")
_UNNAMED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_DEEPEST, _MOST = 20, 100_000  # of settings: far more than any has


class Recorded:
    """Records the arguments of its constructor, those of subclasses included.

    Attributes:
        GIVEN: arguments that are not options: the data, the owner of the object or the machine
            say them.
    """

    GIVEN: ClassVar[tuple[str, ...]] = ()
    _recorded: dict[str, Any]

    def __new__(cls: type[_Self], *args: Any, **kwargs: Any) -> _Self:
        """Record the arguments; copies and pickles come here without any."""
        made = super().__new__(cls)
        bound = _constructor(cls).bind_partial(*args, **kwargs)
        bound.apply_defaults()
        # Not through nn.Module, whose __setattr__ expects that its __init__ has run.
        object.__setattr__(made, "_recorded", dict(bound.arguments))
        return made

    def options(self) -> dict[str, Any]:
        """Return the recorded arguments, defaults included, but those ``GIVEN``."""
        return {name: v for name, v in self._recorded.items() if name not in self.GIVEN}

    def config(self) -> dict[str, Any]:
        """Describe the object for a checkpoint: ``{"class_path": ..., "init_args": {...}}``.

        All options are there, defaults included; one that is no plain value is a ``TypeError``.
        """
        options = self.options()
        for name, value in options.items():
            if not is_plain(value):
                raise TypeError(
                    f"{type(self).__name__}: the option {name} must be made of numbers, strings, "
                    f"booleans, lists and dictionaries to go into a checkpoint, not {value!r}"
                )
        return {"class_path": class_path(type(self)), "init_args": options}


_Part = TypeVar("_Part", bound=Recorded)


def read_config(
    config: object, registry: Registry[type[_Part]], named: Collection[str] = frozenset()
) -> tuple[type[_Part], dict[str, Any]]:
    """Return class and options of what ``Recorded.config`` describes; it may be anybody's.

    The class is given by its path or its registered name; ``init_args`` may be missing. Classes
    that are ``named`` on the user's command line are imported. All else is a ``ValueError``.
    """
    if not isinstance(config, Mapping) or not isinstance(config.get("class_path"), str):
        raise ValueError(f"the {registry.kind}'s config needs a class_path; given: {config!r:.500}")
    path = config["class_path"]
    cls = find_class(path, registry.base, named) if "." in path else registry.get(path)
    options = config.get("init_args") or {}
    if not isinstance(options, dict) or not is_plain(options):
        raise ValueError(f"init_args must be plain values by name; given: {options!r:.500}")
    if given := [name for name in cls.GIVEN if name in options]:
        raise ValueError(f"init_args must not hold {', '.join(given)}, which the data say")
    check_options(cls, options)
    parameters = _constructor(cls).parameters.values()
    required = [each.name for each in parameters if each.default is each.empty]
    if lacking := [name for name in required if name not in (*cls.GIVEN, *options)]:
        raise ValueError(
            f"{cls.__name__} needs {', '.join(lacking)} as well, which init_args lack; given: "
            f"{options!r:.500}"
        )
    return cls, dict(options)


def check_options(cls: type[Recorded], options: Mapping[str, Any]) -> None:
    """Check that a class has these options, or raise ``ValueError`` with those it has."""
    known = [name for name in _constructor(cls).parameters if name not in cls.GIVEN]
    if unknown := [name for name in options if name not in known]:
        raise ValueError(
            f"{cls.__name__} has no option {', '.join(unknown)}; it has: {', '.join(known)}"
        )


def is_plain(value: object) -> bool:
    """Whether a value is made of numbers, strings, booleans, lists and dictionaries by name.

    A list in a file may hold itself, or the same list again and again: a value that is too deep or
    too large is not plain either.

    >>> is_plain({"sizes": [1, 2.5]}), is_plain({"function": print})
    (True, False)
    """
    level, count = [value], 0
    for _ in range(_DEEPEST):
        inside: list[object] = []
        for item in level:
            if isinstance(item, dict):
                if not all(isinstance(key, str) for key in item):
                    return False
                inside += item.values()
            elif isinstance(item, list | tuple):
                inside += item
            elif item is not None and type(item) not in {bool, int, float, str}:
                return False
            if count + len(inside) > _MOST:
                return False
        if not inside:
            return True
        level, count = inside, count + len(inside)
    return False


def _constructor(cls: type) -> inspect.Signature:
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]  # type: ignore[misc]
    if any(parameter.kind in _UNNAMED for parameter in parameters):
        raise TypeError(
            f"{cls.__name__}: the constructor must name all its arguments, so that they can be "
            "recorded; it has *args or **kwargs"
        )
    return inspect.Signature(parameters)
