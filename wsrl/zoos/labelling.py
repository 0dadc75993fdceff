"""Give the RNNs of a zoo properties out of a table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wsrl.problems.packed import property_column
from wsrl.zoos.labels import write_labels
from wsrl.zoos.open import open_zoo
from wsrl.zoos.packing.columns import Column, is_missing, some
from wsrl.zoos.packing.labels import read_property
from wsrl.zoos.packing.table import Table, check_known, read_table

KEYS = ("row", "run", "step")
"""Columns of a table that say whose its rows are."""

KNOWN = ("name", "task", "performance", "cell", "hidden_size", "num_layers", "split")
"""Columns of tables of a zoo's RNNs that the zoo has itself."""


def label_zoo(
    zoo: str | Path | Sequence[str | Path],
    table: str | Path | Table,
    say: Callable[[str], object] = lambda text: None,
    columns: Sequence[str] | None = None,
    categorical: Sequence[str] = (),
    real: Sequence[str] = (),
    angle: Sequence[str] = (),
) -> list[str]:
    """Give the RNNs of a zoo, or of several, properties out of a table, as targets of prediction.

    Every RNN has a row, by its ``row`` in the zoo, or its ``run`` and ``step``. Columns that every
    zoo has (its performance, say) are left out, and so are those with missing values that no option
    names; where one is named as numbers, missing values are NaN, and training and tests on it are
    of the RNNs that have one. Properties of the same name are replaced.

    Args:
        zoo: as for ``open_zoo``.
        table: a file, a DataFrame, or values by column; as of ``pack_zoo``.
        say: is told what is left out, and what has one class alone.
        columns: these alone; classes must be known of every RNN.
        categorical: columns that are classes, whatever they hold.
        real: columns that are numbers, which some RNNs may lack.
        angle: columns that are angles in degrees, likewise.

    Returns:
        The names of the properties.

    Raises:
        ZooError: where there is no readable zoo.
        ValueError: for a table of other RNNs, or without properties.

    >>> from tempfile import mkdtemp
    >>> from wsrl.problems import FormalLanguages
    >>> from wsrl.zoos import BuildSettings, build_zoo, open_zoo
    >>> folder, settings = mkdtemp(), BuildSettings(runs=2, hidden_size=4, snapshots=(9,))
    >>> problem = FormalLanguages(2, 8, evaluated_strings=20, stored_strings=4)
    >>> _ = build_zoo(folder, problem, settings, backend="eager", quiet=True)
    >>> label_zoo(folder, {"row": [1, 0], "n_stable": [4, 1]})
    ['n_stable']
    >>> open_zoo(folder).read("property.n_stable").tolist()
    [1.0, 4.0]
    """
    opened = open_zoo(zoo)
    read = read_table(table, len(opened), say)
    keys = {name: read[name].whole_numbers() for name in KEYS if name in read}
    order = _order(keys, opened.read("run").tolist(), opened.read("step").tolist())
    kinds = {"categorical": categorical, "real": real, "angle": angle}
    named = {*categorical, *real, *angle}
    chosen = [n for n in read if n not in (*KEYS, *KNOWN)] if columns is None else list(columns)
    for name, given in {"columns": chosen, **kinds}.items():
        check_known(name, given, read)
    if columns is None:
        chosen = [name for name in chosen if name in named or not _has_gaps(read[name], say)]
    taken = [name for name in chosen if name in opened.problem.targets(opened.steps)]
    if taken or not chosen:
        why = f"the zoo has {some(taken)} itself" if taken else "there is no property"
        raise ValueError(f"{why}: choose others with columns, or rename them")
    found, known = dict[str, Tensor](), []
    for name in chosen:
        column = read[name]
        found[property_column(name)], about = _read(column, order, kinds)
        known.append({"name": name, **about})
        if len(about.get("classes", ())) == 1:
            say(f"column {name!r} gives every RNN the same class: nothing can be learned from it")
    start = 0
    for each in opened.zoos:
        own = {name: values[start : start + len(each)] for name, values in found.items()}
        write_labels(each.path, own, known, each.read("run"), each.read("step"))
        start += len(each)
    return chosen


def _read(
    column: Column, order: Sequence[int], kinds: Mapping[str, Sequence[str]]
) -> tuple[Tensor, dict[str, Any]]:
    """Return a property's values in the zoo's order, and what it is; NaN for missing numbers."""
    numbers = column.name in (*kinds["real"], *kinds["angle"])
    own = [p for p in order if not (numbers and is_missing(column.entries[p]))]
    names = [f"row {place + 1}" for place in own]
    entries = [column.entries[place] for place in own]
    values, about = read_property(replace(column, entries=entries, models=names), kinds)
    if len(own) == len(order):
        return values, about
    places = torch.full((len(order),), -1)
    places[own] = torch.arange(len(own))
    every = torch.cat([values, values.new_tensor([torch.nan])])
    return every[places[torch.tensor(order)]], about


def _order(keys: Mapping[str, Sequence[int]], runs: list[int], steps: list[int]) -> list[int]:
    """Return the table's row of each RNN of the zoo, by all keys that the table has."""
    count = len(runs)
    whole = {"row": list(range(count)), "run": runs, "step": steps}
    if "row" not in keys and not {"run", "step"} <= keys.keys():
        raise ValueError("a table of a zoo's RNNs has a column row, or columns run and step")
    wanted = list(zip(*(whole[name] for name in keys), strict=True))
    place = {key: index for index, key in enumerate(zip(*keys.values(), strict=True))}
    rows = len(next(iter(keys.values())))
    if lacking := [key for key in wanted if key not in place]:
        named = ", ".join(f"{name} {value}" for name, value in zip(keys, lacking[0], strict=True))
        raise ValueError(
            f"the table has no row for {len(lacking)} of the zoo's {count} RNNs, as {named}: it is "
            "of other RNNs, or of some of them alone"
        )
    if rows != count:
        raise ValueError(f"the table has {rows} rows, but the zoo {count} RNNs")
    return [place[key] for key in wanted]


def _has_gaps(column: Column, say: Callable[[str], object]) -> bool:
    gaps = sum(map(is_missing, column.entries))
    if gaps:
        why = f"column {column.name!r} has no value for {gaps} RNNs"
        say(f"{why}: left out (--real {column.name} keeps it for the others)")
    return bool(gaps)
