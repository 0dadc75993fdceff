"""``wsrl inspect``: what a trained encoder says of a user's RNN."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from wsrl.strict_json import to_json
from wsrl.studies.cell_option import add_cell_option
from wsrl.studies.options import whole
from wsrl.terminal import CommandParser, note

DESCRIPTION = """\
Inspect your own RNN by an encoder that was trained on a zoo: its embedding, its properties with
intervals, the nearest RNNs of the zoo, how well the emulator imitates it, what it performs, and
whether it is like what the encoder was trained on at all.

  wsrl inspect model.safetensors --ckpt runs/interactive
  wsrl inspect model.pt --ckpt runs/interactive --predict runs/interactive-task --json

FILE is a state dict of an nn.LSTM, nn.GRU or nn.RNN and its nn.Linear (.safetensors, .pt, .pth).
What is measured of the zoo is kept beside the checkpoint, so that the next inspection is quick."""


def inspect_from_arguments(args: Sequence[str]) -> str:
    """Inspect the RNN that the command line names.

    Returns:
        What to print.

    Raises:
        ValueError: for a file, a run or a zoo that do not fit together.
    """
    options = inspect_parser().parse_args(args)
    from wsrl.studies.inspection.inspector import Inspector
    from wsrl.studies.inspection.text import render

    inspector = Inspector(
        options.ckpt,
        options.zoo,
        options.predict,
        options.neighbours,
        options.coverage,
        lambda text: note([text]),
        options.cell,
    )
    found = inspector.inspect(options.file)
    if options.json:
        return to_json(found.to_dict(), indent=2)
    return render(found)


def inspect_parser() -> argparse.ArgumentParser:
    """Return the parser of ``wsrl inspect``."""
    parser = CommandParser(
        prog="wsrl inspect",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("file", metavar="FILE", help="the state dict of one RNN")
    add_encoder_options(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def add_encoder_options(parser: argparse.ArgumentParser) -> None:
    """Add what says by which encoder, beside which zoo and how RNNs are inspected."""
    add = parser.add_argument
    add("--ckpt", required=True, metavar="RUN", help="an emulation run's folder, or a checkpoint")
    add(
        "--predict",
        nargs="+",
        default=[],
        metavar="RUN",
        help="prediction runs with this encoder, frozen (those in folders beside RUN are found)",
    )
    add("--zoo", metavar="DIR", help="the zoo, where it is not where RUN was trained on it")
    add_cell_option(add)
    add(
        "--neighbours",
        type=whole(),
        default=5,
        metavar="N",
        help="nearest RNNs (default: 5)",
    )
    add("--coverage", type=float, default=0.9, help="of the intervals (default: 0.9)")
