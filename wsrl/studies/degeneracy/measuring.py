"""Groups of RNNs that solve a task: how much they differ, and which differ less."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from wsrl.analysis.similarity import Spread, mean_distance, spread_difference
from wsrl.studies.interrogation import choose_rows
from wsrl.studies.similarity.measuring import LEVELS, SimilaritySettings, measure
from wsrl.studies.similarity.subjects import RNNS, SEQUENCES, find_subjects
from wsrl.zoos import Zoo, open_one, zoo_folders

FEWEST = 3
"""RNNs of a group that solve the task, at least."""

SIZE, STEP, DECAY = "hidden_size", "step", "weight_decay"
COMPLEXITY = ("bits", "dimensions", "frequencies")
"""Settings of problems that make a task more complex."""

DOWN, UP, MIXED = "less", "more", "mixed"
PUBLISHED = {
    SIZE: {"behaviour outside": DOWN, "dsa": DOWN, "weights": DOWN},
    **{name: {"behaviour outside": MIXED, "dsa": DOWN, "weights": UP} for name in COMPLEXITY},
}
"""By what grows and by distance: whether RNNs differ less or more, as published. Its regularisation
is of structure (sparse, low rank), which weight decay is not; training time it does not vary."""

_NO_FACTS = ("runs", "seed", "snapshots", "group_size", "unique_sequences")
"""Settings of a build that do not change how an RNN is trained."""


@dataclass(frozen=True)
class Group:
    """RNNs of one zoo, at one step, that solve its task.

    Attributes:
        place: folder of the zoo.
        facts: what they have in common: cell, sizes, step, training, settings of the problem.
        solved: how many do.
        rnns: of how many.
        distances: those that were drawn of the solving ones, by name: a frame ``(B, B)``, whose
            index is their runs.
    """

    place: Path
    facts: dict[str, Any]
    solved: int
    rnns: int
    distances: dict[str, pd.DataFrame]


@dataclass(frozen=True)
class Degeneracy:
    """Groups, and what else is to be known: what is left out and why, whether tasks differ."""

    groups: tuple[Group, ...]
    notes: tuple[str, ...]

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each group: what it is, and its mean distances with intervals."""
        found = []
        for group in self.groups:
            about = {name: group.facts[name] for name in self.differing()}
            row: dict[str, Any] = {**about, "solved": group.solved, "rnns": group.rnns}
            for name, matrix in group.distances.items():
                spread = mean_distance(matrix.to_numpy())
                row |= {name: spread.mean, f"{name}_low": spread.low, f"{name}_high": spread.high}
            found.append(row)
        return found

    def differing(self) -> list[str]:
        """Return the facts in which groups differ; cell, size and step always."""
        facts = [group.facts for group in self.groups]
        every = dict.fromkeys(name for each in facts for name in each)
        always = ("zoo", "cell", SIZE, STEP)
        return [n for n in every if n in always or len({repr(f.get(n)) for f in facts}) > 1]

    def directions(self) -> list[dict[str, Any]]:
        """Compare groups that differ in one fact alone: do RNNs of the largest differ least?

        Of several values of the fact the smallest and the largest are compared. The other facts in
        which groups differ are those of both; the fact itself is ``None`` among them. ``change`` is
        how much more those of the larger value differ; ``found`` is less or more where its interval
        is on one side of 0. Two steps of one zoo have RNNs of the same runs, which are resampled
        together.
        """
        return [row for factor in (SIZE, STEP, DECAY, *COMPLEXITY) for row in self._by(factor)]

    def _by(self, factor: str) -> Iterator[dict[str, Any]]:
        alike: dict[str, list[Group]] = {}
        for group in self.groups:
            if factor in group.facts:
                rest = {n: v for n, v in group.facts.items() if n not in (factor, "zoo")}
                alike.setdefault(repr(sorted(rest.items())), []).append(group)
        for own in alike.values():
            ordered = sorted(own, key=lambda group: float(group.facts[factor]))
            one, other = ordered[0], ordered[-1]
            ends = {"smaller": one.facts[factor], "larger": other.facts[factor]}
            if ends["smaller"] != ends["larger"]:
                others = {n: one.facts.get(n) for n in self.differing() if n != "zoo"}
                about = {"factor": factor, **ends, **others, factor: None}
                for name in filter(other.distances.__contains__, one.distances):
                    change = _change(one, other, name)
                    published, found = PUBLISHED.get(factor, {}).get(name), _direction(change)
                    row = {**about, "distance": name, "change": change.mean}
                    row |= {"low": change.low, "high": change.high}
                    verdict = _verdict(published, found)
                    yield row | {"found": found, "published": published, "verdict": verdict}


def _change(one: Group, other: Group, name: str) -> Spread:
    mine, theirs = one.distances[name], other.distances[name]
    shared = mine.index.intersection(theirs.index) if one.place == other.place else mine.index[:0]
    together = [each.index.get_indexer(shared).tolist() for each in (mine, theirs)]
    return spread_difference(mine.to_numpy(), theirs.to_numpy(), (together[0], together[1]))


def _direction(change: Spread) -> str:
    if change.low is None or change.high is None:
        return "too few RNNs"
    return DOWN if change.high < 0 else UP if change.low > 0 else "undecided"


def _verdict(published: str | None, found: str) -> str | None:
    if published not in (DOWN, UP) or found not in (DOWN, UP):
        return None
    return "holds" if published == found else "does not hold"


