"""Whether values read from a file are of the kinds that a constructor names."""

from __future__ import annotations

import reprlib
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def check_arguments(cls: type, arguments: Mapping[str, Any]) -> None:
    """Check plain values against the annotations of a class's constructor.

    Args:
        cls: the class.
        arguments: what it is to be made of, as JSON gives it.

    Raises:
        ValueError: naming the first argument of another kind; those that the constructor does not
            have, or has no annotation for, are left to it.
    """
    try:
        hints = get_type_hints(cls.__init__)  # type: ignore[misc]  # the class's very own
    except (NameError, TypeError):  # another package's annotations may be for its checker alone
        return
    for name, value in arguments.items():
        if name in hints and not _is_a(value, hints[name]):
            raise ValueError(f"{name} is {reprlib.repr(value)}: expected {_named(hints[name])}")


def check_size(name: str, value: Any, least: int, most: int) -> None:
    """Check a whole number against its bounds.

    Raises:
        ValueError: for another number, or something else.
    """
    if type(value) is not int:  # nor a bool
        raise ValueError(f"{name} must be a whole number, not {reprlib.repr(value)}")
    if not least <= value <= most:
        bound = f"at least {least}" if value < least else f"at most {most}"
        raise ValueError(f"{name} must be {bound}, not {reprlib.repr(value)}")


def _is_a(value: Any, hint: Any) -> bool:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_is_a(value, one) for one in inner)
    if origin is Literal:
        return any(type(value) is type(one) and value == one for one in inner)
    if origin is tuple and Ellipsis not in inner:
        fits = isinstance(value, list | tuple) and len(value) == len(inner)
        return fits and all(_is_a(item, of) for item, of in zip(value, inner, strict=True))
    if origin in (Sequence, list, tuple):
        of = inner[0] if inner else Any
        return isinstance(value, list | tuple) and all(_is_a(item, of) for item in value)
    if origin in (Mapping, dict):
        return isinstance(value, dict)
    if hint is float:
        return type(value) in (int, float)
    if hint in (int, bool, str):
        return type(value) is hint
    return value is None if hint is type(None) else True


def _named(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
