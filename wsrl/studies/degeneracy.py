"""How much RNNs that solve one task equally well differ, and what makes them differ less.

Source of the question, and of the directions beside ours: Huang, Singh, Martinelli and Rajan,
"Measuring and controlling solution degeneracy across task-trained recurrent neural networks"
(NeurIPS 2025).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch

from wsrl.analysis.similarity import Spread, mean_distance, spread_difference
from wsrl.analysis.similarity.relations import FEWEST_FOR_INTERVAL, Array
from wsrl.studies.interrogation import choose_rows
from wsrl.studies.report.charts import Chart, figure
from wsrl.studies.report.pages import Section, write_page
from wsrl.studies.report.words import chart_text, interval, number
from wsrl.studies.similarity.measuring import LEVELS, SimilaritySettings, measure
from wsrl.studies.similarity.subjects import RNNS, SEQUENCES, find_subjects
from wsrl.studies.tables import aligned, write_csv
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

FILES = ("degeneracy.csv", "directions.csv", "degeneracy.html")


@dataclass(frozen=True)
class Group:
    """RNNs of one zoo, at one step, that solve its task.

    Attributes:
        facts: what they have in common: cell, sizes, step, training, settings of the problem.
        solved: how many do.
        rnns: of how many.
        distances: ``(B, B)`` by name, of those that were drawn of the solving ones.
    """

    facts: dict[str, Any]
    solved: int
    rnns: int
    distances: dict[str, Array]


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
                spread = mean_distance(matrix)
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

        Of several values of the fact the smallest and the largest are compared.
        ``change`` is how much more those of the larger value differ; ``found`` is less or more
        where its interval is on one side of 0.
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
                for name in filter(other.distances.__contains__, one.distances):
                    change = spread_difference(one.distances[name], other.distances[name])
                    published, found = PUBLISHED.get(factor, {}).get(name), _direction(change)
                    row = {"factor": factor, **ends, "cell": one.facts["cell"], "distance": name}
                    row |= {"change": change.mean, "low": change.low, "high": change.high}
                    verdict = _verdict(published, found)
                    yield row | {"found": found, "published": published, "verdict": verdict}


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
    those of different sizes can be compared.

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
    groups, notes = [], []
    for folder in zoo_folders([*sources]):
        zoo = open_one(folder)
        for step in steps or (None,):
            name = f"{folder}" + (f" at step {step}" if step is not None else "")
            chosen = choose_rows(zoo, torch.Generator(), len(zoo), step)
            scores = zoo.read("performance", chosen)
            solved = chosen[scores >= performance]
            if len(solved) < FEWEST:
                best = f"the best performance is {float(scores.nan_to_num(-1).max()):.3g}"
                notes.append(
                    f"{name}: {len(solved)} of {len(chosen)} RNNs solve the task (performance of "
                    f"at least {performance:g}), {FEWEST} are needed; {best}"
                )
                continue
            tasks = len(zoo.read("task", solved).unique(dim=0))
            if tasks > 1 and zoo.problem.task_entries() != ("run",):
                notes.append(f"{name}: RNNs have {tasks} tasks, by which they differ too")
            say(f"{name}: {len(solved)} of {len(chosen)} RNNs solve the task")
            order = torch.randperm(len(solved), generator=torch.Generator().manual_seed(seed))
            drawn = solved[order[:rnns].sort().values]
            # Anew: inputs of all groups are the same, however many RNNs solve the task.
            generator = torch.Generator().manual_seed(seed)
            subjects = find_subjects([folder], generator, None, None, drawn.tolist(), sequences)
            measured = measure(subjects, settings, (), generator)
            distances = {n: _known(d) for n, d in measured.distances.items()}
            distances = {n: d for n, d in distances.items() if len(d) >= FEWEST}
            notes += [f"{name}: no {what}: {why}" for what, why in measured.left_out.items()]
            if "weights" in distances:
                distances["weights"] = distances["weights"] / zoo.spec.num_parameters**0.5
            facts = _facts(zoo, int(zoo.read("step", drawn).max()))
            groups.append(Group(facts, len(solved), len(chosen), distances))
    if not groups:
        raise ValueError(f"no RNNs that solve a task to compare: {'; '.join(notes)}")
    return Degeneracy(tuple(groups), tuple(notes))


def _known(distances: Array) -> Array:
    """Return the distances of those that have any, as RNNs have whose numbers are finite."""
    rows = np.isfinite(distances).sum(1) > 1
    return distances[np.ix_(rows, rows)]


def _facts(zoo: Zoo, step: int) -> dict[str, Any]:
    spec = zoo.spec
    facts: dict[str, Any] = {"zoo": zoo.path.name, "problem": zoo.problem.name, STEP: step}
    facts |= {"cell": spec.cell, SIZE: spec.hidden_size, "num_layers": spec.num_layers}
    facts |= {n: v for n, v in zoo.manifest.build.items() if n not in (*facts, *_NO_FACTS)}
    settings = zoo.problem.settings().items()
    return facts | {name: value for name, value in settings if name not in zoo.problem.may_differ}


def write_degeneracy(folder: Path, found: Degeneracy) -> list[Path]:
    """Write the groups and the directions as tables, and a page."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in FILES]
    write_csv(paths[0], found.records())
    write_csv(paths[1], found.directions())
    groups = pd.DataFrame(_shown_groups(found))
    charts = [_chart(found, name) for name in _names(found)]
    text = [
        "How much RNNs differ that solve their task: mean distances over pairs, with 95% intervals "
        "of a bootstrap over RNNs. Distances of weights are divided by the root of their number.",
        *found.notes,
    ]
    sections = [Section("Groups", [], charts, [("mean distances", groups)])]
    if directions := _shown_directions(found):
        said = [
            "Groups that differ in one fact alone, of which the smallest and the largest value are "
            "compared: how much more the RNNs differ where it is larger, and what Huang et al. "
            "(NeurIPS 2025) found. Their regularisation is of structure (sparse, low rank); weight "
            "decay and training time have nothing beside them.",
            "Weights of larger RNNs are smaller, and so are their distances for each weight.",
        ]
        table = ("directions", pd.DataFrame(directions))
        sections.insert(0, Section("What makes RNNs differ less", said, [], [table]))
    write_page(paths[2], "How much solutions differ", text, sections)
    return paths


