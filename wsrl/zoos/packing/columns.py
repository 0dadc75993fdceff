"""What the entries of a user's table are: numbers, classes, or missing.

Labels stay what the table says. Where it does not say clearly whether a column holds numbers or
classes, the column is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from wsrl.zoos.packing.texts import quoted, short

MISSING = ("", "na", "n/a", "#n/a", "nan", "-nan", "<na>", "null", "none")
"""How tables write that an entry is missing, in lower case."""

LONGEST = 1 << 16
"""Characters of an entry; classes are listed in the manifest."""

_MISSING_TYPES = ("NAType", "NaTType", "MaskedConstant")  # of pandas and numpy
_LIMIT = 1 << 63
_EXACT = 1 << 53  # floats hold whole numbers exactly up to here
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WHOLE = re.compile(r"[+-]?[0-9]+")
_PADDED = re.compile(r"[+-]?0[0-9].*")
_ALMOST = re.compile(  # percent, thousands, decimal commas, exponents as in Fortran
    r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+|[0-9]{1,3}(?:[,' ][0-9]{3})+(?:\.[0-9]*)?"
    r"|[0-9]{1,3}(?:[.' ][0-9]{3})*,[0-9]+|[0-9]+,[0-9]+)(?:[eEdD][+-]?[0-9]+)? ?%?"
)
_TYPESET = str.maketrans(dict.fromkeys("\u00a0\u2007\u2009\u202f", " ") | {"\u2212": "-"})
"""Spaces and the minus as spreadsheets set them in numbers."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: of the column.
        entries: one a row, as the table has them.
        typed: whether its entries have a type (Parquet, values in memory) or are text (CSV).
        models: whose rows these are, for messages; the numbers of the rows where that is not known.
        may_be_classes: whether ``categorical`` can name it: messages then say so.
    """

    name: str
    entries: Sequence[Any]
    typed: bool
    models: Sequence[str] = ()
    may_be_classes: bool = False

    @classmethod
    def of(cls, name: str, values: Any, typed: bool) -> Column:
        """Take values out of numpy or torch.

        Raises:
            ValueError: where they are no sequence.
        """
        if isinstance(values, str):
            raise ValueError(f"column {quoted(name)} must be a sequence, not {quoted(values)}")
        try:
            entries = [_plain(value) for value in values]
        except TypeError as error:
            raise ValueError(f"column {quoted(name)} must be a sequence ({error})") from error
        return cls(name, entries, typed)

    def pick(self, rows: Sequence[int], models: Sequence[str]) -> Column:
        """Return these rows, which are those of these models."""
        return replace(self, entries=[self.entries[row] for row in rows], models=models)

    def is_real(self) -> bool:
        """Whether the column holds numbers, rather than classes.

        Raises:
            ValueError: where an entry is missing, or where most entries are numbers but some are
                not, such as ``?``, ``50%``, ``1,000`` or ``007``.
        """
        self._check_entries()
        texts = [isinstance(entry, str) for entry in self.entries]
        if self.typed and all(texts) and not any(map(_is_odd, self.entries)):
            return False  # the table says that they are text
        odd = [row for row, entry in enumerate(self.entries) if _is_odd(entry)]
        like = [row for row in odd if _is_almost(self.entries[row])]
        if odd and 2 * (len(self.entries) - len(odd) + len(like)) <= len(self.entries):
            return False
        odd += [row for row, text in enumerate(texts) if self.typed and text]
        if odd:
            raise self._error(odd[0], "which is no number, among entries that are")
        for row, entry in enumerate(self.entries):
            if isinstance(entry, str) and _PADDED.fullmatch(entry):
                reason = "which with its leading zero may be a number or a name: write it without"
                raise self._error(row, reason)
        return True

    def numbers(self) -> list[int | float]:
        """Return numbers; whole ones as they are, below 2**63.

        Raises:
            ValueError: for entries that are missing, no numbers, not finite, or too large.
        """
        self._check_entries()
        found = []
        for row, entry in enumerate(self.entries):
            number = as_number(entry) if not (self.typed and isinstance(entry, str)) else None
            if number is None:
                raise ValueError(
                    f"column {quoted(self.name)} must hold numbers alone, not {quoted(entry)} "
                    f"({self._model(row)})"
                )
            if isinstance(number, int) and not -_LIMIT <= number < _LIMIT:
                raise self._error(row, "and whole numbers must be below 2**63")
            if not math.isfinite(number):
                raise self._error(row, "which is not finite")
            found.append(number)
        return found

    def reals(self) -> list[float]:
        """Return numbers as floats.

        Raises:
            ValueError: as ``numbers``, and for whole numbers that a float does not hold exactly.
        """
        numbers = self.numbers()
        for row, number in enumerate(numbers):
            if isinstance(number, int) and int(float(number)) != number:
                raise self._error(row, "which no real value holds exactly")
        return [float(number) for number in numbers]

    def whole_numbers(self) -> list[int]:
        """Return whole numbers of at least 0.

        Raises:
            ValueError: for other values.
        """
        numbers = self.numbers()
        for number in numbers:
            large = isinstance(number, float) and number > _EXACT
            if number < 0 or large or number != int(number):
                raise ValueError(
                    f"column {quoted(self.name)} must hold whole numbers from 0 on, not {number}"
                )
        return [int(number) for number in numbers]

    def classes(self) -> tuple[list[int], list[Any]]:
        """Return the class of every model, and what the classes are called, in order.

        Text that is a number throughout is called by its number, other text as it is written.

        Raises:
            ValueError: for entries that are missing or not finite, or truth values among numbers.
        """
        self._check_entries()
        values = list(self.entries)
        numbers = [] if self.typed else [_called(entry) for entry in values]
        if numbers and None not in numbers:
            values = numbers
        for row, value in enumerate(values):
            if isinstance(value, float) and not math.isfinite(value):
                raise self._error(row, "which is not finite")
        if any(isinstance(v, bool) for v in values) and any(
            type(v) in (int, float) for v in values
        ):
            raise ValueError(f"column {quoted(self.name)} holds truth values among numbers")
        sortable = len({isinstance(value, str) for value in values}) == 1
        labels = sorted(set(values)) if sortable else sorted(set(values), key=str)
        position = {label: index for index, label in enumerate(labels)}
        return [position[value] for value in values], labels

    def run_numbers(self) -> tuple[list[int], list[str]]:
        """Return the number of every model's run, and the runs' names where they have some.

        Raises:
            ValueError: for entries that are missing, or numbers that are no whole ones.
        """
        self._check_entries()
        if all(_is_run_number(entry, self.typed) for entry in self.entries):
            return self.whole_numbers(), []
        indices, labels = replace(
            self, entries=[str(e) for e in self.entries], typed=True
        ).classes()
        return indices, labels

    def _check_entries(self) -> None:
        """Check that every model has an entry, and of a kind that a zoo can hold."""
        missing = [row for row, entry in enumerate(self.entries) if _is_missing(entry)]
        if missing:
            entry = self.entries[missing[0]]
            says = f": it says {quoted(entry)}" if isinstance(entry, str) and entry else ""
            raise ValueError(
                f"column {quoted(self.name)} has no value for {self._model(missing[0])} (and "
                f"{len(missing) - 1} others){says}. Fill it, or leave the column or these models "
                "out"
            )
        for row, entry in enumerate(self.entries):
            reason = _why_not(entry)
            if reason is not None:
                raise replace(self, may_be_classes=False)._error(row, reason)

    def _model(self, row: int) -> str:
        return self.models[row] if self.models else f"row {row + 1}"

    def _error(self, row: int, why: str) -> ValueError:
        hint = f". If its entries are classes, say --categorical {short(self.name)}"
        advice = hint if self.may_be_classes else ""
        return ValueError(
            f"column {quoted(self.name)} holds {quoted(self.entries[row])} for {self._model(row)}, "
            f"{why}{advice}"
        )


def as_number(entry: Any) -> int | float | None:
    """Return the number that an entry is, if it is one; whole numbers exactly.

    Text is a number if it is written in digits, with a sign, a point and an exponent where need be;
    ``2_16``, ``0x10`` and ``inf`` are none.
    """
    if isinstance(entry, bool):
        return None
    if isinstance(entry, int | float):
        return entry
    if not isinstance(entry, str) or not _NUMBER.fullmatch(entry):
        return None
    if not _WHOLE.fullmatch(entry):
        return float(entry)
    digits = entry.lstrip("+-").lstrip("0")
    if len(digits) > len(str(_LIMIT)):
        return _LIMIT  # too large in any case; Python turns no more than 4300 digits
    return int(entry)


def _called(entry: Any) -> int | float | None:
    """Return the number that a class is called by; text that is none, or no exact one, stays."""
    number = None if _PADDED.fullmatch(entry) else as_number(entry)
    if number is None or not -_LIMIT <= number < _LIMIT:
        return None
    return number


def _is_odd(entry: Any) -> bool:
    return as_number(entry) is None


def _is_almost(entry: Any) -> bool:
    """Whether an entry is a number to people: with ``%``, or with separators."""
    return isinstance(entry, str) and _ALMOST.fullmatch(entry.translate(_TYPESET)) is not None


def _is_run_number(entry: Any, typed: bool) -> bool:
    if isinstance(entry, str):
        return not typed and as_number(entry) is not None and not _PADDED.fullmatch(entry)
    return as_number(entry) is not None


def _is_missing(entry: Any) -> bool:
    if isinstance(entry, str):
        return entry.strip().lower() in MISSING
    if isinstance(entry, np.datetime64 | np.timedelta64):
        return bool(np.isnat(entry))
    return (
        entry is None
        or (isinstance(entry, float) and math.isnan(entry))
        or type(entry).__name__ in _MISSING_TYPES
    )


def _why_not(entry: Any) -> str | None:
    """Say why a zoo cannot hold an entry, if it cannot."""
    if not isinstance(entry, str):
        is_number = isinstance(entry, int | float)
        return None if is_number else "and it must hold strings, numbers or truth values"
    if len(entry) > LONGEST:
        return f"which is longer than {LONGEST} characters"
    try:
        entry.encode()
    except UnicodeEncodeError:
        return "which is no UTF-8"
    return None


def _plain(value: Any) -> Any:
    """Take one value out of numpy or torch; a date stays one."""
    if isinstance(value, np.datetime64 | np.timedelta64 | np.ma.core.MaskedConstant):
        return value
    if isinstance(value, np.generic) or (
        isinstance(value, Tensor | np.ndarray) and value.ndim == 0
    ):
        return value.item()
    return value
