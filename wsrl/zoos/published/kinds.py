"""The two kinds of published zoos: which files they have, and what their columns are here.

A kind says its ``files``, with ``marks`` that no other kind has; which options of the ``problem``
may be given as ``arguments`` of ``args.json`` (our name by theirs), and which ``constants`` that
has; and the columns that are ``held`` in its files or follow from them.
"""

from collections.abc import Mapping
from math import isqrt
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from wsrl.problems import Problem
from wsrl.zoos.manifest import EVERY, ZooError
from wsrl.zoos.published.npy import FLOATS, INTEGERS, Expected

EVALUATED_STRINGS, EVALUATED_IMAGES = 1000, 13000
"""Of so many strings the published files count the accepted; over so many images losses are means.
"""

DIFFERENCES, WEIGHT_DECAYS = (-3, 2), (0.0, 0.001, 0.01, 0.1)
"""What the published tasks and weight decays were drawn from."""

LARGE = {"weights": "parameters", "sequences": "sequences", "outputs": "logits"}
"""The columns that stay on the disk, and the files that they are read from."""

_PARAMETERS = Expected(("n", "parameters"), ("f2", "f4"))
_SOURCES = {28: "mnist", 8: "digits"}  # by the pixels of a side


class Languages:
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
    held = EVERY | {"accepted"}

    def labels(self, files: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Turn the small files, int64 or float64, into the columns that say what the rows are."""
        run, step, accepted = files["num_step_correct"].unbind(1)
        if accepted.min() < 0 or accepted.max() > EVALUATED_STRINGS:
            raise ZooError(
                f"num_step_correct.npy: accepted strings, expected 0..{EVALUATED_STRINGS}"
            )
        labels = {"run": run, "step": step, "task": files["tasks"], "accepted": accepted}
        return labels | {"performance": accepted.float() / EVALUATED_STRINGS}

    def label_files(self, columns: Mapping[str, Tensor], problem: Problem) -> dict[str, Tensor]:
        """Return the small files but ``tasks``; accepted strings are counted as if of 1000."""
        share = EVALUATED_STRINGS / problem.settings()["evaluated_strings"]
        accepted = (columns["accepted"] * share).round().long()
        return {"num_step_correct": torch.stack([columns["run"], columns["step"], accepted], 1)}

    def settings(
        self, labels: Mapping[str, Tensor], shape: tuple[int, ...], given: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Find the problem's settings in labels, the shape of all sequences, and given options.

        Differences are at least those published, and all that occur.
        """
        (_, stored, length), tokens = shape, labels["task"].shape[1]
        # In the published zoos the longest string of equal counts just fits: BOS, string, EOS.
        longest, left = divmod(length - 2, tokens)
        if left and "max_n" not in given:
            found = f"{tokens} tokens and strings of length {length}"
            raise ZooError(f"max_n cannot be found from {found}: give --max_n, the largest k + 1")
        max_n = given.get("max_n", longest)
        smallest, largest = (int(bound) for bound in labels["task"].aminmax())
        low = given.get("min_difference", smallest)
        high = given.get("max_difference", largest)
        if smallest < low or largest > high:
            raise ZooError(f"tasks.npy holds differences {smallest}..{largest}: not {low}..{high}")
        return {
            "num_tokens": tokens,
            "length": length,
            "max_n": max_n,
            "min_difference": min(low, max(DIFFERENCES[0], 1 - max_n)),  # k + it is not below 0
            "max_difference": max(high, DIFFERENCES[1]),
            "evaluated_strings": EVALUATED_STRINGS,
            "stored_strings": stored,
        }


class Images:
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
    arguments: ClassVar[dict[str, str]] = {"tile_size": "tile_size", "source": "source"}
    constants: ClassVar[dict[str, Any]] = {}
    _measured = ("performance", "training_loss", "validation_loss", "weight_decay")
    held = EVERY | {*_measured, "generalization_gap"}

    def labels(self, files: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the columns that say what the rows are."""
        run, step = files["num_step"].unbind(1)
        measured = dict(zip(self._measured, files["accuracy_losses"].unbind(1), strict=True))
        gap = measured["validation_loss"] - measured["training_loss"]
        labels = {"run": run, "step": step, "task": files["tasks"]}
        return labels | measured | {"generalization_gap": gap}

    def label_files(self, columns: Mapping[str, Tensor], problem: Problem) -> dict[str, Tensor]:
        """Return the small files but ``tasks``."""
        return {
            "num_step": torch.stack([columns["run"], columns["step"]], 1),
            "accuracy_losses": torch.stack([columns[name] for name in self._measured], 1),
        }

    def settings(
        self, labels: Mapping[str, Tensor], shape: tuple[int, ...], given: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Find the problem's settings; weight decays are those published and all that occur."""
        _, stored, length, size = shape
        tile_size, tiles = given.get("tile_size", isqrt(size)), isqrt(length - 1)
        if tile_size**2 != size or tiles**2 != length - 1:
            held = f"{length - 1} steps (BOS apart) of {size} values"
            raise ZooError(f"sequences.npy holds {held}, no square of square tiles")
        source = given.get("source", _SOURCES.get(tile_size * tiles))
        if source is None:
            raise ZooError(f"sequences.npy holds {tiles} x {tiles} tiles: give a --source")
        decays = labels["weight_decay"]
        found = decays[decays.isfinite()].unique()
        published = torch.tensor(WEIGHT_DECAYS, dtype=found.dtype)
        new = ~torch.isclose(published[:, None], found, rtol=1e-3, atol=0).any(1)  # or rounded
        return {
            "source": source,
            "tile_size": tile_size,
            "weight_decays": torch.cat([found, published[new]]).sort().values.tolist(),
            "evaluated_images": EVALUATED_IMAGES,
            "stored_sequences": stored,
        }


Kind: TypeAlias = Languages | Images
KINDS: tuple[Kind, ...] = (Languages(), Images())
