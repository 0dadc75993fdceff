"""The sequences that packed RNNs are run on: drawn, or given by the user."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsrl.problems.streams import Purpose, stream
from wsrl.zoos.tensors import read_tensors

DISTRIBUTIONS = ("normal", "uniform", "one_hot")

Given: TypeAlias = Tensor | NDArray[Any]


class Inputs(Protocol):
    """Sequences of every RNN."""

    @property
    def kind(self) -> str:
        """A distribution's name, or ``given``."""

    @property
    def count(self) -> int:
        """Sequences ``S`` of each RNN."""

    @property
    def length(self) -> int:
        """Steps ``T`` of a sequence."""

    def of(self, rows: range) -> Tensor:
        """Return the sequences of some RNNs, ``(n, S, T, I)`` float32."""

    def source(self) -> dict[str, Any]:
        """Return what tells these sequences from others, as plain values."""


def make_inputs(
    inputs: str | Path | Given,
    names: Sequence[str],
    size: int,
    count: int | None,
    length: int | None,
    seed: int,
) -> Inputs:
    """Return the sequences of RNNs.

    Args:
        inputs: a distribution's name, a ``.npy`` or ``.safetensors`` file, or values
            ``(S, T, I)`` for all RNNs or ``(n, S, T, I)`` for each its own.
        names: of the ``n`` RNNs.
        size: ``I``.
        count: ``S``; only with a distribution.
        length: ``T``; only with a distribution, which needs it.
        seed: of the distribution.

    Raises:
        ValueError: for values that do not fit, and options that are missing or mean nothing here.
    """
    if isinstance(inputs, str) and inputs in DISTRIBUTIONS:
        if length is None:
            raise ValueError(f"say the length of sequences that are drawn ({inputs})")
        count = 100 if count is None else count
        for name, value in (("sequences_stored", count), ("length", length)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        if seed < 0:
            raise ValueError(f"seed must not be negative: {seed}")
        return DrawnInputs(inputs, names, size, count, length, seed)
    if isinstance(inputs, str | Path):
        values = _read(Path(inputs))
    else:  # of a tensor the values alone, in a dtype that numpy has
        given = inputs.detach().cpu() if isinstance(inputs, Tensor) else inputs
        values = np.asarray(given.float() if isinstance(given, Tensor) else given)
    for name, option in (("length", length), ("sequences_stored", count)):
        if option is not None:
            raise ValueError(f"{name} goes with drawn sequences; those that are given have theirs")
    return GivenInputs.checked(values, len(names), size)


@dataclass
class DrawnInputs:
    """Sequences drawn for every RNN from a stream that is named by the RNN's own name.

    ``normal`` is standard normal, ``uniform`` between 0 and 1, both independent in every entry;
    ``one_hot`` has at every step one of the ``I`` entries at 1, each as likely.
    """

    kind: str
    names: Sequence[str]
    size: int
    count: int
    length: int
    seed: int

    def of(self, rows: range) -> Tensor:
        """Draw the sequences of some RNNs, ``(n, S, T, I)``."""
        return torch.from_numpy(np.stack([self._draw(self.names[row]) for row in rows]))

    def source(self) -> dict[str, Any]:
        """Return the seed; the rest is in the problem's settings."""
        return {"seed": self.seed}

    def _draw(self, name: str) -> NDArray[np.float32]:
        key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        generator = stream(self.seed, Purpose.INPUTS, key)
        shape = (self.count, self.length, self.size)
        if self.kind == "normal":
            return generator.standard_normal(shape, dtype=np.float32)
        if self.kind == "uniform":
            return generator.random(shape, dtype=np.float32)
        tokens = generator.integers(0, self.size, shape[:2])
        hot: NDArray[np.float32] = np.eye(self.size, dtype=np.float32)[tokens]
        return hot


@dataclass
class GivenInputs:
    """Sequences from the user, ``(S, T, I)`` of all RNNs or ``(n, S, T, I)`` of each."""

    values: NDArray[Any]
    digest: str
    kind: str = "given"

    @classmethod
    def checked(cls, values: NDArray[Any], models: int, size: int) -> GivenInputs:
        """Look through the values, part by part.

        Raises:
            ValueError: for another shape, or values that are not finite real numbers.
        """
        own = values.ndim == 4
        fits = values.ndim in (3, 4) and values.shape[-1] == size and values.size > 0
        if not fits or (own and len(values) != models):
            raise ValueError(
                f"sequences must be (S, T, {size}) for all RNNs, or ({models}, S, T, {size}) for "
                f"each its own, not {values.shape}"
            )
        if values.dtype.kind not in "fiu":
            raise ValueError(f"sequences must be real numbers, not {values.dtype}")
        digest = hashlib.sha256(str(values.shape).encode())
        for part in values:
            part = np.asarray(part, np.float32)
            if not np.isfinite(part).all():
                raise ValueError("sequences hold values that are not finite in float32")
            digest.update(part.tobytes())
        return cls(values, digest.hexdigest())

    @property
    def count(self) -> int:
        """Sequences of each RNN."""
        return int(self.values.shape[-3])

    @property
    def length(self) -> int:
        """Steps of a sequence."""
        return int(self.values.shape[-2])

    def of(self, rows: range) -> Tensor:
        """Return the sequences of some RNNs, ``(n, S, T, I)``; no others are read."""
        own = self.values.ndim == 4
        part = self.values[rows.start : rows.stop] if own else self.values[None]
        values = torch.from_numpy(np.array(part, np.float32))
        return values.expand(len(rows), *values.shape[1:])

    def source(self) -> dict[str, Any]:
        """Return the SHA-256 of the values."""
        return {"inputs_sha256": self.digest}


def _read(path: Path) -> NDArray[Any]:
    if not path.is_file():
        raise ValueError(
            f"no file of sequences at {path}; inputs is a file, or one of "
            f"{', '.join(DISTRIBUTIONS)}"
        )
    if path.suffix == ".npy":
        try:
            values: Any = np.load(path, mmap_mode="r", allow_pickle=False)
        except Exception as error:  # a header is Python source to numpy: it can fail in any way
            raise ValueError(f"{path} is damaged or no .npy file ({str(error)[:500]})") from error
        if not isinstance(values, np.ndarray):
            raise ValueError(f"{path} is no .npy file of one array")
        return values
    if path.suffix == ".safetensors":
        tensors = read_tensors(path)
        if len(tensors) != 1:
            raise ValueError(f"{path} must hold one tensor of sequences, not {', '.join(tensors)}")
        (tensor,) = tensors.values()
        return tensor.float().numpy()
    raise ValueError(f"sequences come as .npy or .safetensors, not {path}")
