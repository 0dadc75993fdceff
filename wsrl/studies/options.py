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

DESCRIPTIONS = {
    "fit": """\
Train a model: emulation (pre-training) or prediction of a property. The main options:

  --model EmulationModule | PredictionModule, or in a --config
  --model.encoder NAME      an encoder (of wsrl encoders); its options: --model.encoder.OPTION
  --model.target NAME       what is predicted, of those that wsrl zoo info lists
  --model.pretrained CKPT   whose encoder predicts
  --data.zoo DIR            what it is trained on
  --run DIR                 the folder for checkpoints, logs and settings
  --ckpt_path last          go on with the run
  --trainer.max_steps N     how long

  wsrl fit --config configs/emulation_small.yaml --model.encoder Spectral --data.zoo zoos/small
  wsrl fit --model EmulationModule --model.help EmulationModule    all options of a model""",
    "validate": """\
Evaluate a checkpoint (--run DIR --ckpt_path best) on the validation and OOD splits.""",
    "test": """\
Evaluate a checkpoint (--run DIR --ckpt_path best) on the validation, OOD (and test) splits, and
keep the numbers in DIR/test.json.""",
    "predict": """\
Write the embeddings (and predictions) of a whole zoo to one file: --run DIR --ckpt_path best,
--data.zoo ZOO for another zoo, --out FILE.""",
}
"""What the help of the training commands says first."""


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
