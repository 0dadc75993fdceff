"""What the columns of a zoo hold, and what can be predicted from them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from wsrl.validation import checked

DTYPES = {
    "F16": torch.float16,
    "F32": torch.float32,
    "F64": torch.float64,
    "I16": torch.int16,
    "I64": torch.int64,
}
"""What a column can hold, by safetensors' names."""


@checked
class Column:
    """One column of a zoo.

    Attributes:
        dtype: by safetensors' name, one of ``DTYPES``.
        shape: of a row.

    >>> Column("F32", (100, 42)).row_bytes
    16800
    """

    dtype: Annotated[str, Field(pattern=f"^({'|'.join(DTYPES)})$")]
    shape: Annotated[
        tuple[Annotated[int, Field(ge=1, lt=1 << 63)], ...], Field(max_length=8, strict=False)
    ]

    @property
    def torch_dtype(self) -> torch.dtype:
        """The dtype as torch names it."""
        return DTYPES[self.dtype]

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return math.prod(self.shape) * self.torch_dtype.itemsize


@dataclass(frozen=True)
class Target:
    """A property that can be predicted from an embedding.

    Attributes:
        column: the zoo's column it is read from.
        kind: ``classes`` (every part one of ``values``), ``real``, ``angle`` (degrees, where 360
            is 0), or any other registered kind of target.
        parts: how many numbers it has.
        values: for ``classes``, the column value that each class stands for, ascending.
        first: how many leading entries of the column are left out.
        labels: what the classes are called, where not by their values.
        period: for a number on a circle, what goes once round it.
    """

    column: str
    kind: str
    parts: int = 1
    values: tuple[float, ...] = ()
    first: int = 0
    labels: tuple[str | float, ...] = ()
    period: float | None = None

    def of(self, columns: Mapping[str, Tensor]) -> Tensor:
        """Return the target of ``n`` snapshots: class indices (long) or float32, ``(n, parts)``.

        Raises:
            ValueError: when a value is none of the classes.
        """
        column = columns[self.column]
        column = column[:, None] if column.ndim == 1 else column.flatten(1)
        column = column[:, self.first : self.first + self.parts]
        if not self.values:
            return column.float()
        values = torch.tensor(self.values, dtype=column.dtype, device=column.device)
        column = column.contiguous()
        found = torch.searchsorted(values, column).clamp(max=len(values) - 1)
        if not torch.equal(values[found], column):
            raise ValueError(f"column {self.column!r} holds values outside of {self.values}")
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return what a predictor needs to know, as plain values."""
        plain = {"kind": self.kind, "parts": self.parts, "classes": len(self.values)}
        return plain | ({} if self.period is None else {"period": self.period})
