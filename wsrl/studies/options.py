"""Options of commands: numbers with their bounds, and what concerns a run.

``wsrl fit``, ``validate``, ``test`` and ``predict`` have those of a run beside Lightning's.
"""

from __future__ import annotations

import argparse
import os
import reprlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from lightning.pytorch.cli import LightningArgumentParser

LARGEST = 2**63 - 1
"""The largest whole number that a tensor holds."""


def whole(least: int = 0, most: int = LARGEST) -> Callable[[str], int]:
    """Return a type for ``add_argument``: a whole number within bounds.

    Args:
        least: the smallest that is taken.
        most: the largest.
    """

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or not least <= value <= most:
            raise argparse.ArgumentTypeError(
                f"expected a whole number from {least} to {most}, not {reprlib.repr(text)}"
            )
        return value

    return read


def seed(text: str) -> int:
    """Read a seed, as PyTorch's generators take it."""
    return whole(-(2**63), 2**64 - 1)(text)


def check_devices(option: str, devices: object) -> None:
    """Refuse numbers of processes that no machine could start.

    Args:
        option: its name, for the message.
        devices: as it is given: a number of processes, or something else.

    Raises:
        ValueError: naming the bound.
    """
    import torch

    wanted = int(devices) if isinstance(devices, str) and devices.isdigit() else devices
    most = max(64, 4 * (os.cpu_count() or 1), torch.cuda.device_count())
    if isinstance(wanted, int) and wanted > most:
        raise ValueError(f"{option} is {wanted}: this machine has room for at most {most}")


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
