"""``wsrl zoo pack``: a user's own RNNs as a zoo."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from wsrl.studies.cell_option import add_cell_option
from wsrl.studies.options import seed
from wsrl.terminal import CommandParser, note

DESCRIPTION = """\
Make a zoo of your own RNNs: nn.LSTM, nn.GRU or nn.RNN (tanh) with one linear readout, all of the
same sizes, saved as state dicts. They are run on sequences, and what they answer is stored. Every
column of the table becomes a target that `wsrl fit` can learn to predict: numbers a real value,
everything else a class. Run the same command again to go on after an interruption.

  wsrl zoo pack models --table runs.csv --out zoos/mine --output_kind categorical \\
    --inputs normal --length 20
  wsrl zoo info zoos/mine"""

COLUMN_KINDS = {
    "categorical": "columns that are classes, whatever they hold",
    "real": "columns that are numbers, even with leading zeros",
    "angle": "columns that are angles in degrees",
    "leave_out": "columns that are left out",
}


def pack_from_arguments(args: Sequence[str]) -> str:
    """Pack a zoo as the command line says; torch is imported only once that makes sense.

    Returns:
        The zoo's folder.

    Raises:
        ValueError: for models, a table or sequences that do not fit.
    """
    options = vars(_parser().parse_args(args))
    from wsrl.zoos import pack_zoo

    pack_zoo(**options, say=lambda text: note([text]))
    return str(options["out"])


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="wsrl zoo pack",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "models",
        metavar="FOLDER",
        help="folder of state dicts, also in folders below: *.pt, *.pth, *.safetensors",
    )
    add("--out", required=True, metavar="DIR", help="the zoo's folder, new or empty")
    add("--table", help="what is known of the RNNs: a .csv, .tsv or .parquet file, a row for each")
    add(
        "--output_kind",
        required=True,
        choices=("categorical", "real"),
        help="what the readout's values are: logits of classes, or real values",
    )
    add(
        "--inputs",
        required=True,
        help="sequences to run the RNNs on: drawn from normal (standard), uniform (0 to 1) or "
        "one_hot (tokens, all as likely), or a .npy or .safetensors file of (S, T, I) for all "
        "RNNs or (n, S, T, I) for each of the n, in the order of the files' names",
    )
    add_cell_option(add)
    add("--length", type=int, help="steps of a sequence that is drawn")
    add("--sequences_stored", type=int, help="sequences drawn for every RNN (default: 100)")
    add("--seed", type=seed, default=0, help="of the sequences that are drawn (default: 0)")
    meanings = parser.add_argument_group("columns of the table with a meaning")
    add = meanings.add_argument
    add("--file_column", default="file", metavar="COLUMN", help="names the files (default: file)")
    add("--run", metavar="COLUMN", help="training run (default: run, else each file is a run)")
    add("--step", metavar="COLUMN", help="training step of a snapshot (default: step, else 0)")
    add("--performance", metavar="COLUMN", help="how well an RNN does (default: performance)")
    add(
        "--task",
        nargs="+",
        default=[],
        metavar="COLUMN",
        help="what RNNs of one task have in common: no task is in two splits; the largest values "
        "of the first, if it is numeric, are out of distribution (default: each run is a task)",
    )
    for name, text in COLUMN_KINDS.items():
        add(f"--{name}", nargs="+", default=[], metavar="COLUMN", help=text)
    add("--separator", help="of columns (default: what splits the first line into the most parts)")
    add("--decimal", help="decimal sign, . or a comma (default: as found)")
    return parser
