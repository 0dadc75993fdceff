"""Labels stay what the table says: numbers, classes, what is missing, and what is unclear."""

from __future__ import annotations

import decimal
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsrl.zoos.packing.columns import MISSING, Column, as_number

NUMBER = r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?"


def text(entries: Sequence[str]) -> Column:
    """A column of a CSV file."""
    return Column("c", entries, text=True)


def typed(entries: Sequence[Any]) -> Column:
    """A column of a Parquet file, or in memory."""
    return Column("c", entries)


@given(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_read_as_python_writes_them(whole: int, number: float) -> None:
    assert as_number(str(whole)) == as_number(f"{whole:+d}") == whole
    assert text([str(whole)]).classes() == ([0], [whole])
    for written in (repr(number), f"{number:e}", f"{number:.17g}"):
        assert as_number(written) == float(written)
        assert as_number(written.replace(".", ","), ",") == float(written)


@given(st.lists(st.from_regex(re.compile(NUMBER, re.ASCII), fullmatch=True), min_size=1))
def test_what_is_a_number_throughout_is_no_class(entries: list[str]) -> None:
    if any(re.match("[+-]?0[0-9]", entry) for entry in entries):
        with pytest.raises(ValueError, match="leading zero"):
            text(entries).is_real()
    else:
        assert text(entries).is_real()


@pytest.mark.parametrize(
    "written",
    [
        *("2_16", "1_000", "0x10", "0b1", "inf", "-Infinity", "1e", "e5", ".", "1 2", "1.2.3"),
        *("--1", "\u0661", "\uff11", "1\n", " 1", "True"),
    ],
)
def test_what_is_no_number(written: str) -> None:
    """Although Python's ``int`` and ``float`` take some of these."""
    assert as_number(written) is None
    assert not text([written, "a"]).is_real()
    assert text([written, "a"]).classes()[1] == sorted([written, "a"])


@pytest.mark.parametrize("missing", [*sorted(MISSING), "NA", None, float("nan")])
@pytest.mark.parametrize("others", [["cat", "dog"], ["1", "2"]])
def test_what_is_missing_is_missing_among_numbers_and_classes(
    others: list[str], missing: Any
) -> None:
    column = (text if isinstance(missing, str) else typed)([*others, missing])
    written = isinstance(missing, str) and missing
    says = rf": it says '{missing}'\. .*--categorical c" if written else r"\. Fill it"
    for read in (column.is_real, column.classes, column.run_numbers, column.reals):
        with pytest.raises(ValueError, match=rf"'c' has no value for row 3 \(and 0 others\){says}"):
            read()
    if written:  # unless the user says that it is a class
        assert column.classes(as_written=True)[1] == sorted([*others, missing])


@pytest.mark.parametrize("entry", [decimal.Decimal(1), b"a", (1,), [1], {"a": 1}, 1j])
def test_values_of_other_kinds_are_refused(entry: Any) -> None:
    for read in (typed([entry]).is_real, typed([entry]).classes, typed([entry]).run_numbers):
        with pytest.raises(ValueError, match=r"'c' holds .* row 1, and it must hold .* values$"):
            read()


@pytest.mark.parametrize(
    ("entries", "first"),
    [
        (["-", "0.5", "0.6", "0.7"], "'-'"),
        (["0.5", "0.6", "inf"], "'inf'"),
        (["50%", "51%", "52%"], "'50%'"),
        (["1,000", "10,000", "900"], "'1,000'"),
        (["0,5", "0,25"], "'0,5'"),
        (["1\u00a0000", "900"], r"'1\\xa0000'"),
        (["1.000,5", "2.000,5"], r"'1\.000,5'"),
        (["\u22120.5", "0.5"], r"'.0\.5'"),
        (["1.0D-03", "2.0D-03"], r"'1\.0D-03'"),
        (["1", "2", "2_16"], "'2_16'"),
        (["007", "012"], "'007' .*--real c"),
    ],
)
def test_what_is_no_number_among_numbers_is_named(entries: list[str], first: str) -> None:
    for column in (text(entries), text(entries * 3)):
        with pytest.raises(ValueError, match=f"'c' holds {first}.*say --categorical c$"):
            column.is_real()
        assert [column.classes()[1][i] for i in column.classes()[0]] == list(column.entries)


@pytest.mark.parametrize(
    "entries", [[0.5, "-", 0.7], [1, 2, True], ["0.5", "-", "0.7"], ["50%", "60%"], [1, "2", 3]]
)
def test_the_same_holds_for_values_with_types(entries: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"'c' holds .* no number.* --categorical c"):
        typed(entries).is_real()


def test_strings_with_a_type_stay_strings() -> None:
    strings = typed(["0", "1", "1"])
    assert not strings.is_real()
    assert strings.classes() == ([0, 1, 1], ["0", "1"])
    assert strings.reals(strings=True) == [0, 1, 1]
    assert text(["0", "1", "1"]).is_real()
    assert text(["0", "1", "1"]).classes() == ([0, 1, 1], [0, 1])


def test_words_with_some_numbers_are_classes() -> None:
    """The negative partner: most entries are no numbers."""
    assert not text(["auto", "50%"]).is_real()
    assert not text(["2_16", "3_32"]).is_real()
    assert text(["adam", "sgd", "1"]).classes()[1] == ["1", "adam", "sgd"]
    assert text(["1e-3", "0.001", "10", "2"]).classes() == ([0, 0, 2, 1], [0.001, 2, 10])


def test_numbers_that_cannot_be_kept_are_named() -> None:
    for entry, message in (
        ("9" * 5000, r"'c' holds '9+\.\.\.9+' for row 1, .* not finite"),
        (str(10**18 + 1), "for row 1, which no real value holds"),
        ("1e400", "holds '1e400' for row 1, which is not finite"),
        ("9" * 400, "for row 1, which is not finite"),
    ):
        assert text([entry]).is_real()
        with pytest.raises(ValueError, match=message):
            text([entry]).reals()
    assert text([str(2**53), "-4", "0.1"]).reals() == [2.0**53, -4.0, 0.1]
    for entry in ("9" * 5000, str(2**63)):  # as classes they are called by their text
        assert text([entry, "1"]).classes() == ([1, 0], ["1", entry])
    for entries, message in (([float("inf")], "not finite"), ([True, 1, 2], "truth values among")):
        with pytest.raises(ValueError, match=message):
            typed(entries).classes()


def test_runs_keep_their_numbers_or_have_names() -> None:
    large = [2**63 - 1, 0, 5]
    for column in (text([str(number) for number in large]), typed(large)):
        assert column.run_numbers() == (large, [])
    assert text(["7", "007"]).run_numbers() == ([1, 0], ["007", "7"])
    assert text(["12", "12b", "12"]).run_numbers() == ([0, 1, 0], ["12", "12b"])
    assert typed([1, "a"]).run_numbers() == ([0, 1], ["1", "a"])
    assert typed(["1", "2"]).run_numbers() == ([0, 1], ["1", "2"])
    for entry in (str(2**63), "-1", "1.5", "1e18"):
        with pytest.raises(ValueError, match=r"whole numbers from 0 on, below 2\*\*63"):
            text([entry]).run_numbers()
    assert text(["000100", "002000"]).whole_numbers() == [100, 2000]
