"""What a column of a user's table holds: numbers or classes.

A column is numbers if every entry is one; it is classes if at most half of its entries look like
numbers; what lies between is refused, unless the user says which it is. A string in a column with a
type (Parquet, values in memory) is no number.
"""

import math
import re
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from wsrl.validation import short

MISSING = frozenset(("", "na", "n/a", "#n/a", "nan", "-nan", "<na>", "null", "none"))
"""How tables write that an entry is missing, in lower case."""

_LIMIT = 1 << 63
_EXACT = 1 << 53  # floats hold whole numbers exactly up to here
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_PADDED = re.compile(r"[+-]?0[0-9].*")
_ALMOST = re.compile(  # numbers, and those with percent, thousands, decimal commas, Fortran's D
    r"(?=.*[0-9])[+-]?[0-9]*(?:[,.' ][0-9]{3})*(?:[.,][0-9]*)?(?:[eEdD][+-]?[0-9]+)? ?%?"
)
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(?:,[0-9]{3})+")
_TYPESET = str.maketrans(dict.fromkeys("\u00a0\u2007\u2009\u202f", " ") | {"\u2212": "-"})
"""Spaces and the minus as spreadsheets set them in numbers."""
_SWAPPED = str.maketrans(",.", ".,")


@dataclass(frozen=True)
class Column:
    """A column of a table: its entries, one a row, and the models whose rows these are, if known.

    The entries are ``text`` out of a file, in which numbers are written in digits with a decimal
    sign, or values with a type. Every method raises a ``ValueError`` that names the first entry
    that is missing or does not fit.
    """

    name: str
    entries: Sequence[Any]
    text: bool = False
    models: Sequence[str] = ()
    decimal: str = "."

    def is_real(self) -> bool:
        """Whether the column holds numbers, rather than classes.

        Where most entries are numbers but some are not (``?``, ``50%``, ``1,000``, ``007``) it is
        refused.
        """
        self._check()
        numbers = [as_number(entry, self.decimal) is not None for entry in self.entries]
        if not self.text and all(numbers) and all(isinstance(e, str) for e in self.entries):
            return False  # the table says that they are strings
        if 2 * sum(map(_looks_like_a_number, self.entries)) <= len(numbers):
            return False
        hint = f"If its entries are classes, say --categorical {self.name}"
        unsure = [not self._is_number(entry) for entry in self.entries]
        padded = [self.text and number and bad for number, bad in zip(numbers, unsure, strict=True)]
        self._refuse(padded, f"a name with leading zero, or a number (--real {self.name}). {hint}")
        self._refuse(unsure, f"which is no number, among entries that are. {hint}")
        return True

    def reals(self, strings: bool = False) -> list[float]:
        """Return finite numbers that floats hold exactly; ``strings`` with a type may be some."""
        numbers = self._numbers(strings)
        inexact = (isinstance(number, int) and int(float(number)) != number for number in numbers)
        self._refuse(inexact, "which no real value holds exactly")
        return [float(number) for number in numbers]

    def whole_numbers(self) -> list[int]:
        """Return whole numbers from 0 on, below 2**63."""
        numbers = self._numbers()
        limits = [_LIMIT if isinstance(number, int) else _EXACT for number in numbers]
        pairs = zip(numbers, limits, strict=True)
        wrong = (not 0 <= number < limit or number % 1 for number, limit in pairs)
        self._refuse(wrong, "but must hold whole numbers from 0 on, below 2**63")
        return [int(number) for number in numbers]

    def classes(self, as_written: bool = False) -> tuple[list[int], list[Any]]:
        """Return the class of every model, and what the classes are called, in order.

        Text that is a number throughout is called by its number, other text as it is written. With
        ``as_written``, ``NA``, ``none`` and their like are classes of these names.
        """
        self._check({""} if as_written else MISSING)
        values = list(self.entries)
        if self.text and None not in (called := [_called(entry) for entry in values]):
            values = called
        infinite = (isinstance(value, float) and not math.isfinite(value) for value in values)
        self._refuse(infinite, "which is not finite")
        kinds = {type(value) for value in values}
        if bool in kinds and kinds & {int, float}:
            raise ValueError(f"column {short(self.name)} holds truth values among numbers")
        labels = sorted(set(values), key=str if str in kinds and len(kinds) > 1 else None)
        position = {label: index for index, label in enumerate(labels)}
        return [position[value] for value in values], labels

    def run_numbers(self) -> tuple[list[int], list[str]]:
        """Return the number of every model's run, and the runs' names where they have some."""
        self._check()
        if all(map(self._is_number, self.entries)):
            return self.whole_numbers(), []
        return replace(self, entries=list(map(str, self.entries)), text=False).classes()

    def _numbers(self, strings: bool = False) -> list[float]:
        self._check()
        readable = self.text or strings
        numbers = [
            as_number(entry, self.decimal) if readable or not isinstance(entry, str) else None
            for entry in self.entries
        ]
        self._refuse((number is None for number in numbers), "but must hold numbers alone")
        found = [number for number in numbers if number is not None]
        large = (not abs(number) <= sys.float_info.max for number in found)
        self._refuse(large, "which is not finite")
        return found

    def _is_number(self, entry: Any) -> bool:
        """Whether an entry is a number for sure: no string with a type or a leading zero."""
        if isinstance(entry, str) and (not self.text or _PADDED.fullmatch(entry)):
            return False
        return as_number(entry, self.decimal) is not None

    def _check(self, missing: Collection[str] = MISSING) -> None:
        """Check that every model has an entry, and of a kind that a zoo can hold."""
        if lost := [row for row, entry in enumerate(self.entries) if is_missing(entry, missing)]:
            entry, says, hint = self.entries[lost[0]], "", ""
            if isinstance(entry, str) and entry:
                says = f": it says {short(entry)}"
                hint = f"; if that is a class, say --categorical {self.name}"
            raise ValueError(
                f"column {short(self.name)} has no value for {self._model(lost[0])} (and "
                f"{len(lost) - 1} others){says}. Fill it, or leave these models or the column "
                f"(--leave_out {self.name}) out{hint}"
            )
        strange = (not isinstance(entry, str | int | float) for entry in self.entries)
        self._refuse(strange, "and it must hold strings, numbers or truth values")

    def _model(self, row: int) -> str:
        return self.models[row] if self.models else f"row {row + 1}"

    def _refuse(self, wrong: Iterable[object], why: str) -> None:
        """Refuse the column where something is wrong with an entry; name the first one."""
        for row in (row for row, bad in enumerate(wrong) if bad):
            held = f"{short(self.entries[row])} for {self._model(row)}"
            raise ValueError(f"column {short(self.name)} holds {held}, {why}")


