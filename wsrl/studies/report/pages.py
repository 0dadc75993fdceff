"""HTML pages that need nothing beside them: templates filled, charts and their library inside."""

import base64
import gzip
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from wsrl.studies.report.charts import Chart
from wsrl.terminal import printable
from wsrl.zoos.files import write_atomically


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
        title: its heading.
        text: paragraphs.
        charts: charts, or a sentence in the place of one.
        tables: tables by caption; the first column names the rows.
    """

    title: str
    text: Sequence[str] = ()
    charts: Sequence[Chart | str] = ()
    tables: Sequence[tuple[str, pd.DataFrame]] = ()


def write_page(path: Path, title: str, text: Sequence[str], sections: Sequence[Section]) -> None:
    """Write a page: a title, paragraphs, and sections of charts and tables.

    Text is shown as it is, whatever it holds; in charts it is HTML, see ``words.chart_text``.
    """
    content = render("page.html.j2", title=title, text=text, sections=sections)
    write_atomically(path, content.encode())


def render(template: str, **said: Any) -> str:
    """Fill a template of a page, in which the filter ``place`` keeps charts for the script."""
    figures: list[dict[str, Any]] = []

    def place(chart: Chart) -> int:
        """Keep a chart's figure for the page's script; return its number."""
        figures.append({**json.loads(chart.figure.to_json()), "group": chart.group})
        return len(figures) - 1

    compressed = gzip.compress(get_plotlyjs().encode(), 9, mtime=0)
    made = environment(_visible, autoescape=True)
    made.filters |= {"place": place, "plain": unescape}
    plotly = base64.b64encode(compressed).decode()
    return made.get_template(template).render(**said, figures=figures, plotly=plotly)


def environment(finalize: Callable[[Any], Any], autoescape: bool) -> Environment:
    """Return the environment of the templates; ``finalize`` turns values into text."""
    return Environment(
        loader=PackageLoader("wsrl.studies.report"),
        undefined=StrictUndefined,
        finalize=finalize,
        autoescape=autoescape,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _visible(value: Any) -> Any:
    """Escape what cannot be seen; the template escapes HTML."""
    return value if isinstance(value, Markup) else printable(str(value))
