"""Train the official code, unchanged, and save what its emulator does; parity.py starts this.

    python parity_official.py CHECKOUT PREPARED RESULT.npz --OFFICIAL_OPTION=VALUE ...

PREPARED is the folder in which parity.py wrote the exported zoo and the splits. wsrl is not needed,
so this runs in whatever environment the official code has.
"""

from __future__ import annotations

import contextlib
import copy
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("MPLBACKEND", "Agg")  # it draws figures, which nobody looks at here

import numpy as np
import torch

with contextlib.suppress(ImportError):
    import wsrl  # noqa: F401 where it is, torchvision can be imported beside a CPU torch

DATASET = "formal_languages_tokens_4_length_42_2x32"
MODES = {"train": "train", "eval": "validation", "ood": "ood"}


def force_split(script: Any, prepared: Path) -> list[bool]:
    """Have its data sets read the prepared rows; list whether they would have done so anyway."""
    rows, agreed = np.load(prepared / "split.npz"), list[bool]()
    base = script.ParametersFormalLanguageDataset
    plain = base.__init__

    def init(self: Any, *args: Any, mode: str, **options: Any) -> None:
        plain(self, *args, mode=mode, **options)
        wanted = rows[MODES[mode]]
        agreed.append(np.array_equal(np.sort(self.allowed_idxs), wanted))
        self.allowed_idxs = wanted

    base.__init__ = init
    return agreed


@torch.no_grad()
def emulate(model: torch.nn.Module, prepared: Path, mode: str) -> np.ndarray:
    """Return the emulator's logits ``(n, S, T, O)`` on the prepared sequences of a split."""
    before = copy.copy(model.args)
    split = np.load(prepared / "split.npz")
    rows, picks = split[mode], int(split["picks"])
    columns = {n: np.load(prepared / "export" / f"{n}.npy", mmap_mode="r") for n in NAMES}
    model.args.sequence_batch_size = picks
    model.args.permutation_augmentation = 0  # it would permute in evaluations, too
    parts = []
    for chosen in np.array_split(rows, max(1, len(rows) // 64)):
        batch = {
            "parameters": torch.from_numpy(columns["parameters"][chosen]).float(),
            "sequences": torch.from_numpy(columns["sequences"][chosen, :picks]).long(),
            "logits": torch.from_numpy(columns["logits"][chosen, :picks]).float(),
        }
        logits = model(batch)[0]
        parts.append(logits.reshape(len(chosen), picks, *logits.shape[1:]).numpy())
    model.args.__dict__.update(vars(before))
    return np.concatenate(parts)


NAMES = ("parameters", "sequences", "logits")


@contextlib.contextmanager
def official(
    checkout: Path, prepared: Path, options: list[str]
) -> Iterator[tuple[Any, list[torch.nn.Module], list[bool]]]:
    """Import the official script, its options and data as prepared, in a folder of its own.

    Yields the script; the models, as it makes them; whether data sets split as prepared anyway.
    """
    code = checkout / "rnn_weights_representation_learning"
    sys.path.insert(0, str(code if code.is_dir() else checkout))
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        # It looks for data where it is started.
        (Path(folder) / "datasets").mkdir()
        (Path(folder) / "datasets" / DATASET).symlink_to(prepared / "export")
        sys.argv = ["training_script.py", f"--dataset={DATASET}", *options]
        import training_script as script  # type: ignore[import-not-found]

        models: list[torch.nn.Module] = []

        class Kept(script.CombinedEncoderEmulator):  # type: ignore[misc]
            """The official model, which is kept: it is saved only where it is logged online."""

            def __init__(self, *args: Any, **options: Any) -> None:
                super().__init__(*args, **options)
                models.append(self)

        script.CombinedEncoderEmulator = Kept
        yield script, models, force_split(script, prepared)


def train(script: Any) -> None:
    """Do what the script's last lines do, which run only where it is the main script."""
    script.args = script.conditional_args(script.parse_args())
    script.main(script.args)


def main(checkout: Path, prepared: Path, result: Path, options: list[str]) -> None:
    with official(checkout, prepared, options) as (script, models, agreed):
        start = time.process_time()
        train(script)
        seconds = time.process_time() - start
        model = models[0].eval()
        found = {name: emulate(model, prepared, name) for name in MODES.values()}
        np.savez(result, seconds=seconds, same_split=all(agreed), **found)


if __name__ == "__main__":
    main(*(Path(word).resolve() for word in sys.argv[1:4]), sys.argv[4:])
