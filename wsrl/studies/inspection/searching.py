"""Many RNNs inspected by one encoder, and put in order."""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from wsrl.minutes import Minutes
from wsrl.rnn import read_interface
from wsrl.studies.inspection.inspector import Inspector
from wsrl.studies.inspection.records import Inspection
from wsrl.zoos.packing.models import SUFFIXES, model_files


def search(
    inspector: Inspector,
    files: Sequence[Path],
    like: str | Path | None = None,
    say: Callable[[str], object] = lambda text: None,
) -> tuple[list[tuple[Inspection, float | None]], list[tuple[Path, str]]]:
    """Inspect many RNNs; ``say`` is told once a minute how far it is.

    Returns:
        What was found of each, and the distance of its embedding from that of the RNN ``like``, by
        which they are ordered; and the files that were left out with the reason.

    Raises:
        ValueError: where ``like`` is no RNN that fits, or the encoder embeds none of the zoo's.
        ZooError: for a damaged zoo.
    """
    _ = inspector.reference  # what is wrong with it is one error, not one for each file
    example = None if like is None else inspector.inspect(like, inspector.hints.beside(like))
    hits: list[tuple[Inspection, float | None]] = []
    skipped, minutes = [], Minutes()
    for done, file in enumerate(files):
        if minutes.passed():
            say(f"{done} of {len(files)} RNNs inspected")
        try:
            found = inspector.inspect(file, inspector.hints.beside(file))
        except (ValueError, OSError) as error:
            skipped.append((file, str(error)))
            continue
        apart = None if example is None else math.dist(found.embedding, example.embedding)
        hits.append((found, apart))
    return sorted(hits, key=lambda hit: hit[1] or 0.0), skipped


def summary(found: Inspection, difference: float | None) -> dict[str, Any]:
    """Return the line of a table: of a property its text, or one number with its interval."""
    nearest, read = found.neighbours[0], dict[str, Any]()
    for each in found.properties:
        name = f"predicted_{each.name}"
        one_number = each.exact is None and len(each.values) == 1
        read[name] = each.values[0] if one_number else each.text
        if one_number:
            read |= {f"{name}_low": each.low[0], f"{name}_high": each.high[0]}
        elif each.exact is not None:  # of classes
            read[f"{name}_right"] = each.exact
    return {
        "file": found.source,
        "rnn": str(read_interface(found.spec)),
        "difference": difference,
        "performs": found.skill.name if found.skill.performs else None,
        "score": found.skill.score,
        **read,
        "nearest_file": nearest.file if nearest.is_file else None,
        "nearest_run": nearest.run,
        "nearest_step": nearest.step,
        "nearest_task": nearest.name,
        "distance": nearest.distance,
        "verdict": found.fit.verdict,
    }


def find_files(given: Iterable[str | Path]) -> list[Path]:
    """Return files as they are given, and of folders all that may be RNNs (``model_files``)."""
    files: dict[Path, None] = {}
    for path in map(Path, given):
        if not path.exists():
            raise ValueError(f"no file and no folder at {path}")
        found = model_files(path) if path.is_dir() else [path]
        files |= dict.fromkeys(file for file in found if file.is_file())
    if not files:
        raise ValueError(f"no files of RNNs (*{', *'.join(SUFFIXES)}) there")
    return list(files)