def find_degeneracy(
    sources: Sequence[str | Path],
    performance: float = 0.9,
    steps: Sequence[int] = (),
    rnns: int = RNNS,
    sequences: int = SEQUENCES,
    settings: SimilaritySettings | None = None,
    seed: int = 0,
    say: Callable[[str], object] = lambda text: None,
) -> Degeneracy:
    """Measure how much the RNNs differ that solve a task.

    RNNs are compared within a zoo and a step; zoos may differ in cell, size, training and the
    settings of their problem. Distances of weights are divided by the root of their number, so that
    those of different sizes can be compared. At all steps of a zoo the same runs are drawn, as far
    as they solve the task there.

    Args:
        sources: folders of zoos, or folders of such.
        performance: from which on an RNN solves its task.
        steps: of training, each a group; by default each run's last alone.
        rnns: drawn from the solving ones of a group.
        sequences: on which RNNs are run.
        settings: by which levels, and how; all but embeddings by default.
        seed: of the draws.
        say: is told what is being measured.

    Raises:
        ValueError: for fewer than 3 ``rnns``, and where too few of all groups solve the task.
    """
    if rnns < FEWEST:
        raise ValueError(f"groups must have at least {FEWEST} RNNs, not {rnns}: draw more")
    settings = settings or SimilaritySettings(LEVELS[:-1])
    groups, notes = list[Group](), list[str]()
    for folder in zoo_folders([*sources]):
        zoo = open_one(folder)
        solving = _solving(zoo, steps or (None,), performance, notes)
        all_drawn = draw_alike(zoo, [solved for solved, _ in solving.values()], rnns, seed)
        for (name, (solved, of)), drawn in zip(solving.items(), all_drawn, strict=True):
            say(f"{name}: {len(solved)} of {of} RNNs solve the task")
            tasks = len(zoo.read("task", solved).unique(dim=0))
            if tasks > 1 and zoo.problem.task_entries() != ("run",):
                notes.append(f"{name}: RNNs have {tasks} tasks, by which they differ too")
            distances, left_out = _measure(zoo, drawn, sequences, settings, seed)
            notes += [f"{name}: no {what}: {why}" for what, why in left_out.items()]
            facts = _facts(zoo, int(zoo.read("step", drawn).max()))
            groups.append(Group(folder.resolve(), facts, len(solved), of, distances))
    if not groups:
        raise ValueError(f"no RNNs that solve a task to compare: {'; '.join(notes)}")
    return Degeneracy(tuple(groups), tuple(notes))


def _solving(
    zoo: Zoo, steps: Sequence[int | None], performance: float, notes: list[str]
) -> dict[str, tuple[Tensor, int]]:
    """Return for each step, by what it is called, the rows that solve the task, and of how many."""
    found = {}
    for step in dict.fromkeys(steps):
        name = f"{zoo.path}" + (f" at step {step}" if step is not None else "")
        chosen = choose_rows(zoo, torch.Generator(), len(zoo), step)
        scores = zoo.read("performance", chosen)
        solved = chosen[scores >= performance]
        if len(solved) >= FEWEST:
            found[name] = solved, len(chosen)
            continue
        notes.append(
            f"{name}: {len(solved)} of {len(chosen)} RNNs solve the task (performance of at least "
            f"{performance:g}), {FEWEST} are needed; the best performance is "
            f"{float(scores.nan_to_num(-1).max()):.3g}"
        )
    return found


def draw_alike(zoo: Zoo, groups: Sequence[Tensor], count: int, seed: int) -> list[Tensor]:
    """Draw ``count`` rows of each group, first of the runs that most groups have, the same of all.

    Args:
        zoo: the zoo.
        groups: rows ``(n,)``, of different runs.
        count: how many; all where there are fewer.
        seed: of the draw.
    """
    if not groups:
        return []
    runs = [zoo.read("run", rows) for rows in groups]
    every, times = torch.cat(runs).unique(return_counts=True)
    order = torch.randperm(len(every), generator=torch.Generator().manual_seed(seed))
    every = every[order[times[order].argsort(descending=True, stable=True)]]
    found = []
    for own, rows in zip(runs, groups, strict=True):
        drawn = every[torch.isin(every, own)][:count]
        found.append(rows[torch.isin(own, drawn)].sort().values)
    return found


def _measure(
    zoo: Zoo, rows: Tensor, sequences: int, settings: SimilaritySettings, seed: int
) -> tuple[dict[str, pd.DataFrame], dict[str, str]]:
    """Return the distances of RNNs, and why some are not there."""
    # Anew: inputs of all groups are the same, however many RNNs solve the task.
    generator = torch.Generator().manual_seed(seed)
    subjects = find_subjects([zoo.path], generator, None, None, rows.tolist(), sequences)
    measured = measure(subjects, settings, (), generator)
    runs, found = zoo.read("run", rows).numpy(), {}
    for name, distances in measured.distances.items():
        known = np.isfinite(distances).sum(1) > 1  # of RNNs whose numbers are finite
        if known.sum() >= FEWEST:
            kept = distances[np.ix_(known, known)]
            kept = kept / zoo.spec.num_parameters**0.5 if name == "weights" else kept
            found[name] = pd.DataFrame(kept, runs[known], runs[known])
    return found, measured.left_out


def _facts(zoo: Zoo, step: int) -> dict[str, Any]:
    spec = zoo.spec
    facts: dict[str, Any] = {"zoo": zoo.path.name, "problem": zoo.problem.name, STEP: step}
    facts |= {"cell": spec.cell, SIZE: spec.hidden_size, "num_layers": spec.num_layers}
    facts |= {n: v for n, v in zoo.manifest.build.items() if n not in (*facts, *_NO_FACTS)}
    settings = zoo.problem.settings().items()
    return facts | {name: value for name, value in settings if name not in zoo.problem.may_differ}
