"""A report as one HTML page that needs nothing beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from wsrl.studies.report.layout import Figure, Folded, Part, Section, Table, Value, html_text
from wsrl.studies.report.style import STYLE

_LONG = 40  # characters from which a text may break into lines


def to_html(title: str, sections: Sequence[Section], runs: str, anchors: Mapping[str, str]) -> str:
    """Return the page.

    Args:
        title: its title.
        sections: what is in it.
        runs: the list of all runs, as ``run_list.list_runs`` makes it.
        anchors: where in that list a setting is.
    """
    links = [(section.anchor, section.title) for section in sections] + [("runs", "Runs")]
    nav = "".join(f'<li><a href="#{html_text(a)}">{html_text(text)}</a></li>' for a, text in links)
    body = "".join(_section(section, anchors) for section in sections)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html_text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f'<nav aria-label="Sections"><ul>{nav}</ul></nav>\n'
        f"<header><h1>{html_text(title)}</h1></header>\n<main>\n{body}"
        f'<section id="runs"><h2>Runs</h2>\n{runs}</section>\n</main>\n</body>\n</html>\n'
    )


def _section(section: Section, anchors: Mapping[str, str]) -> str:
    parts = "".join(_parts(section.parts, anchors))
    head = f"<h2>{html_text(section.title)}</h2>"
    return f'<section id="{html_text(section.anchor)}">{head}\n{parts}</section>\n'


def _parts(parts: Sequence[Part], anchors: Mapping[str, str]) -> Iterator[str]:
    """Yield parts; figures that follow each other share a grid."""
    for kind, group in groupby(parts, _figure_class):
        content = "".join(_part(part, anchors) for part in group)
        yield f'<div class="{kind}">{content}</div>\n' if kind else content


def _figure_class(part: Part) -> str:
    if not isinstance(part, Figure):
        return ""
    return "figures small" if part.small else "figures"


def _part(part: Part, anchors: Mapping[str, str]) -> str:
    if isinstance(part, Table):
        return _table(part, anchors)
    if isinstance(part, Figure):
        return f"<figure><figcaption>{html_text(part.caption)}</figcaption>{part.svg}</figure>\n"
    if isinstance(part, Folded):
        inner = "".join(_parts(part.parts, anchors))
        return f"<details><summary>{html_text(part.title)}</summary>\n{inner}</details>\n"
    return f"<p>{html_text(part)}</p>\n"


def _table(table: Table, anchors: Mapping[str, str]) -> str:
    heads = "".join(f'<th scope="col">{html_text(name)}</th>' for name in table.columns)
    rows = "".join(
        f'<tr><th scope="row">{_breakable(name)}</th>'
        f"{''.join(_value(value, anchors) for value in values)}</tr>\n"
        for name, values in table.rows
    )
    caption = html_text(table.caption)
    # To be scrolled by keyboard, it must take the focus.
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{caption}"><table>'
        f"<caption><span>{caption}</span></caption>\n"
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n"
    )


def _breakable(name: str) -> str:
    """Let a long name break between its words: ``InteractiveProbing-num_probes=2``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[-=/_,])", "<wbr>", html_text(name))


def _value(value: Value, anchors: Mapping[str, str]) -> str:
    text = html_text(value.text)
    near = ' <span title="its interval overlaps that of the best">≈</span>' if value.close else ""
    if " (" in text and value.text[-1] == ")":
        mean, _, rest = text.partition(" (")
        text = f'{mean}{near} <span class="range">({rest}</span>'
    if value.setting in anchors:
        text = f'<a href="#{anchors[value.setting]}">{text}</a>'
    if value.note:
        text += f"<small>{html_text(value.note)}</small>"
    names = ["best"] * value.best + ["long"] * (len(value.text) > _LONG)
    kind = f' class="{" ".join(names)}"' if names else ""
    return f"<td{kind}>{text}</td>"
