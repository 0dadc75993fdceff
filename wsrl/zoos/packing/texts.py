"""Names from files of users, in messages."""

from __future__ import annotations

from collections.abc import Sequence


def some(names: Sequence[object], count: int = 5) -> str:
    """Return the first of some names to read: they may be many, long, and any text."""
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(short(name) for name in names[:count]) + more


def short(name: object, most: int = 80) -> str:
    """Return a name of bounded length, without control characters."""
    text = str(name)
    text = text if len(text) <= most else f"{text[: most - 3]}..."
    return text if text.isprintable() else ascii(text)


def quoted(value: object, most: int = 60) -> str:
    """Return the ``repr`` of an entry, of bounded length."""
    try:
        text = repr(value)
    except ValueError:  # an int of more digits than Python writes
        text = f"a {type(value).__name__} of very many digits"
    return text if len(text) <= most else f"{text[: most - 3]}... ({len(text)} characters)"
