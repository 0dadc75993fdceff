"""The options that ``wsrl fit``, ``validate``, ``test`` and ``predict`` have beside Lightning's."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Literal

from jsonargparse import DefaultHelpFormatter

if TYPE_CHECKING:
    from lightning.pytorch.cli import LightningArgumentParser


class RawHelp(argparse.RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Shows the description of a command as it is."""


TRAINING_ONLY = frozenset(
    ("batch_size", "sequences_per_rnn", "steps_per_epoch", "eval_batch_size", "seed", "permute")
) | {"in_memory"}
"""Options of the data that say how an encoder's training reads it."""


def add_run_options(parser: LightningArgumentParser, command: str) -> None:
    """Add what concerns the run rather than its trainer, model or data."""
    parser.add_argument(
        "--run",
        type=str,
        help="the run's folder: checkpoints/best.ckpt and last.ckpt, logs/, config.yaml. "
        "By default runs/ and the names of the config files; of a run's own config.yaml, its "
        "folder; of the path of a checkpoint, its run",
    )
    parser.add_argument(
        "--ckpt_path",
        type=str | None,
        help="a checkpoint: its path, or best or last of the run; fit goes on from it. With auto, "
        "fit goes on if there is something to go on from and starts the run if not",
    )
    parser.add_argument(
        "--float32_matmul_precision",
        type=Literal["highest", "high"] | None,
        help="high lets a GPU round what it multiplies to TF32, about three decimal digits; by "
        "default as PyTorch is set",
    )
    parser.add_argument(
        "--compile",
        type=Literal["default", "reduce-overhead", "max-autotune"] | None,
        help="compile encoder, emulator and head with torch.compile in this mode (minutes at "
        "the start); for GPUs, where many small launches are the cost",
    )
    if command == "fit":
        parser.add_argument(
            "--overwrite", action="store_true", help="delete the run that the folder holds"
        )
        parser.add_argument(
            "--checkpoint_minutes",
            type=float,
            default=10.0,
            help="write last.ckpt when so many minutes have passed, besides after every validation "
            "and epoch: what a run loses at most when it is killed",
        )
    if command == "predict":
        parser.add_argument(
            "--out",
            type=str | None,
            help="the file to write, .safetensors, .parquet or .csv (wsrl.read_embeddings reads "
            "all); by default embeddings.safetensors in the run",
        )