def as_number(entry: Any, decimal: str = ".") -> int | float | None:
    """Return the number that an entry is, if it is one; whole numbers exactly.

    Text is one in digits with sign, decimal sign and exponent; ``2_16`` and ``inf`` are none.

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
    """Find the decimal sign of text in which commas do not separate columns.

    It is a comma where all entries are numbers with it and not all may be thousands (``1,000``).

    >>> decimal_sign(["0,500", "1,250"]), decimal_sign(["1,000", "1,250"])
    (',', '.')
    """
    commas = [entry for entry in entries if "," in entry]
    found = all(is_missing(entry) or as_number(entry, ",") is not None for entry in entries)
    return "," if found and not all(map(_THOUSANDS.fullmatch, commas)) else "."


def some(names: Sequence[object], count: int = 5) -> str:
    """Return the first of some names of a user's to read: they may be many, long, and any text."""
    more = f" and {len(names) - count} more" if len(names) > count else ""
    shown = [str(name)[:80] for name in names[:count]]
    return ", ".join(name if name.isprintable() else ascii(name) for name in shown) + more


def _looks_like_a_number(entry: Any) -> bool:
    if isinstance(entry, str):
        return _ALMOST.fullmatch(entry.translate(_TYPESET)) is not None
    return as_number(entry) is not None


def _called(entry: str) -> int | float | None:
    """Return the number that names a class; ``None`` for text and for inexact numbers."""
    number = None if _PADDED.fullmatch(entry) else as_number(entry)
    return number if number is not None and -_LIMIT <= number < _LIMIT else None
