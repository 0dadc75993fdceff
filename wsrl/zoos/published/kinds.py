"""The two kinds of published zoos: which files they have, and what their columns are here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from math import isqrt
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from wsrl.problems import Problem
from wsrl.zoos.manifest import ZooError
from wsrl.zoos.published.npy import FLOATS, INTEGERS, Array, Expected

EVALUATED_STRINGS = 1000
"""Of so many strings the published files count the accepted."""

EVALUATED_IMAGES = 13000
"""Over so many images, at most, the published losses are means."""

DIFFERENCES = (-3, 2)
WEIGHT_DECAYS = (0.0, 0.001, 0.01, 0.1)
"""What the published tasks and weight decays were drawn from."""

LARGE = {"weights": "parameters", "sequences": "sequences", "outputs": "logits"}
"""The columns that stay on the disk, and the files that they are read from."""

_EVERY = frozenset(("weights", "run", "step", "task", "performance", "sequences", "outputs"))
_PARAMETERS = Expected(("n", "parameters"), ("f2", "f4"))
_SOURCES = {28: "mnist", 8: "digits"}
"""Image sources by the pixels of a side."""


class Kind(ABC):
    """One kind of published zoo."""

    problem: ClassVar[str]
    files: ClassVar[dict[str, Expected]]
    marks: ClassVar[tuple[str, ...]]
    """Files that no other kind has."""

    arguments: ClassVar[dict[str, str]]
    """Options of the problem that hints and ``args.json`` may give: our name by theirs."""

    constants: ClassVar[dict[str, Any]] = {}
    """What else ``args.json`` says of every such zoo."""

    held: ClassVar[frozenset[str]]
    """Columns that the files hold or that follow from them."""

    @abstractmethod
    def settings(self, arrays: Mapping[str, Array], given: Mapping[str, Any]) -> dict[str, Any]:
        """Find the problem's settings.

        Args:
            arrays: every file.
            given: options that hints or ``args.json`` say.

        Raises:
            ZooError: for what cannot be found.
        """

    @abstractmethod
    def labels(self, arrays: Mapping[str, Array]) -> dict[str, Tensor]:
        """Turn some rows of the small files into the columns that say what the rows are."""

    def columns(self, arrays: Mapping[str, Array]) -> dict[str, Tensor]:
        """Turn some rows of every file into columns."""
        sequences = arrays["sequences"]
        dtype = sequences.dtype.str[1:]
        if dtype in INTEGERS:
            dtype = "i2" if dtype in ("i1", "u1", "i2") else "i8"
        return self.labels(arrays) | {
            "weights": tensor(arrays["parameters"], "f4"),
            "sequences": tensor(sequences, dtype),
            "outputs": tensor(arrays["logits"]),
        }

    def arrays(self, columns: Mapping[str, Tensor], problem: Problem) -> dict[str, Array]:
        """Turn columns into rows of every file; undoes ``columns``."""
        same = LARGE | {"task": "tasks"}
        found = {file: columns[name] for name, file in same.items()}
        return {n: t.numpy() for n, t in (found | self.label_files(columns, problem)).items()}

    @abstractmethod
    def label_files(self, columns: Mapping[str, Tensor], problem: Problem) -> dict[str, Tensor]:
        """Return the small files but ``tasks``."""


class Languages(Kind):
    """Zoos of formal languages."""

    problem = "formal_languages"
    marks = ("num_step_correct",)
    files: ClassVar[dict[str, Expected]] = {
        "parameters": _PARAMETERS,
        "sequences": Expected(("n", "S", "T"), INTEGERS),
        "logits": Expected(("n", "S", "T - 1", "O"), FLOATS),
        "tasks": Expected(("n", "tokens"), INTEGERS),
        "num_step_correct": Expected(("n", "3: run, step, accepted"), INTEGERS),
    }
    arguments: ClassVar[dict[str, str]] = {
        "num_tokens": "num_tokens",
        "sequence_length": "length",
        "max_n": "max_n",
        "min_difference": "min_difference",
        "max_difference": "max_difference",
    }
    constants: ClassVar[dict[str, Any]] = {"one_hot_input": 1}
    held = _EVERY | {"accepted"}

    def settings(self, arrays: Mapping[str, Array], given: Mapping[str, Any]) -> dict[str, Any]:
        """Find them: the differences are at least those published, and all that occur."""
        tasks, (_, stored, length) = arrays["tasks"], arrays["sequences"].shape
        tokens = tasks.shape[1]
        accepted = arrays["num_step_correct"][:, 2]
        _check_range(accepted, "num_step_correct.npy", "accepted strings", EVALUATED_STRINGS)
        _check_range(arrays["sequences"], "sequences.npy", "tokens", tokens + 1)
        # In the published zoos the longest string of equal counts just fits: BOS, string, EOS.
        longest, left = divmod(length - 2, tokens)
        max_n = given.get("max_n", None if left else longest)
        if max_n is None:
            raise ZooError(
                f"max_n cannot be found from {tokens} tokens and strings of length {length}: "
                "give it (--max_n), as one more than the largest k of the languages"
            )
        low = min(int(tasks.min()), max(DIFFERENCES[0], 1 - max_n))  # k + low must not be below 0
        high = max(int(tasks.max()), DIFFERENCES[1])
        low, high = given.get("min_difference", low), given.get("max_difference", high)
        if tasks.min() < low or tasks.max() > high:
            raise ZooError(
                f"tasks.npy holds differences {tasks.min()}..{tasks.max()}, outside of "
                f"{low}..{high} as given"
            )
        return {
            "num_tokens": tokens,
            "length": length,
            "max_n": max_n,
            "min_difference": low,
            "max_difference": high,
            "evaluated_strings": EVALUATED_STRINGS,
            "stored_strings": stored,
        }

    def labels(self, arrays: Mapping[str, Array]) -> dict[str, Tensor]:
        """Turn rows into columns."""
        run, step, accepted = tensor(arrays["num_step_correct"], "i8").clone().unbind(1)
        return {
            "run": run,
            "step": step,
            "task": tensor(arrays["tasks"], "i8"),
            "performance": accepted.float() / EVALUATED_STRINGS,
            "accepted": accepted,
        }

    def label_files(self, columns: Mapping[str, Tensor], problem: Problem) -> dict[str, Tensor]:
        """Return them; the accepted are counted as if of 1000 strings."""
        share = EVALUATED_STRINGS / problem.settings()["evaluated_strings"]
        accepted = (columns["accepted"] * share).round().long()
        return {"num_step_correct": torch.stack([columns["run"], columns["step"], accepted], 1)}


class Images(Kind):
    """Zoos of tiled images."""

    problem = "tiled_images"
    marks = ("num_step", "accuracy_losses")
    files: ClassVar[dict[str, Expected]] = {
        "parameters": _PARAMETERS,
        "sequences": Expected(("n", "S", "T", "I"), FLOATS),
        "logits": Expected(("n", "S", "T", "O"), FLOATS),
        "tasks": Expected(("n", "1: angle"), FLOATS),
        "num_step": Expected(("n", "2: run, step"), INTEGERS),
        "accuracy_losses": Expected(
            ("n", "4: accuracy, training loss, validation loss, weight decay"), FLOATS
        ),
    }
    arguments: ClassVar[dict[str, str]] = {
        "tile_size": "tile_size",
        "source": "source",
        "interpolation": "interpolation",
    }
    held = _EVERY | {"training_loss", "validation_loss", "weight_decay", "generalization_gap"}

    def settings(self, arrays: Mapping[str, Array], given: Mapping[str, Any]) -> dict[str, Any]:
        """Find them: the weight decays are those published and all that occur."""
        _, stored, length, size = arrays["sequences"].shape
        tile_size, tiles = given.get("tile_size", isqrt(size)), isqrt(length - 1)
        if tile_size**2 != size or tiles**2 != length - 1:
            raise ZooError(
                f"sequences.npy holds {length - 1} steps (BOS apart) of {size} values: expected a "
                f"square number of tiles of {tile_size} x {tile_size} pixels"
            )
        side = tile_size * tiles
        source = given.get("source", _SOURCES.get(side))
        if source is None:
            raise ZooError(
                f"sequences.npy holds images of {side} x {side} pixels, as {length - 1} tiles: "
                "give their source by name (--source)"
            )
        decays = arrays["accuracy_losses"][:, 3]
        drawn = np.append(decays, np.asarray(WEIGHT_DECAYS, decays.dtype)).astype(np.float64)
        return {
            "source": source,
            "tile_size": tile_size,
            "interpolation": given.get("interpolation", "nearest"),
            "weight_decays": np.unique(drawn[np.isfinite(drawn)]).tolist(),
            "evaluated_images": EVALUATED_IMAGES,
            "stored_sequences": stored,
        }

    def labels(self, arrays: Mapping[str, Array]) -> dict[str, Tensor]:
        """Turn rows into columns."""
        run, step = tensor(arrays["num_step"], "i8").clone().unbind(1)
        numbers = tensor(arrays["accuracy_losses"], "f8")
        accuracy, training, validation, decay = numbers.unbind(1)
        return {
            "run": run,
            "step": step,
            "task": tensor(arrays["tasks"], "f8"),
            "performance": accuracy,
            "training_loss": training,
            "validation_loss": validation,
            "weight_decay": decay,
            "generalization_gap": validation - training,
        }

    def label_files(self, columns: Mapping[str, Tensor], problem: Problem) -> dict[str, Tensor]:
        """Return them."""
        numbers = ("performance", "training_loss", "validation_loss", "weight_decay")
        return {
            "num_step": torch.stack([columns["run"], columns["step"]], 1),
            "accuracy_losses": torch.stack([columns[name] for name in numbers], 1),
        }


KINDS: tuple[Kind, ...] = (Languages(), Images())


def tensor(array: Array, dtype: str | None = None) -> Tensor:
    """Return an array as a tensor of a numpy dtype, or of its own; a copy only where it must be."""
    wanted = np.dtype(dtype or array.dtype.str[1:])  # never of swapped bytes
    return torch.from_numpy(array.astype(wanted, copy=False))


def _check_range(array: Array, file: str, what: str, largest: int) -> None:
    if array.min() < 0 or array.max() > largest:
        raise ZooError(f"{file} holds {what} {array.min()}..{array.max()}: expected 0..{largest}")
