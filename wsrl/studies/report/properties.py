"""What was measured of the encoders, whatever that is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from wsrl.recorded import is_plain
from wsrl.strict_json import read_json, to_json
from wsrl.studies.report.reading import Benchmark, read_csv, rows_of
from wsrl.studies.report.tables import Table, facts_table
from wsrl.studies.report.words import number

PROPERTIES = "properties.json"
"""The file in the folder of a trial that measures properties."""

TABLE = "properties.csv"
COLUMNS = ("encoder", "group", "fact", "value")
"""The table of all properties, as text."""

_CAPTIONS = {
    "changes": "Relative change of the embedding from one RNN of a pair to the other",
    "tells_apart": "Which pairs of RNNs have different embeddings",
    "parameters": "Parameters by hidden size of the RNNs",
    "seconds": "Seconds of a forward and backward pass by hidden size of the RNNs",
    "growth": "Exponents of the growth with the hidden size",
}
_NAME = "name"


def read_properties(benchmark: Benchmark) -> pd.DataFrame:
    """Return the properties of all encoders as text: ``COLUMNS``.

    Raises:
        ValueError: naming a file that holds no properties.
    """
    if not benchmark.stored:
        path = benchmark.folder / TABLE
        return read_csv(path, COLUMNS) if path.is_file() else pd.DataFrame(columns=list(COLUMNS))
    rows = [
        (encoder, group, fact, text)
        for encoder, found in _measured(benchmark)
        for group, value in found.items()
        if group != _NAME
        for fact, text in flat(value if isinstance(value, dict) else {group: value}).items()
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def property_tables(properties: pd.DataFrame) -> Iterator[Table | str]:
    """Yield a table for each group of facts; a sentence where there is one fact, equal for all."""
    for group, own in properties.groupby("group", sort=False):
        name = str(group)
        caption = _CAPTIONS.get(name, name.replace("_", " "))
        if list(own.fact.unique()) == [name] and own["value"].nunique() == 1 and len(own) > 1:
            yield f"{caption}: {own['value'].iloc[0]}."
            continue
        facts = {
            str(encoder): dict(zip(rows.fact, rows["value"], strict=True))
            for encoder, rows in own.groupby("encoder", sort=False)
        }
        yield facts_table(caption, facts, "encoder")


def flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return facts within facts as words, by their names one after the other.

    >>> flat({"a": {"b": True, "c": 1500}, "d": [1, 2]})
    {'a: b': 'yes', 'a: c': '1,500', 'd': '1, 2'}
    """
    found: dict[str, str] = {}
    for name, value in facts.items():
        label = f"{prefix}{name}"
        if isinstance(value, dict):
            found |= flat(value, f"{label}: ")
        else:
            found[label] = _words(value)
    return found


def _measured(benchmark: Benchmark) -> Iterator[tuple[str, dict[str, Any]]]:
    runs = benchmark.runs
    for run in rows_of(runs[(runs.kind == "properties") & (runs.state == "done")]):
        path = benchmark.folder / run.folder / PROPERTIES
        if path.is_file():
            try:
                facts = read_json(path)
                if not is_plain(facts):
                    raise ValueError("it holds too many facts, or too deep ones")
            except ValueError as error:
                raise ValueError(f"{path} is no table of properties: {error}") from error
            yield run.encoder, facts


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list) and not any(isinstance(each, list | dict) for each in value):
        return ", ".join(map(_words, value))
    return value if isinstance(value, str) else to_json(value)
