"""What a column of a user's table holds: numbers or classes.

A column is numbers if every entry is one; it is classes if at most half of its entries look like
numbers; what lies between is refused, unless the user says which it is. A string in a column with a
type (Parquet, values in memory) is no number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from wsrl.zoos.packing.texts import quoted, short

MISSING = frozenset(("", "na", "n/a", "#n/a", "nan", "-nan", "<na>", "null", "none"))
"""How tables write that an entry is missing, in lower case."""

LONGEST = 1 << 16
"""Characters of an entry; classes are listed in the manifest."""

_LIMIT = 1 << 63
_EXACT = 1 << 53  # floats hold whole numbers exactly up to here
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_PADDED = re.compile(r"[+-]?0[0-9].*")
_ALMOST = re.compile(  # numbers, and those with percent, thousands, decimal commas, Fortran's D
    r"(?=.*[0-9])[+-]?[0-9]*(?:[,.' ][0-9]{3})*(?:[.,][0-9]*)?(?:[eEdD][+-]?[0-9]+)? ?%?"
)
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(?:,[0-9]{3})+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_TYPESET = str.maketrans(dict.fromkeys("\u00a0\u2007\u2009\u202f", " ") | {"\u2212": "-"})
"""Spaces and the minus as spreadsheets set them in numbers."""
_SWAPPED = str.maketrans(",.", ".,")


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: of the column.
        entries: one a row: strings, numbers, truth values, or what is refused.
        text: whether the entries are text out of a file, in which numbers are written in digits.
        models: whose rows these are, for messages; the numbers of the rows where that is not known.
        decimal: the decimal sign of numbers in text, ``.`` or ``,``.
    """

    name: str
    entries: Sequence[Any]
    text: bool = False
    models: Sequence[str] = ()
    decimal: str = "."

    def is_real(self) -> bool:
        """Whether the column holds numbers, rather than classes.

        Raises:
            ValueError: where an entry is missing, or where most entries are numbers but some are
                not, such as ``?``, ``50%``, ``1,000`` or ``007``.
        """
        self._check()
        numbers = [as_number(entry, self.decimal) is not None for entry in self.entries]
        strings = [isinstance(entry, str) for entry in self.entries]
        if not self.text and all(numbers) and all(strings):
            return False  # the table says that they are strings
        if 2 * sum(map(_looks_like_a_number, self.entries)) <= len(numbers):
            return False
        for row, entry in enumerate(self.entries):
            if not self._is_number(entry):
                name, why = short(self.name), "which is no number, among entries that are"
                if self.text and numbers[row]:
                    why = f"which is a number (say --real {name}) or, with its leading zero, a name"
                hint = f". If its entries are classes, say --categorical {name}"
                raise self._error(row, why + hint)
        return True

    def reals(self, strings: bool = False) -> list[float]:
        """Return finite numbers.

        Args:
            strings: whether strings in a column with a type may be numbers, too.

        Raises:
            ValueError: for other entries, and whole numbers that a float does not hold exactly.
        """

        def why_not(number: float) -> str | None:
            exact = not isinstance(number, int) or int(float(number)) == number
            return None if exact else "which no real value holds exactly"

        return [float(number) for number in self._numbers(why_not, strings)]

    def whole_numbers(self) -> list[int]:
        """Return whole numbers from 0 on, below 2**63.

        Raises:
            ValueError: for other entries.
        """

        def why_not(number: float) -> str | None:
            limit = _LIMIT if isinstance(number, int) else _EXACT
            fits = 0 <= number < limit and number == int(number)
            return None if fits else "but must hold whole numbers from 0 on, below 2**63"

        return [int(number) for number in self._numbers(why_not)]

    def _numbers(
        self, why_not: Callable[[float], str | None], strings: bool = False
    ) -> Iterator[float]:
        self._check()
        for row, entry in enumerate(self.entries):
            readable = self.text or strings or not isinstance(entry, str)
            number = as_number(entry, self.decimal) if readable else None
            if number is None:
                raise self._error(row, "but must hold numbers alone")
            why = why_not(number) if math.isfinite(number) else "which is not finite"
            if why is not None:
                raise self._error(row, why)
            yield number

    def classes(self, as_written: bool = False) -> tuple[list[int], list[Any]]:
        """Return the class of every model, and what the classes are called, in order.

        Text that is a number throughout is called by its number, other text as it is written.

        Args:
            as_written: whether ``NA``, ``none`` and their like are classes of these names.

        Raises:
            ValueError: for entries that are missing or not finite, or truth values among numbers.
        """
        self._check({""} if as_written else MISSING)
        values = list(self.entries)
        if self.text and None not in (called := [_called(entry) for entry in values]):
            values = called
        for row, value in enumerate(values):
            if isinstance(value, float) and not math.isfinite(value):
                raise self._error(row, "which is not finite")
        kinds = {type(value) for value in values}
        if bool in kinds and kinds & {int, float}:
            raise ValueError(f"column {quoted(self.name)} holds truth values among numbers")
        mixed = len({kind is str for kind in kinds}) == 2
        labels = sorted(set(values), key=str if mixed else None)
        position = {label: index for index, label in enumerate(labels)}
        return [position[value] for value in values], labels

    def run_numbers(self) -> tuple[list[int], list[str]]:
        """Return the number of every model's run, and the runs' names where they have some.

        Raises:
            ValueError: for entries that are missing, or numbers that are no whole ones.
        """
        self._check()
        if all(map(self._is_number, self.entries)):
            return self.whole_numbers(), []
        return replace(self, entries=list(map(str, self.entries)), text=False).classes()

    def _is_number(self, entry: Any) -> bool:
        """Whether an entry is a number for sure: no string with a type or a leading zero."""
        if isinstance(entry, str) and (not self.text or _PADDED.fullmatch(entry)):
            return False
        return as_number(entry, self.decimal) is not None

    def _check(self, missing: Collection[str] = MISSING) -> None:
        """Check that every model has an entry, and of a kind that a zoo can hold."""
        lost = [row for row, entry in enumerate(self.entries) if is_missing(entry, missing)]
        if lost:
            entry = self.entries[lost[0]]
            says, hint = "", ""
            if isinstance(entry, str) and entry:
                says = f": it says {quoted(entry)}"
                hint = f"; if that is a class, say --categorical {short(self.name)}"
            raise ValueError(
                f"column {quoted(self.name)} has no value for {self._model(lost[0])} (and "
                f"{len(lost) - 1} others){says}. Fill it, or leave these models or the column "
                f"(--leave_out {short(self.name)}) out{hint}"
            )
        for row, entry in enumerate(self.entries):
            if not isinstance(entry, str | int | float):
                raise self._error(row, "and it must hold strings, numbers or truth values")
            if isinstance(entry, str) and len(entry) > LONGEST:
                raise self._error(row, f"which is longer than {LONGEST} characters")
            if isinstance(entry, str) and _SURROGATE.search(entry):
                raise self._error(row, "which is no UTF-8")

    def _model(self, row: int) -> str:
        return self.models[row] if self.models else f"row {row + 1}"

    def _error(self, row: int, why: str) -> ValueError:
        name, entry = quoted(self.name), quoted(self.entries[row])
        return ValueError(f"column {name} holds {entry} for {self._model(row)}, {why}")


