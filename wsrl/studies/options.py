"""The options that ``wsrl fit``, ``validate``, ``test`` and ``predict`` have beside Lightning's."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Literal

from jsonargparse import DefaultHelpFormatter

if TYPE_CHECKING:
    from lightning.pytorch.cli import LightningArgumentParser


class RawHelp(argparse.RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Shows the description of a command as it is."""


TRAINING_ONLY = frozenset(
    (
        "batch_size",
        "sequences_per_rnn",
        "steps_per_epoch",
        "eval_batch_size",
        "seed",
        "permute",
        "draw",
    )
) | {"in_memory"}
"""Options of the data that say how an encoder's training reads it."""


_MINUTES = (
    "write last.ckpt when so many minutes have passed, besides after every validation and epoch: "
    "what a run loses at most when it is killed"
)
_OPTIONS = {
    "run": "the run's folder: checkpoints/best.ckpt and last.ckpt, logs/, config.yaml. By default "
    "runs/ and the names of the config files; of a run's own config.yaml, its folder; of the path "
    "of a checkpoint, its run",
    "ckpt_path": "a checkpoint: its path, or best or last of the run; fit goes on from it. With "
    "auto, fit goes on if there is something to go on from and starts the run if not",
    "float32_matmul_precision": "high lets a GPU round what it multiplies to TF32, about three "
    "decimal digits; by default as PyTorch is set",
    "compile": "compile encoder, emulator and head with torch.compile in this mode (minutes at the "
    "start); for GPUs, where many small launches are the cost",
    "out": "the file to write, .safetensors, .parquet or .csv (wsrl.read_embeddings reads all); by "
    "default embeddings.safetensors in the run",
}
_CHOICES: dict[str, Any] = {
    "run": str,
    "float32_matmul_precision": Literal["highest", "high"] | None,
    "compile": Literal["default", "reduce-overhead", "max-autotune"] | None,
}


def add_run_options(parser: LightningArgumentParser, command: str) -> None:
    """Add what concerns the run rather than its trainer, model or data."""
    for name, text in _OPTIONS.items():
        if name != "out" or command == "predict":
            parser.add_argument(f"--{name}", type=_CHOICES.get(name, str | None), help=text)
    if command == "fit":
        what = "delete the run that the folder holds"
        parser.add_argument("--overwrite", action="store_true", help=what)
        parser.add_argument("--checkpoint_minutes", type=float, default=10.0, help=_MINUTES)
