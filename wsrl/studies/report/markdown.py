"""A report as Markdown: its tables; drawings are on the HTML page only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from wsrl.studies.report.layout import Figure, Folded, Part, Section, Table, Value
from wsrl.terminal import printable


def to_markdown(title: str, sections: Sequence[Section]) -> str:
    """Return the report.

    Args:
        title: its title.
        sections: what is in it.
    """
    lines = [f"# {escaped(title)}", ""]
    for section in sections:
        content = [line for part in section.parts for line in _lines(part)]
        if content:
            lines += [f"## {escaped(section.title)}", "", *content]
    lines += [
        "Every number: `results.csv`; the commands behind it: `runs.csv`. Drawings: `report.html`.",
        "",
    ]
    return "\n".join(lines)


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is, in one line."""
    return re.sub(r"([\\`*_{}\[\]<>|#&~$!])", r"\\\1", printable(" ".join(text.split())))


def _paragraph(text: str) -> str:
    """Return the same as a line of its own, where a list or a heading could begin."""
    return re.sub(r"^(\d*)([-+=.)])", r"\1\\\2", escaped(text))


def _lines(part: Part) -> Iterator[str]:
    if isinstance(part, Table):
        yield from _table(part)
    elif isinstance(part, Folded):
        inner = [line for inside in part.parts for line in _lines(inside)]
        if inner:  # not only drawings
            yield from (f"### {escaped(part.title)}", "", *inner)
    elif not isinstance(part, Figure):
        yield from (_paragraph(part), "")


def _table(table: Table) -> Iterator[str]:
    yield from (_paragraph(table.caption), "")
    yield _row(map(escaped, table.columns))
    yield _row(["---", *(["---:"] * (len(table.columns) - 1))])
    for name, values in table.rows:
        yield _row([escaped(name), *map(_value, values)])
    yield ""


def _row(words: Iterator[str] | Sequence[str]) -> str:
    return f"| {' | '.join(words)} |"


def _value(value: Value) -> str:
    text = escaped(value.text)
    text = f"**{text}**" if value.best else f"{text} ≈" if value.close else text
    return f"{text} [{escaped(value.note)}]" if value.note else text
