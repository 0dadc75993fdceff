"""What files from anybody may say: checked by pydantic, refused in one clear line."""

import json
import re
import reprlib
from collections.abc import Hashable, Mapping
from dataclasses import fields
from functools import cache, wraps
from typing import Any, TypeVar, cast, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from pydantic.errors import PydanticUserError
from typing_extensions import dataclass_transform

_Class = TypeVar("_Class")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,60}")
_STRICT = ConfigDict(strict=True, extra="forbid")
_TEXTS: Mapping[str, str] = {
    "missing": "is missing",
    "unexpected_keyword_argument": "is unknown",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "string_type": "must be text",
    "dict_type": "must be an object, by name",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "greater_than": "must be above {gt}",
    "less_than": "must be below {lt}",
}
"""Messages for errors of pydantic, by type; others keep pydantic's own message."""

_WITHOUT_VALUE = {"missing", "unexpected_keyword_argument"}


@dataclass_transform(frozen_default=True, field_specifiers=(Field,))
def checked(cls: type[_Class]) -> type[_Class]:
    """Make a frozen dataclass that checks its values by their annotations; a decorator.

    Nothing is converted, but a list may stand for a tuple in JSON. A value that does not fit is a
    ``ValueError`` of one line.

    >>> @checked
    ... class Size:
    ...     rows: int
    >>> Size(rows="many")
    Traceback (most recent call last):
    ValueError: rows must be a whole number, not 'many'
    """
    made: Any = dataclass(frozen=True, config=_STRICT)(cls)
    make, names = made.__init__, [field.name for field in fields(made)]

    @wraps(make)
    def init(self: Any, *values: Any, **named: Any) -> None:
        try:
            # By name, since pydantic would call a value by its position.
            make(self, *values[len(names) :], **dict(zip(names, values, strict=False)), **named)
        except ValidationError as error:
            raise ValueError(explain(error)) from None

    made.__init__ = init
    return cast(type[_Class], made)


def from_json(cls: type[_Class], content: Mapping[str, Any]) -> _Class:
    """Make a ``checked`` class from the content of a JSON file, or raise ``ValueError``."""
    try:
        return cast(_Class, _adapter(cast(Hashable, cls)).validate_json(json.dumps(content)))
    except ValidationError as error:
        raise ValueError(explain(error)) from None


def explain(error: ValidationError, name: str = "") -> str:
    """Return the first error as one line of bounded length; ``name`` is what was checked."""
    first = error.errors(include_url=False)[0]
    where, kind, known = _path(name, first["loc"]), first["type"], first.get("ctx", {})
    if kind in ("value_error", "assertion_error"):
        return ": ".join(filter(None, (where, str(known["error"]))))
    own = re.sub(r"^\w+ should ", "must ", first["msg"])
    said = f"{where} {_TEXTS[kind].format(**known) if kind in _TEXTS else own}".strip()
    return said if kind in _WITHOUT_VALUE else f"{said}, not {short(first['input'])}"


def check_arguments(cls: type, arguments: Mapping[str, Any]) -> None:
    """Check plain values, as JSON gives them, against the annotations of a class's constructor.

    Those that it does not have, or has no annotation of plain values for, are left to it.
    """
    try:
        hints = get_type_hints(cls.__init__, include_extras=True)  # type: ignore[misc]  # its own
    except (NameError, TypeError):  # another package's annotations may be for its checker alone
        return
    for name in arguments.keys() & hints.keys():
        _check(name, arguments[name], hints[name])


def check_size(name: str, value: Any, least: int, most: int) -> None:
    """Check a whole number against its bounds."""
    if type(value) is not int:  # nor a bool
        raise ValueError(f"{name} must be a whole number, not {short(value)}")
    if not least <= value <= most:
        bound = f"at least {least}" if value < least else f"at most {most}"
        raise ValueError(f"{name} must be {bound}, not {short(value)}")


def short(value: Any) -> str:
    """Return a value to read: escaped, and of bounded length."""
    try:
        return reprlib.repr(value)
    except ValueError:  # more digits than Python writes
        return f"a {type(value).__name__} of very many digits"


@cache
def _adapter(cls: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(cast(Any, cls))


def _check(name: str, value: Any, hint: Any) -> None:
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(hint, config=_STRICT)
    except (PydanticUserError, NameError, TypeError):
        return  # not made of plain values, or a class with a configuration of its own
    try:
        text = json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        text = None
    try:
        adapter.validate_python(value) if text is None else adapter.validate_json(text)
    except ValidationError as error:
        raise ValueError(explain(error, name)) from None


def _path(name: str, location: tuple[int | str, ...]) -> str:
    """Return where in a file a value is: ``shards[3].rows``."""
    path = name
    for step in location:
        if isinstance(step, int):
            path += f"[{step}]"
        elif step != "[key]":  # which pydantic adds where the name itself is wrong
            path += f".{step if _PLAIN.fullmatch(step) else short(step)}"
    return path.removeprefix(".")
