"""What an inspection finds: as plain values, as JSON and as text."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from wsrl.analysis.calibration import FEWEST, Placement
from wsrl.rnn import RNNSpec
from wsrl.strict_json import finite
from wsrl.studies.tables import aligned, listed

_VERDICTS = {
    "within": "within what the encoder was trained on",
    "outside": "outside what the encoder was trained on",
    "unknown": f"unknown: fewer than {FEWEST} validation RNNs do not tell what is ordinary",
}


@dataclass(frozen=True)
class Property:
    """A property read off the embedding.

    Attributes:
        name: of the target.
        kind: ``classes``, ``real`` or ``angle`` (degrees).
        values: one for each part: the class's value or name, or the number.
        text: the values to read.
        source: ``neighbours``, or the checkpoint of the prediction run.
        low: of numbers, the lower ends of the intervals; minus infinity where validation has too
            few RNNs to say, or training saw them too.
        high: the upper ends. Of an angle both may lie outside of [0, 360).
        probabilities: of classes, for each part the share of validation RNNs that were right at
            such a confidence; NaN where there are none.
        exact: the same for all parts at once.
    """

    name: str
    kind: str
    values: tuple[float | str, ...]
    text: str
    source: str
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    probabilities: tuple[float, ...] = ()
    exact: float | None = None


@dataclass(frozen=True)
class Neighbour:
    """An RNN of the zoo: where it is in the zoo, what it is, and how near it lies.

    ``split`` is the one of the encoder's run, ``name`` the task to read; ``performance`` is NaN
    where it is not known. ``distance`` is Euclidean, of the embeddings of unit norm.
    """

    row: int
    run: int
    step: int
    split: str
    task: tuple[float, ...]
    name: str
    performance: float
    distance: float
    cosine: float


@dataclass(frozen=True)
class Imitation:
    """How far the emulator is from the RNN, on average over steps, beside validation RNNs.

    On sequences of the ``zoo``, the same for all RNNs, and on those that each RNN wrote itself
    (``own``; ``None`` where RNNs do not write).
    """

    metric: str
    zoo: Placement
    own: Placement | None


@dataclass(frozen=True)
class Skill:
    """What the RNN does when it runs freely.

    Attributes:
        performs: whether it is better at a task than RNNs that were never trained; ``None`` where
            that cannot be measured.
        text: the finding to read, or why there is none.
        task: the candidate that it does best.
        name: that task to read.
        score: its measured score, between 0 and 1.
        chance: the best score of untrained RNNs on the same task.
        candidates: how many tasks were tried.
    """

    performs: bool | None
    text: str
    task: tuple[float, ...] | None = None
    name: str | None = None
    score: float | None = None
    chance: float | None = None
    candidates: int = 0


@dataclass(frozen=True)
class Fit:
    """Whether the RNN is like those that the encoder was trained on.

    Attributes:
        verdict: ``within``, ``outside``, or ``unknown``: too few validation RNNs to tell.
        reasons: why it lies outside.
        distance: to the nearest RNN of the zoo; of validation RNNs, to those of other runs.
        weights: the largest deviation of a tensor's size from the zoo's, in standard deviations.
        tensors: these deviations by tensor, with their signs.
    """

    verdict: str
    reasons: tuple[str, ...]
    distance: Placement
    weights: Placement
    tensors: dict[str, float]


@dataclass(frozen=True)
class Inspection:
    """What an encoder, its emulator and its zoo say of one RNN.

    Attributes:
        source: the file, where it came from one.
        checkpoint: of the encoder.
        zoo: the folder of its zoo.
        spec: the RNN's, as plain values.
        embedding: of unit norm.
        properties: what is predicted of it.
        neighbours: the nearest RNNs of the zoo, the nearest first.
        imitation: how well the emulator does what it does.
        skill: what it performs.
        fit: whether it is like the zoo's RNNs.
        coverage: of the intervals.
    """

    source: str | None
    checkpoint: str
    zoo: str
    spec: dict[str, Any]
    embedding: tuple[float, ...]
    properties: tuple[Property, ...]
    neighbours: tuple[Neighbour, ...]
    imitation: Imitation
    skill: Skill
    fit: Fit
    coverage: float

    def to_dict(self) -> dict[str, Any]:
        """Return everything as values of JSON: lists for tuples, ``None`` for what is not finite.

        Properties come by name, so that a script finds them.
        """
        plain = asdict(self)
        plain["properties"] = {each["name"]: each for each in plain["properties"]}
        return dict(finite(plain))


def render(found: Inspection) -> str:
    """Return an inspection as lines of text."""
    imitation, fit = found.imitation, found.fit
    metric = imitation.metric.replace("_", " ")
    lines = {
        "RNN": f"{found.source or 'from memory'} ({RNNSpec(**found.spec)})",
        "performs": found.skill.text,
        **{each.name: _property(each, found.coverage) for each in found.properties},
        f"imitation, {metric}": _placed(imitation.zoo) + " on the zoo's sequences",
    }
    if imitation.own is not None:
        lines["  on its own sequences"] = _placed(imitation.own)
    lines |= {
        "nearest RNN of the zoo": f"distance {_placed(fit.distance)}",
        "sizes of its weights": f"{_placed(fit.weights)} standard deviations from the zoo's",
        "verdict": _VERDICTS[fit.verdict],
    }
    if fit.reasons:
        lines["because"] = "; ".join(fit.reasons)
    lines["embedding"] = " ".join(f"{value:.3f}" for value in found.embedding)
    names = ("row", "run", "step", "split", "performance", "distance", "cosine", "name")
    near = aligned(names, [vars(each) for each in found.neighbours])
    return f"{listed(lines)}\n\nNearest RNNs of {found.zoo}:\n{near}"


def _property(found: Property, coverage: float) -> str:
    source = "" if found.source == "neighbours" else f", by {found.source}"
    if found.exact is None:  # of numbers
        return f"{found.text} at {coverage:.0%}{source}"
    if math.isnan(found.exact):
        return f"{found.text}, how often right no RNN held out tells{source}"
    parts = ", ".join(f"{share:.0%}" for share in found.probabilities)
    each = f" (its parts {parts})" if len(found.probabilities) > 1 else ""
    return f"{found.text}, right {found.exact:.0%} of the time{each}{source}"


def _placed(found: Placement) -> str:
    return f"{found.value:.3f} (typical {found.typical:.3f}, percentile {found.percentile:.0f})"