def summarize_degeneracy(found: Degeneracy) -> str:
    """Return the result to read."""
    groups, directions = _shown_groups(found), _shown_directions(found)
    lines = [aligned([*groups[0]], groups)]
    if directions:
        lines += ["", aligned([*directions[0]], directions)]
    few = any(len(m) < FEWEST_FOR_INTERVAL for g in found.groups for m in g.distances.values())
    lines += [f"groups of fewer than {FEWEST_FOR_INTERVAL} RNNs have no intervals"] if few else []
    return "\n".join([*lines, *found.notes])


def _names(found: Degeneracy) -> list[str]:
    return [*dict.fromkeys(name for group in found.groups for name in group.distances)]


def _shown_groups(found: Degeneracy) -> list[dict[str, Any]]:
    facts = [*found.differing(), "solved", "rnns"]
    return [
        {
            **{name: row[name] for name in facts},
            **{name: _written(row, name) for name in _names(found)},
        }
        for row in found.records()
    ]


def _written(row: dict[str, Any], name: str) -> str:
    if name not in row:
        return "-"
    ends = interval(row[f"{name}_low"], row[f"{name}_high"])
    return number(row[name]) + (f" ({ends})" if ends else "")


def _shown_directions(found: Degeneracy) -> list[dict[str, Any]]:
    shown = []
    for row in found.directions():
        ends = interval(row["low"], row["high"])
        kept: dict[str, Any] = {
            n: row[n] for n in ("factor", "smaller", "larger", "cell", "distance")
        }
        kept |= {"change": number(row["change"]), "interval": ends or "-", "found": row["found"]}
        shown.append(kept | {n: row[n] or "-" for n in ("published", "verdict")})
    return shown


def _chart(found: Degeneracy, name: str) -> Chart:
    """Return the mean distance of each group with its interval."""
    rows = [row for row in found.records() if name in row]
    labels = [", ".join(str(row[fact]) for fact in found.differing()) for row in rows]
    means = [row[name] for row in rows]
    errors = {"type": "data", "symmetric": False}
    errors["array"] = [(r[f"{name}_high"] or r[name]) - r[name] for r in rows]
    errors["arrayminus"] = [r[name] - (r[f"{name}_low"] or r[name]) for r in rows]
    trace = go.Scatter(x=means, y=[*map(chart_text, labels)], error_x=errors, mode="markers")
    return Chart(name, figure("mean distance", "", [trace]), height=120 + 30 * len(rows))
