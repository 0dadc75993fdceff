"""Tables of facts: what was measured of each encoder, and a benchmark's settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from wsrl.recorded import is_plain
from wsrl.strict_json import read_json, to_json
from wsrl.studies.report.layout import Part, Table, Value, number
from wsrl.studies.report.reading import Benchmark, distinct, without_seed

PROPERTIES = "properties.json"
"""The file in the folder of a properties cell."""

_CAPTIONS = {
    "changes": "Relative change of the embedding from one RNN of a pair to the other",
    "tells_apart": "Which pairs of RNNs have different embeddings",
    "parameters": "Parameters by hidden size of the RNNs",
    "seconds": "Seconds of a forward and backward pass by hidden size of the RNNs",
    "growth": "Exponents of the growth with the hidden size",
}
_NAME = "name"


def properties(benchmark: Benchmark) -> Iterator[Part]:
    """Yield what was measured of the encoders, whatever that is: a table for each group of facts.

    A list that is the same for all is a paragraph.
    """
    found = dict(_measured(benchmark))
    settings = {c.encoder: without_seed(c) for c in benchmark.cells if c.kind == "properties"}
    for name in distinct(name for facts in found.values() for name in facts):
        own = {encoder: facts[name] for encoder, facts in found.items() if name in facts}
        values = list(own.values())
        words = name.replace("_", " ")
        if isinstance(values[0], list) and all(value == values[0] for value in values):
            yield f"{words}: {', '.join(map(str, values[0]))}."
        elif name != _NAME:
            caption = _CAPTIONS.get(name, words)
            rows = {e: flat(v if isinstance(v, dict) else {words: v}) for e, v in own.items()}
            yield _table(caption, rows, settings)


def flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return facts within facts as words, by their names one after the other."""
    found: dict[str, str] = {}
    for name, value in facts.items():
        label = f"{prefix}{name}"
        if isinstance(value, dict):
            found |= flat(value, f"{label}: ")
        else:
            found[label] = _words(value)
    return found


def _measured(benchmark: Benchmark) -> Iterator[tuple[str, dict[str, Any]]]:
    for cell in benchmark.cells:
        path = benchmark.path(cell) / PROPERTIES
        if cell.kind == "properties" and benchmark.state(cell) == "done" and path.is_file():
            try:
                facts = read_json(path)
                if not is_plain(facts):
                    raise ValueError("it holds too many facts, or too deep ones")
                yield cell.encoder, facts
            except ValueError as error:
                raise ValueError(f"{path} is no table of properties: {error}") from error


def _table(
    caption: str, facts: Mapping[str, Mapping[str, str]], settings: Mapping[str, str]
) -> Table:
    names = distinct(name for own in facts.values() for name in own)
    rows = tuple(
        (encoder, tuple(Value(own.get(name, ""), settings[encoder]) for name in names))
        for encoder, own in facts.items()
    )
    return Table(caption, ("encoder", *names), rows)


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return number(value)
    return value if isinstance(value, str) else to_json(value)
