"""Which row is of which model: by name or by path, and never of two."""

from __future__ import annotations

from typing import Any

import pytest

from wsrl.zoos.packing.columns import Column
from wsrl.zoos.packing.table import match_rows


@pytest.mark.parametrize(
    ("written", "names", "expected"),
    [
        (["b.pt", "a.pt"], ["a.pt", "b.pt"], [1, 0]),
        (["./b.pt", "models/a.pt"], ["a.pt", "b.pt"], [1, 0]),
        (["C:\\runs\\b.pt", "a.pt"], ["a.pt", "b.pt"], [1, 0]),
        (["a", "b"], ["a.pt", "b.PTH"], [0, 1]),
        (["x/seed0/m.pt", "seed1/m.pt"], ["seed0/m.pt", "seed1/m.pt"], [0, 1]),
        (["e\u0301.pt", "\xe9a.pt"], ["\xe9.pt", "e\u0301a.pt"], [0, 1]),
        (["m.pt", "s/m.pt"], ["m.pt", "s/m.pt"], [0, 1]),
        ([1, 2.5], ["1", "2.5"], [0, 1]),
        (["m.pt", "m"], ["m", "m.pt"], [1, 0]),
    ],
)
def test_rows_are_matched_by_names_or_paths(
    written: list[Any], names: list[str], expected: list[int]
) -> None:
    table = {"file": Column("file", written), "x": Column("x", expected)}
    found = match_rows(table, names, "file", from_files=True)["x"]
    assert found.entries == list(range(len(names)))
    assert found.models == names


@pytest.mark.parametrize(
    ("written", "names", "message"),
    [
        (["m.pt", "s1/m.pt"], ["s0/m.pt", "s1/m.pt"], r"rows of no model: m\.pt\. models without"),
        (["a/m.pt", "b/m.pt"], ["m.pt"], r"several rows: m\.pt"),
        (["e\u0301"], ["e\u0301.pt", "\xe9.pt"], "rows of no model"),  # of which one?
        (["xa.pt"], ["a.pt"], r"rows of no model: xa\.pt"),
        (["\x1b[31m\n"], ["a.pt"], r"rows of no model: '\\x1b\[31m\\n'\. models"),
    ],
)
def test_what_may_be_of_another_model_is_not_matched(
    written: list[str], names: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        match_rows({"file": Column("file", written)}, names, "file", from_files=True)


def test_rows_without_names_are_in_the_models_order() -> None:
    table = {"x": Column("x", [1, 2])}
    assert match_rows(table, ["a", "b"], "file", from_files=False)["x"].entries == [1, 2]
    with pytest.raises(ValueError, match="the table has 2 rows, but there are 3 models"):
        match_rows(table, ["a", "b", "c"], "file", from_files=False)
    with pytest.raises(ValueError, match="no column 'file' that names the files; it has x"):
        match_rows(table, ["a", "b"], "file", from_files=True)
