"""Many RNNs inspected by one encoder, and put in order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from wsrl.minutes import Minutes
from wsrl.problems import Target
from wsrl.studies.inspection.inspector import Inspector
from wsrl.studies.inspection.records import Inspection, Property
from wsrl.tasks.targets import make_target
from wsrl.zoos.packing.models import SUFFIXES, model_files


class Hit(NamedTuple):
    """One RNN of a search.

    Attributes:
        found: what was found of it.
        difference: how far it is from what is looked for: the distance of the embeddings, or of the
            predicted property (of classes the number of parts that differ); ``None`` where nothing
            is.
    """

    found: Inspection
    difference: float | None

    def summary(self) -> dict[str, Any]:
        """Return the line of a table, as plain values by name."""
        found, nearest = self.found, self.found.neighbours[0]
        read: dict[str, Any] = {}
        for each in found.properties:
            read |= _columns(each)
        return {
            "file": found.source,
            "difference": self.difference,
            "performs": found.skill.name if found.skill.performs else None,
            "score": found.skill.score,
            **read,
            "nearest_run": nearest.run,
            "nearest_step": nearest.step,
            "nearest_task": nearest.name,
            "distance": nearest.distance,
            "verdict": found.fit.verdict,
        }


class Wanted(NamedTuple):
    """A property that is looked for, and its values: numbers, or the names of classes."""

    target: Target
    name: str
    values: tuple[float | str, ...]

    @classmethod
    def read(cls, targets: dict[str, Target], name: str, words: Sequence[str]) -> Wanted:
        """Read what a command line asks for, and check it against the targets."""
        if name not in targets:
            raise ValueError(f"no target {name!r}; the zoo has {', '.join(targets)}")
        target = targets[name]
        if len(words) != target.parts:
            raise ValueError(f"{name} has {target.parts} values, not {len(words)}")
        return cls(target, name, tuple(_value(target, name, word) for word in words))

    def difference(self, found: Property) -> float:
        """Return how far an RNN's predicted property is from this one."""
        pairs = zip(found.values, self.values, strict=True)
        kind = make_target(self.target.to_dict())
        if kind.discrete:
            return float(sum(one != other for one, other in pairs))
        one, other = torch.tensor(list(pairs), dtype=torch.float64).unbind(1)
        return float(kind.difference(one, other).mean())


def search(
    inspector: Inspector,
    files: Sequence[Path],
    like: Path | None = None,
    wanted: Wanted | None = None,
    say: Callable[[str], object] = lambda text: None,
) -> tuple[list[Hit], list[tuple[Path, str]]]:
    """Inspect many RNNs.

    Args:
        inspector: does.
        files: of the RNNs.
        like: of an RNN; the others are put in the order of their likeness to it.
        wanted: a property; they are put in the order in which they come near it, of two as near
            the surer one first.
        say: told once a minute how far the search is.

    Returns:
        The RNNs, and the files that were left out with the reason.

    Raises:
        ValueError: where ``like`` is no RNN that fits, or the encoder embeds none of the zoo's.
        ZooError: for a damaged zoo.
    """
    _ = inspector.reference  # what is wrong with it is one error, not one for each file
    example = None if like is None else inspector.inspect(like)
    hits, skipped, minutes = [], [], Minutes()
    for done, file in enumerate(files):
        if minutes.passed():
            say(f"{done} of {len(files)} RNNs inspected")
        try:
            found = inspector.inspect(file)
        except (ValueError, OSError) as error:
            skipped.append((file, str(error)))
            continue
        difference, doubt = None, 0.0
        if example is not None:
            difference = math.dist(found.embedding, example.embedding)
        elif wanted is not None:
            read = next(each for each in found.properties if each.name == wanted.name)
            difference, doubt = wanted.difference(read), -(read.exact or 0.0)
        hits.append(((difference or 0.0, doubt), Hit(found, difference)))
    return [hit for _, hit in sorted(hits, key=lambda each: each[0])], skipped


def find_files(given: Iterable[str | Path]) -> list[Path]:
    """Return files as they are given, and of folders all that may be RNNs (``model_files``)."""
    files: dict[Path, None] = {}
    for path in map(Path, given):
        if path.is_dir():
            files |= dict.fromkeys(file for file in model_files(path) if file.is_file())
        elif path.is_file():
            files[path] = None
        else:
            raise ValueError(f"no file and no folder at {path}")
    if not files:
        raise ValueError(f"no state dicts (*{', *'.join(SUFFIXES)}) there")
    return list(files)


def _columns(found: Property) -> dict[str, Any]:
    """Return the columns of one property: its text, or one number with its interval."""
    name = f"predicted_{found.name}"
    if found.exact is not None:  # of classes
        return {name: found.text, f"{name}_right": found.exact}
    if len(found.values) > 1:
        return {name: found.text}
    ends = {f"{name}_low": found.low[0], f"{name}_high": found.high[0]}
    return {name: found.values[0], **ends}


def _value(target: Target, name: str, word: str) -> float | str:
    """Return the value that a word stands for."""
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if known := target.labels or target.values:
        for value in known:
            if value in (word, number):
                return value
        raise ValueError(f"{name} is one of {', '.join(map(str, known))}, not {word!r}")
    if not math.isfinite(number):
        raise ValueError(f"{name} is a number, not {word!r}")
    return number
