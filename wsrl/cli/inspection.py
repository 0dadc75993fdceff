"""``wsrl inspect`` and ``wsrl search``: what a trained encoder says of a user's RNNs."""

from __future__ import annotations

from argparse import ArgumentError
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wsrl.cli.commands import command
from wsrl.cli.parsing import Index
from wsrl.strict_json import to_json
from wsrl.terminal import complain, note, say


@command("inspect", own_modules=True)
def inspect(
    file: str,
    *,
    ckpt: str,
    predict: list[str] | None = None,
    zoo: str | None = None,
    cell: str | None = None,
    neighbours: Index = 5,
    coverage: float = 0.9,
    json: bool = False,
) -> str:
    """Say what a trained encoder sees in your own RNN.

    Its embedding, its properties with intervals, the nearest RNNs of the zoo, how well the emulator
    imitates it, what it performs, and whether it is like what the encoder was trained on at all.

      wsrl inspect model.safetensors --ckpt runs/interactive
      wsrl inspect model.pt --ckpt runs/interactive --predict runs/interactive-task --json

    The file is a state dict of an nn.LSTM, nn.GRU or nn.RNN and its nn.Linear (.safetensors, .pt,
    .pth). Measures of the zoo are kept beside the checkpoint, so that the next inspection is quick.

    Args:
        file: the state dict of one RNN
        ckpt: an emulation run's folder, or a checkpoint
        predict: prediction runs with this encoder, frozen (those in folders beside the run are
            found)
        zoo: the zoo's folder, where it is not where the run was trained on it
        cell: such as lstm, gru, tanh or relu; needed where several cells have the same tensors: the
            state dict of an nn.RNN does not say which nonlinearity it has
        neighbours: nearest RNNs
        coverage: of the intervals
        json: print one JSON object
    """
    from wsrl.studies.inspection.inspector import Inspector
    from wsrl.studies.inspection.records import render

    found = Inspector(ckpt, zoo, predict or (), neighbours, coverage, _note, cell).inspect(file)
    return to_json(found.to_dict(), indent=2) if json else render(found)


@command("search", own_modules=True)
def search(
    files: list[str],
    *,
    ckpt: str,
    predict: list[str] | None = None,
    zoo: str | None = None,
    cell: str | None = None,
    neighbours: Index = 5,
    coverage: float = 0.9,
    like: str | None = None,
    target: str | None = None,
    value: list[str] | None = None,
    json: bool = False,
    csv: str | None = None,
) -> int:
    """Inspect many RNNs and put them in order.

    Those most like another come first, or those whose predicted property is nearest to a value.

      wsrl search models --ckpt runs/interactive
      wsrl search models --ckpt runs/interactive --like model.safetensors
      wsrl search models --ckpt runs/interactive --target performance --value 1 --csv found.csv

    Files that are no RNNs, or other ones than the encoder reads, are named and left out; the exit
    status is then 1.

    Args:
        files: state dicts, and folders of them
        ckpt: an emulation run's folder, or a checkpoint
        predict: prediction runs with this encoder, frozen (those in folders beside the run are
            found)
        zoo: the zoo's folder, where it is not where the run was trained on it
        cell: such as lstm, gru, tanh or relu; needed where several cells have the same tensors: the
            state dict of an nn.RNN does not say which nonlinearity it has
        neighbours: nearest RNNs
        coverage: of the intervals
        like: put those first that are most like this RNN
        target: put those first whose predicted property of this name is nearest to --value
        value: one for each part of the target
        json: print one JSON object, with all of wsrl inspect
        csv: write the table to this file as well
    """
    if (target is None) != (value is None):
        raise ArgumentError(None, "--target and --value go together")
    if like and target:
        raise ArgumentError(None, "--like and --target are two orders: choose one")
    out = None if csv is None else Path(csv)
    if out is not None and (out.is_dir() or not out.absolute().parent.is_dir()):
        raise ValueError(f"--csv must be a file in a folder that exists, not {csv!r}")
    from wsrl.studies.inspection.inspector import Inspector
    from wsrl.studies.inspection.searching import Wanted, find_files
    from wsrl.studies.inspection.searching import search as search_files
    from wsrl.studies.tables import write_csv

    found_files = find_files(files)
    inspector = Inspector(ckpt, zoo, predict or (), neighbours, coverage, _note, cell)
    wanted = Wanted.read(inspector.targets, target, value or []) if target else None
    hits, skipped = search_files(
        inspector, found_files, Path(like) if like else None, wanted, _note
    )
    lines = [hit.summary() for hit in hits]
    if out is not None:
        write_csv(out, lines)
    text = _table(lines)
    if json:
        content = {
            "like": like,
            "target": target,
            "value": list(wanted.values) if wanted else None,
            "rnns": [{"difference": hit.difference, **hit.found.to_dict()} for hit in hits],
            "skipped": [{"file": str(file), "error": reason} for file, reason in skipped],
        }
        text = to_json(content, indent=2)
    say(text)
    for _, reason in skipped:
        complain(f"left out: {reason}")
    return 1 if skipped else 0


def _note(text: str) -> None:
    note([text])


def _table(lines: Sequence[dict[str, Any]]) -> str:
    """Return the RNNs as a table for the terminal and for pipes."""
    from wsrl.studies.inspection.records import cell
    from wsrl.studies.tables import aligned

    if not lines:
        return "no RNN fits"
    ends = ("_low", "_high")  # of intervals: the file has them
    known = [name for name in lines[0] if any(line[name] is not None for line in lines)]
    names = [name for name in known if not name.endswith(ends)]
    cells = [[cell(line[name]) for name in names] for line in lines]
    return aligned([name.replace("_", " ") for name in names], cells)
