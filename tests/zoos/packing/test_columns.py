"""Labels stay what the table says: numbers, classes, what is missing, and what is unclear."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wsrl.zoos.packing.columns import MISSING, Column, as_number

WHOLE = st.integers(-(2**63), 2**63 - 1)


def text(entries: Sequence[str]) -> Column:
    """A column of a CSV file."""
    return replace(Column.of("c", entries, typed=False), may_be_classes=True)


def typed(entries: Any) -> Column:
    """A column of a Parquet file, or in memory."""
    return replace(Column.of("c", entries, typed=True), may_be_classes=True)


@given(WHOLE)
def test_whole_numbers_stay_what_they_are(number: int) -> None:
    for written in (str(number), f"{number:+d}"):
        assert as_number(written) == number
    assert text([str(number)]).numbers() == [number]
    assert text([str(number)]).classes() == ([0], [number])


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_read_as_python_writes_them(number: float) -> None:
    for written in (repr(number), f"{number:e}", f"{number:.17g}"):
        assert as_number(written) == float(written)
    assert as_number(repr(number)) == number


@pytest.mark.parametrize("written", ["1", "-1", "+1", "1.", ".5", "0.5", "1e3", "1E-3", "-.5e+2"])
def test_what_is_a_number(written: str) -> None:
    assert as_number(written) == float(written)
    assert text([written, "2"]).is_real()


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


def test_architectures_are_classes() -> None:
    column = text(["2_16", "3_32", "1_64"] * 4)
    assert not column.is_real()
    assert column.classes() == ([1, 2, 0] * 4, ["1_64", "2_16", "3_32"])


@pytest.mark.parametrize("missing", [*MISSING, "NA", "NaN", "None", "NULL", "#N/A"])
@pytest.mark.parametrize("others", [["cat", "dog"], ["1", "2"]])
@pytest.mark.parametrize("make", [text, typed])
def test_what_is_missing_is_missing_among_numbers_and_classes(
    make: Any, others: list[str], missing: str
) -> None:
    column = make([*others, missing]).pick([0, 1, 2], ["a", "b", "c"])
    says = rf": it says '{missing}'\. Fill it" if missing else r"\. Fill it"
    for read in (column.is_real, column.classes, column.run_numbers, column.numbers):
        with pytest.raises(
            ValueError, match=rf"column 'c' has no value for c \(and 0 others\){says}"
        ):
            read()


@pytest.mark.parametrize(
    "missing", [None, float("nan"), np.float32("nan"), np.datetime64("NaT"), np.ma.masked, ""]
)
def test_what_is_missing_in_memory(missing: Any) -> None:
    for others in (["cat"], [0.5], [True]):
        with pytest.raises(ValueError, match="column 'c' has no value for row 2"):
            typed([*others, missing]).is_real()


def test_values_of_numpy_and_torch_are_plain() -> None:
    assert typed(np.array([1, 2])).whole_numbers() == [1, 2]
    assert typed(torch.tensor([0.5, 2.0])).reals() == [0.5, 2.0]
    assert typed(np.array([True, False])).classes() == ([1, 0], [False, True])
    assert not typed(np.array([True, False])).is_real()
    assert typed(np.array(["b", "a"])).classes() == ([1, 0], ["a", "b"])
    assert typed(np.array([2**63 - 1], dtype=np.uint64)).whole_numbers() == [2**63 - 1]


@pytest.mark.parametrize(
    "entry",
    [
        *(datetime.date(2026, 11, 1), np.datetime64("2026-11-01", "ns"), decimal.Decimal(1)),
        *(b"a", (1,), [1], {"a": 1}, 1j, np.zeros(2), torch.zeros(2)),
    ],
)
def test_values_of_other_kinds_are_refused(entry: Any) -> None:
    for read in (typed([entry]).is_real, typed([entry]).classes, typed([entry]).run_numbers):
        with pytest.raises(ValueError, match=r"'c' holds .* row 1, and it must hold .* values$"):
            read()


@pytest.mark.parametrize(
    ("entries", "first"),
    [
        (["-", "0.5", "0.6", "0.7"], "'-'"),
        (["1", "2", "?"], r"'\?'"),
        (["0.5", "0.6", "inf"], "'inf'"),
        (["50%", "51%", "52%"], "'50%'"),
        (["0.5", "51 %"], "'51 %'"),
        (["1,000", "10,000", "900"], "'1,000'"),
        (["1'000", "10'000.5"], '"1\'000"'),
        (["0,5", "0,25"], "'0,5'"),
        (["1\u00a0000", "900"], r"'1\\xa0000'"),
        (["1\u202f000,5", "9,5"], ".*000,5'"),
        (["1.000,5", "2.000,5"], r"'1\.000,5'"),
        (["\u22120.5", "0.5"], r"'.0\.5'"),
        (["1.0D-03", "2.0D-03"], r"'1\.0D-03'"),
        (["1", "2", "2_16"], "'2_16'"),
        (["007", "012"], "'007'"),
        (["08", "09", "10", "11"], "'08'"),
    ],
)
def test_what_is_no_number_among_numbers_is_named(entries: list[str], first: str) -> None:
    for column in (text(entries), text(entries * 3)):
        with pytest.raises(ValueError, match=f"'c' holds {first} .*say --categorical c$"):
            column.is_real()
        assert [column.classes()[1][i] for i in column.classes()[0]] == list(column.entries)


@pytest.mark.parametrize(
    "entries", [[0.5, "-", 0.7], [1, 2, True], ["0.5", "-", "0.7"], ["50%", "60%"], [1, "2", 3]]
)
def test_the_same_holds_for_values_with_types(entries: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"'c' holds .* no number.* --categorical c"):
        typed(entries).is_real()


def test_text_with_a_type_stays_text() -> None:
    assert not typed(["0", "1", "1"]).is_real()
    assert typed(["0", "1", "1"]).classes() == ([0, 1, 1], ["0", "1"])
    assert text(["0", "1", "1"]).is_real()
    assert text(["0", "1", "1"]).classes() == ([0, 1, 1], [0, 1])


def test_words_with_some_numbers_are_classes() -> None:
    """The negative partner: most entries are no numbers."""
    assert not text(["adam", "sgd", "1"]).is_real()
    assert not text(["auto", "50%"]).is_real()
    assert text(["adam", "sgd", "1"]).classes()[1] == ["1", "adam", "sgd"]


def test_a_number_written_in_two_ways_is_one_class() -> None:
    assert text(["1e-3", "0.001", "10", "2"]).classes() == ([0, 0, 2, 1], [0.001, 2, 10])


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("9" * 400, r"'c' holds '9{50,}\.\.\. \(402 characters\) for row 1, .*below 2\*\*63"),
        ("9" * 5000, r"below 2\*\*63.*--categorical c"),
        (str(2**63), r"holds '9223372036854775808' for row 1, and whole .* below 2\*\*63"),
        (str(10**18 + 1), "holds '1000000000000000001' for row 1, which no real value holds"),
        ("1e400", "holds '1e400' for row 1, which is not finite"),
    ],
)
def test_numbers_that_cannot_be_kept_are_named(entry: str, message: str) -> None:
    assert text([entry]).is_real()
    with pytest.raises(ValueError, match=message):
        text([entry]).reals()
    assert text([str(2**53), "-4", "0.1"]).reals() == [2.0**53, -4.0, 0.1]


def test_large_numbers_may_be_classes() -> None:
    for entry in ("9" * 5000, str(2**63)):
        assert text([entry, "1"]).classes() == ([1, 0], ["1", entry])
    with pytest.raises(ValueError, match="'c' holds inf for row 1, which is not finite"):
        typed([float("inf")]).classes()
    with pytest.raises(ValueError, match="truth values among numbers"):
        typed([True, 1, 2]).classes()
    with pytest.raises(ValueError, match="no UTF-8"):
        typed(["\udcff", "a"]).classes()
    assert typed(["a" * 65536]).classes()[0] == [0]
    with pytest.raises(ValueError, match="longer than 65536 characters") as said:
        typed(["a" * 65537]).classes()
    assert len(str(said.value)) < 200


@given(st.lists(st.integers(0, 2**63 - 1), min_size=1))
def test_runs_keep_their_numbers(numbers: list[int]) -> None:
    for column in (text([str(number) for number in numbers]), typed(numbers)):
        assert column.run_numbers() == (numbers, [])


def test_runs_that_are_no_plain_numbers_have_names() -> None:
    assert text(["b", "a", "b"]).run_numbers() == ([1, 0, 1], ["a", "b"])
    assert text(["7", "007"]).run_numbers() == ([1, 0], ["007", "7"])
    assert text(["12", "12b"]).run_numbers() == ([0, 1], ["12", "12b"])
    assert typed([1, "a"]).run_numbers() == ([0, 1], ["1", "a"])
    assert text(["1.0", "2.0"]).run_numbers() == ([1, 2], [])
    for entry, message in (
        (str(2**63), r"below 2\*\*63"),
        ("-1", "from 0 on, not -1"),
        ("1.5", "from 0 on, not 1.5"),
        ("1e18", "from 0 on, not 1e"),
    ):
        with pytest.raises(ValueError, match=message):
            text([entry]).run_numbers()


def test_steps_may_have_leading_zeros() -> None:
    assert text(["000100", "002000"]).whole_numbers() == [100, 2000]


def test_what_is_no_sequence_is_refused() -> None:
    for values in (5, "abc", np.float64(1)):
        with pytest.raises(ValueError, match="column 'c' must be a sequence"):
            typed(values)
