"""What an inspection finds: as plain values, as JSON and as text.

``docs/inspection.md`` says what each field means.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

from wsrl.analysis.calibration import Placement
from wsrl.rnn import read_interface
from wsrl.strict_json import finite
from wsrl.studies.tables import aligned, listed


@dataclass(frozen=True)
class Property:
    """A property read off the embedding, with a value for each of its parts.

    Numbers have the ends of intervals, infinite where too few RNNs were held out; of an angle both
    may lie outside of [0, 360). Classes have shares of validation RNNs that were right at such a
    confidence, of each part and of all at once (``exact``); NaN where none was held out.
    """

    name: str
    kind: str
    values: tuple[float | str, ...]
    text: str
    source: str  # neighbours, or the checkpoint of a head
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    probabilities: tuple[float, ...] = ()
    exact: float | None = None


@dataclass(frozen=True)
class Neighbour:
    """An RNN of the zoo, of the spec ``rnn``, with its task's ``name``.

    ``file`` is the name that it was packed by, or run and step. Distances are of embeddings of unit
    norm.
    """

    row: int
    rnn: str
    file: str
    run: int
    step: int
    split: str
    task: tuple[float, ...]
    name: str
    performance: float
    distance: float
    cosine: float

    @property
    def is_file(self) -> bool:
        """Whether it was packed by a name of its own."""
        return self.file != f"run {self.run}, step {self.step}"


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
    """What the RNN does when it runs freely: the best of its tasks, its score, and untrained RNNs'.

    ``performs`` is ``None`` where that cannot be measured.
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

    ``weights`` is the largest deviation of a tensor's size from the zoo's, in standard deviations;
    ``None`` where the zoo has no RNN of its cell and size.
    """

    verdict: str  # within, outside or unknown
    reasons: tuple[str, ...]
    distance: Placement
    weights: Placement | None
    tensors: dict[str, float]


@dataclass(frozen=True)
class Inspection:
    """What an encoder, its emulator and its zoo say of one RNN.

    Attributes:
        source: the file, where it came from one.
        checkpoint: of the encoder.
        zoo: the folder of its zoo.
        spec: the RNN's, as plain values.
        assumed: what its file does not say, and was taken for granted.
        trained_on: the specs of those that the encoder was trained on.
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
    assumed: tuple[str, ...]
    trained_on: tuple[dict[str, Any], ...]
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
    lines = {
        "RNN": f"{found.source or 'from memory'} ({read_interface(found.spec)})",
        **({"read as": "; ".join(found.assumed)} if found.assumed else {}),
        "performs": found.skill.text,
        **{each.name: _property(each, found.coverage) for each in found.properties},
        f"imitation, {imitation.metric}": f"{_placed(imitation.zoo)} on the zoo's sequences",
        "  on its own sequences": _placed(imitation.own),
        "nearest RNN of the zoo": f"distance {_placed(fit.distance)}",
        "sizes of its weights": _deviation(fit.weights),
        "trained on such RNNs": "; ".join([fit.verdict, *fit.reasons, *_others(found)]),
        "embedding": " ".join(f"{value:.3f}" for value in found.embedding),
    }
    several = len({each.rnn for each in found.neighbours} | {str(read_interface(found.spec))}) > 1
    names = ["row", "run", "step", "split", "performance", "distance", "cosine", "name"]
    names += ["rnn"] * several + ["file"] * any(each.is_file for each in found.neighbours)
    near = aligned(names, [vars(each) for each in found.neighbours])
    return f"{listed(lines)}\n\nNearest RNNs of {found.zoo}:\n{near}"


def _property(found: Property, coverage: float) -> str:
    source = "" if found.source == "neighbours" else f", by {found.source}"
    if found.exact is None:  # of numbers
        return f"{found.text} at {coverage:.0%}{source}"
    right = (
        "how often right is not known" if math.isnan(found.exact) else f"right {found.exact:.0%}"
    )
    return f"{found.text}, {right}{source}"


def _others(found: Inspection) -> list[str]:
    """Say that the encoder was trained on RNNs of other cells and sizes, where it was."""
    if found.spec in found.trained_on:
        return []
    specs = "), (".join(str(read_interface(spec)) for spec in found.trained_on)
    return [f"note: the encoder was trained on RNNs of other cells or sizes ({specs})"]


def _deviation(found: Placement | None) -> str:
    if found is None:
        return "the zoo has no RNNs of its cell and size"
    return f"{_placed(found)} standard deviations from the zoo's"


def _placed(found: Placement | None) -> str:
    if found is None:
        return "it writes none"
    return f"{found.value:.3f} (typical {found.typical:.3f}, percentile {found.percentile:.0f})"