def as_number(entry: Any, decimal: str = ".") -> int | float | None:
    """Return the number that an entry is, if it is one; whole numbers exactly.

    Text is a number if it is written in digits, with a sign, a decimal sign and an exponent where
    need be; ``2_16``, ``0x10`` and ``inf`` are none.

    >>> as_number("1e-3"), as_number("0,5", decimal=","), as_number("0,5")
    (0.001, 0.5, None)
    """
    if not isinstance(entry, str):
        return entry if isinstance(entry, int | float) and not isinstance(entry, bool) else None
    written = entry.translate(_SWAPPED) if decimal == "," else entry
    if not _NUMBER.fullmatch(written):
        return None
    whole = written.lstrip("+-").isdigit() and len(written) < 1000  # Python reads no 5000 digits
    return int(written) if whole else float(written)


def is_missing(entry: Any, missing: Collection[str] = MISSING) -> bool:
    """Whether an entry stands for nothing: ``None``, NaN, or text of that meaning."""
    if isinstance(entry, str):
        return entry.strip().lower() in missing
    return bool(pd.api.types.is_scalar(entry) and pd.isna(entry))


def decimal_sign(entries: Sequence[str]) -> str:
    """Find the decimal sign in a column of text whose table does not separate columns by commas.

    A comma is one where all entries are numbers with it, none has a point, and not all may be
    thousands (``1,000``).

    >>> decimal_sign(["0,500", "1,250"]), decimal_sign(["1,000", "1,250"])
    (',', '.')
    """
    commas = [entry for entry in entries if "," in entry]
    found = all(is_missing(entry) or as_number(entry, ",") is not None for entry in entries)
    return "," if found and not all(map(_THOUSANDS.fullmatch, commas)) else "."


def _looks_like_a_number(entry: Any) -> bool:
    if isinstance(entry, str):
        return _ALMOST.fullmatch(entry.translate(_TYPESET)) is not None
    return as_number(entry) is not None


def _called(entry: str) -> int | float | None:
    """Return the number that a class is called by; text that is none, or no exact one, stays."""
    number = None if _PADDED.fullmatch(entry) else as_number(entry)
    return number if number is not None and -_LIMIT <= number < _LIMIT else None
