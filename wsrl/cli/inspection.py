"""``wsrl inspect``, ``search`` and ``export``: a trained encoder, and a user's RNNs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wsrl.cli.commands import command
from wsrl.cli.parsing import Index, Options, OutFile
from wsrl.strict_json import to_json
from wsrl.terminal import complain, note, say

if TYPE_CHECKING:
    from wsrl.hints import Hints

_HINTS = Options("wsrl.hints:Hints")


@command("inspect", own_modules=True, hints=_HINTS)
def inspect(
    file: str,
    *,
    ckpt: str,
    hints: Hints,
    predict: list[str] | None = None,
    zoo: list[str] | str | None = None,
    neighbours: Index = 5,
    coverage: float = 0.9,
    json: bool = False,
) -> str:
    """Say what a trained encoder sees in your own RNN.

    Its embedding, its properties with intervals, the nearest RNNs of the zoo, how well the emulator
    imitates it, what it performs, and whether it is like what the encoder was trained on at all.

      wsrl inspect model.safetensors --ckpt runs/interactive
      wsrl inspect model.pt --ckpt runs/interactive --predict runs/interactive-task --json

    The file is of torch.save, safetensors, Keras, Flax, Equinox, ONNX or others: what it is, its
    content says. What it does not say is an option, or settled by --reference. Measures of the zoo
    are kept beside the checkpoint, so that the next inspection is quick.

    Args:
        file: of one RNN
        ckpt: an emulation run's folder, a checkpoint, an exported run, or the name of an encoder
            that comes with wsrl: languages
        hints: of the RNNs
        predict: prediction runs with this encoder, frozen (those in folders beside the run are
            found)
        zoo: the zoo's folder, or a list of them, where it is not where the run was trained on it
        neighbours: nearest RNNs
        coverage: of the intervals
        json: print one JSON object
    """
    from wsrl.studies.inspection.inspector import Inspector
    from wsrl.studies.inspection.records import render

    found = Inspector(ckpt, zoo, predict or (), neighbours, coverage, _note, hints).inspect(file)
    return to_json(found.to_dict(), indent=2) if json else render(found)


@command("search", own_modules=True, hints=_HINTS)
def search(
    files: list[str],
    *,
    ckpt: str,
    hints: Hints,
    predict: list[str] | None = None,
    zoo: list[str] | str | None = None,
    like: str | None = None,
    json: bool = False,
    csv: OutFile | None = None,
) -> int:
    """Inspect many RNNs: a table, those most like another one first.

      wsrl search models --ckpt runs/interactive --csv found.csv
      wsrl search models --ckpt runs/interactive --like model.safetensors

    Files that are no RNNs, or other ones than the encoder reads, are named and left out; the exit
    status is then 1.

    Args:
        files: of RNNs, and folders of them
        ckpt: an emulation run's folder, a checkpoint, an exported run, or the name of an encoder
            that comes with wsrl: languages
        hints: of the RNNs
        predict: prediction runs with this encoder, frozen (those in folders beside the run are
            found)
        zoo: the zoo's folder, or a list of them, where it is not where the run was trained on it
        like: put those first that are most like this RNN
        json: print one JSON object, with all of wsrl inspect
        csv: write the table to this file as well
    """
    from wsrl.studies.inspection.inspector import Inspector
    from wsrl.studies.inspection.searching import find_files, summary
    from wsrl.studies.inspection.searching import search as search_files
    from wsrl.studies.tables import aligned, write_csv

    found_files = find_files(files)
    inspector = Inspector(ckpt, zoo, predict or (), say=_note, hints=hints)
    hits, skipped = search_files(inspector, found_files, like, _note)
    lines = [summary(found, difference) for found, difference in hits]
    if csv is not None:
        write_csv(Path(csv), lines)
    if json:
        content = {
            "like": like,
            "rnns": [{"difference": apart, **found.to_dict()} for found, apart in hits],
            "skipped": [{"file": str(file), "error": reason} for file, reason in skipped],
        }
        say(to_json(content, indent=2))
    else:  # the ends of intervals are in the file
        known = dict.fromkeys(name for line in lines for name in line if line[name] is not None)
        names = [name for name in known if not name.endswith(("_low", "_high"))]
        say(aligned(names, lines) if lines else "no RNN fits")
    for _, reason in skipped:
        complain(f"left out: {reason}")
    return 1 if skipped else 0


@command("export", own_modules=True)
def export(run: str, *, out: str, zoo: str | None = None) -> str:
    """Write a trained encoder to a folder to give away.

    It holds the encoder with its emulator, the heads beside it, what the zoo's RNNs are, and their
    embeddings: all that wsrl inspect and wsrl search need. Neither weights nor sequences of the
    zoo are in it, nor paths of this machine.

      wsrl export runs/interactive --out shared/languages
      wsrl inspect model.safetensors --ckpt shared/languages

    Args:
        run: an emulation run's folder, or a checkpoint
        out: the folder; there must be none
        zoo: the zoo's folder, where it is not where the run was trained on it
    """
    from wsrl.studies.export import export_run

    export_run(run, out, zoo)
    files = [path for path in Path(out).rglob("*") if path.is_file()]
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    return f"{out}: {len(files)} files, {megabytes:.1f} MB"


def _note(text: str) -> None:
    note([text])
