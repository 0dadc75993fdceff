"""A report as one HTML page that needs nothing beside it, and as Markdown."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from wsrl.studies.report.charts import (
    Chart,
    ablation_charts,
    dots,
    lead_trades,
    learning_curves,
    trades,
)
from wsrl.studies.report.probing import probing_charts
from wsrl.studies.report.properties import flat, property_tables
from wsrl.studies.report.ranking import Ranking
from wsrl.studies.report.reading import AND, Benchmark
from wsrl.studies.report.rnns import maps, scores
from wsrl.studies.report.tables import (
    ablation_tables,
    cost_tables,
    difference_tables,
    facts_table,
    failed_table,
    main_tables,
    rank_table,
    target_tables,
)
from wsrl.studies.report.words import markdown_line, markdown_text
from wsrl.terminal import printable


class Report:
    """What the templates read: the parts of a report, each made where it is asked for."""

    def __init__(self, benchmark: Benchmark, ranking: Ranking, properties: pd.DataFrame) -> None:
        self.benchmark, self.ranking = benchmark, ranking
        self.title = f"Benchmark {benchmark.name}: encoders of RNN weights"
        self.states = benchmark.runs.state.value_counts()
        made_with = [words for words in benchmark.runs.made_with.unique() if words]
        self.made_with = list(dict.fromkeys(w for words in made_with for w in words.split("; ")))
        self.ranks = rank_table(benchmark, ranking)
        self.failed = failed_table(benchmark)
        self.missing = list(benchmark.runs.folder[benchmark.runs.state == "missing"])
        settings = {name: {"value": text} for name, text in flat(benchmark.settings).items()}
        self.sections: dict[str, list[Any]] = {
            "Main results": list(main_tables(benchmark, ranking)),
            "Differences": list(difference_tables(benchmark, ranking)),
            "All targets": list(target_tables(benchmark, ranking)),
            "Ablations": list(ablation_tables(benchmark, ranking)),
            "Properties of the encoders": list(property_tables(properties)),
            "Cost": list(cost_tables(benchmark)),
            "Settings": [facts_table("Settings", settings, "setting")],
        }

    def charts(self) -> dict[str, Any]:
        """Return the charts of each section."""
        benchmark, ranking = self.benchmark, self.ranking
        return {
            "lead": list(lead_trades(benchmark, ranking)),
            "dots": list(dots(benchmark, ranking)),
            "learning": list(learning_curves(benchmark, ranking)),
            "maps": list(maps(benchmark)),
            "scores": list(scores(benchmark)),
            "probing": list(probing_charts(benchmark)),
            "ablations": list(ablation_charts(benchmark, ranking)),
            "trades": list(trades(benchmark, ranking)),
        }

    def run_groups(self) -> dict[str, dict[str, pd.DataFrame]]:
        """Return the runs by zoo and encoder, then by setting."""
        groups: dict[str, dict[str, pd.DataFrame]] = {}
        for setting, runs in self.benchmark.runs.groupby("setting", sort=False):
            first = runs.iloc[0]
            title = f"{first.zoo or first.kind} / {first.label or first.kind}"
            groups.setdefault(title, {})[str(setting)] = runs
        return groups

    def anchors(self) -> dict[str, str]:
        """Return the identifier of each setting in the list of runs."""
        return {name: f"run-{i}" for i, name in enumerate(self.benchmark.runs.setting.unique())}


def to_html(report: Report) -> str:
    """Return the page."""
    figures: list[dict[str, Any]] = []

    def place(chart: Chart) -> int:
        """Keep a chart's figure for the page's script; return its number."""
        figures.append({**json.loads(chart.figure.to_json()), "group": chart.group})
        return len(figures) - 1

    environment = _environment(_visible, autoescape=True)
    environment.filters |= {"breakable": _breakable, "place": place, "plain": unescape}
    compressed = gzip.compress(get_plotlyjs().encode(), 9, mtime=0)
    return environment.get_template("report.html.j2").render(
        report=report,
        charts=report.charts(),
        figures=figures,
        anchors=report.anchors(),
        between=AND,
        plotly=base64.b64encode(compressed).decode(),
    )


def to_markdown(report: Report) -> str:
    """Return the tables as Markdown; charts are on the HTML page only."""
    environment = _environment(_as_markdown, autoescape=False)
    environment.filters["line"] = markdown_line
    return environment.get_template("report.md.j2").render(report=report)


def _environment(finalize: Callable[[Any], Any], autoescape: bool) -> Environment:
    return Environment(
        loader=PackageLoader("wsrl.studies.report"),
        undefined=StrictUndefined,
        finalize=finalize,
        autoescape=autoescape,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _as_markdown(value: Any) -> Any:
    return value if isinstance(value, Markup) else markdown_text(value)


def _visible(value: Any) -> Any:
    """Escape what cannot be seen; the template escapes HTML."""
    return value if isinstance(value, Markup) else printable(str(value))


def _breakable(name: str) -> Markup:
    """Let a long name break between its words: ``InteractiveProbing-num_probes=2``."""
    text = str(escape(printable(name)))
    return Markup(re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[-=/_,])", "<wbr>", text))
