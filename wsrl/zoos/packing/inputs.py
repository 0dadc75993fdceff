"""The sequences that packed RNNs are run on: drawn, or given by the user."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsrl.problems.streams import Purpose, stream
from wsrl.validation import check_size
from wsrl.zoos.tensors import read_tensors

DISTRIBUTIONS = ("normal", "uniform", "one_hot")
_MOST = (1 << 63) - 1

Given: TypeAlias = Tensor | NDArray[Any]


@dataclass(frozen=True)
class Inputs:
    """Sequences of every RNN."""

    kind: str  # a distribution's name, or ``given``
    count: int  # sequences S of each RNN
    length: int  # steps T of each
    source: dict[str, Any]  # what tells these sequences from others, as plain values
    of: Callable[[Sequence[int]], Callable[[], Tensor]]
    """Returns what reads those of some RNNs, in any process: ``(n or 1, S, T, I)`` float32."""


def make_inputs(
    inputs: str | Path | Given,
    names: Sequence[str],
    size: int,
    count: int | None,
    length: int | None,
    seed: int,
) -> Inputs:
    """Return the sequences of the ``n`` RNNs of these names, as ``pack_zoo`` says.

    Every RNN's are drawn from a stream that is named by the RNN's own name.
    """
    if not (isinstance(inputs, str) and inputs in DISTRIBUTIONS):
        if length is not None or count is not None:
            raise ValueError("length and sequences_stored go with drawn sequences")
        return _given(inputs, len(names), size)
    if length is None:
        raise ValueError(f"say the length of sequences that are drawn ({inputs})")
    count = 100 if count is None else count
    check_size("sequences_stored", count, 1, _MOST)
    check_size("length", length, 1, _MOST)
    check_size("seed", seed, 0, _MOST)
    shape = (count, length, size)

    def draw(rows: Sequence[int]) -> Callable[[], Tensor]:
        return partial(_draw_all, inputs, [names[row] for row in rows], seed, shape)

    return Inputs(inputs, count, length, {"seed": seed}, draw)


def _draw_all(kind: str, names: Sequence[str], *how: Any) -> Tensor:
    return torch.from_numpy(np.stack([_draw(kind, name, *how) for name in names]))


def _draw(kind: str, name: str, seed: int, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Draw the sequences of one RNN, ``(S, T, I)``."""
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    generator = stream(seed, Purpose.INPUTS, key)
    if kind == "normal":
        return generator.standard_normal(shape, dtype=np.float32)
    if kind == "uniform":
        return generator.random(shape, dtype=np.float32)
    hot: NDArray[np.float32] = np.eye(shape[2], dtype=np.float32)
    return hot[generator.integers(0, shape[2], shape[:2])]


def _given(inputs: str | Path | Given, models: int, size: int) -> Inputs:
    """Look through given values part by part, and return them."""
    if isinstance(inputs, str | Path):
        values = _read(Path(inputs))
    elif isinstance(inputs, Tensor):
        values = inputs.detach().cpu().float().numpy()  # numpy does not have every dtype
    else:
        values = np.asarray(inputs)
    fits = values.ndim in (3, 4) and values.shape[-1] == size and values.size > 0
    if not fits or (values.ndim == 4 and len(values) != models) or values.dtype.kind not in "fiu":
        wanted = f"(S, T, {size}) or ({models}, S, T, {size})"
        raise ValueError(f"sequences must be real, {wanted}, not {values.shape} of {values.dtype}")
    digest = hashlib.sha256(str(values.shape).encode())
    for part in values:
        part = np.asarray(part, np.float32)
        if not np.isfinite(part).all():
            raise ValueError("sequences hold values that are not finite in float32")
        digest.update(part.tobytes())

    def take(rows: Sequence[int]) -> Callable[[], Tensor]:
        where = list(rows) if values.ndim == 4 else None
        if isinstance(inputs, str | Path) and isinstance(values, np.memmap):
            return partial(_take, Path(inputs), where)  # the map would be sent as an array
        return partial(_take, values[where], slice(None))

    count, length = map(int, values.shape[-3:-1])
    return Inputs("given", count, length, {"inputs_sha256": digest.hexdigest()}, take)


def _take(given: Path | NDArray[Any], where: slice | list[int] | None) -> Tensor:
    values = _read(given) if isinstance(given, Path) else given
    return torch.from_numpy(np.array(values[where], np.float32))


def _read(path: Path) -> NDArray[Any]:
    if not path.is_file():
        raise ValueError(f"no file of sequences at {path}, nor one of {', '.join(DISTRIBUTIONS)}")
    if path.suffix == ".safetensors":
        tensors = read_tensors(path)
        if len(tensors) != 1:
            raise ValueError(f"{path} must hold one tensor of sequences, not {', '.join(tensors)}")
        return next(iter(tensors.values())).float().numpy()
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
        return np.asanyarray(values.view())  # an archive of arrays has none
    except Exception as error:  # a header is Python source to numpy: it can fail in any way
        why = f"damaged, or neither .npy nor .safetensors ({str(error)[:500]})"
        raise ValueError(f"{path} is {why}") from error
