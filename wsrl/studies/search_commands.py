"""``wsrl search``: inspect many RNNs and put them in order."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsrl.safe_files import naming
from wsrl.strict_json import to_json
from wsrl.studies.inspect_commands import add_encoder_options
from wsrl.terminal import CommandParser, note

if TYPE_CHECKING:
    from wsrl.studies.inspection.searching import Hit

DESCRIPTION = """\
Inspect many RNNs as wsrl inspect does, a line each: those most like another first, or those whose
predicted property is nearest to a value.

  wsrl search models --ckpt runs/interactive
  wsrl search models --ckpt runs/interactive --like model.safetensors
  wsrl search models --ckpt runs/interactive --target performance --value 1 --csv found.csv

Files that are no RNNs, or other ones than the encoder reads, are named and left out; the exit
status is then 1."""


def search_from_arguments(args: Sequence[str]) -> tuple[str, list[str]]:
    """Search as the command line says.

    Returns:
        What to print, and a message for every file that was left out.

    Raises:
        ValueError: for a run, a zoo or a file to compare with that do not fit together, a target
            that there is not, or a place where nothing is.
        argparse.ArgumentError: for options that do not go together.
    """
    options = _parser().parse_args(args)
    if (options.target is None) != (options.value is None):
        raise argparse.ArgumentError(None, "--target and --value go together")
    if options.like and options.target:
        raise argparse.ArgumentError(None, "--like and --target are two orders: choose one")
    out = None if options.csv is None else Path(options.csv)
    if out is not None and (out.is_dir() or not out.absolute().parent.is_dir()):
        raise ValueError(f"--csv must be a file in a folder that exists, not {options.csv!r}")
    from wsrl.studies.inspection.inspector import Inspector
    from wsrl.studies.inspection.searching import Wanted, find_files, search

    files = find_files(options.files)

    def say(text: str) -> None:
        note([text])

    how = (options.predict, options.neighbours, options.coverage, say, options.cell)
    inspector = Inspector(options.ckpt, options.zoo, *how)
    wanted = options.target and Wanted.read(inspector.targets, options.target, options.value)
    like = None if options.like is None else Path(options.like)
    hits, skipped = search(inspector, files, like, wanted, say)
    if out is not None:
        _write_csv(out, hits)
    left_out = [reason for _, reason in skipped]
    if options.json:
        content = {
            "like": options.like,
            "target": options.target,
            "value": list(wanted.values) if wanted else None,
            "rnns": [{"difference": hit.difference, **hit.found.to_dict()} for hit in hits],
            "skipped": [{"file": str(file), "error": reason} for file, reason in skipped],
        }
        return to_json(content, indent=2), left_out
    return _table(hits), left_out


def _table(hits: Sequence[Hit]) -> str:
    """Return the RNNs as a table for the terminal and for pipes."""
    from wsrl.studies.tables import aligned

    if not hits:
        return "no RNN fits"
    lines = [hit.summary() for hit in hits]
    ends = ("_low", "_high")  # of intervals: the file has them
    told = [name for name in lines[0] if any(line[name] is not None for line in lines)]
    names = [name for name in told if not name.endswith(ends)]
    cells = [[_cell(line[name]) for name in names] for line in lines]
    return aligned([name.replace("_", " ") for name in names], cells)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _write_csv(path: Path, hits: Sequence[Hit]) -> None:
    from wsrl.studies.tables import spreadsheet_cell

    lines = [hit.summary() for hit in hits]
    with naming(path), path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]) if lines else [])
        writer.writeheader()
        for line in lines:
            writer.writerow({name: spreadsheet_cell(value) for name, value in line.items()})


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="wsrl search",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE|FOLDER", help="state dicts, and folders of them")
    add_encoder_options(parser)
    add("--like", metavar="FILE", help="put those first that are most like this RNN")
    add("--target", metavar="NAME", help="put those first whose predicted NAME is nearest to")
    add("--value", nargs="+", metavar="V", help="this value, one for each part of the target")
    add("--json", action="store_true", help="print one JSON object, with all of wsrl inspect")
    add("--csv", metavar="OUT", help="write the table to a file as well")
    return parser
