"""Distances between RNNs on every level, and how levels are related."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from wsrl.analysis.similarity import (
    delay_operators,
    no_weight_distance,
    operator_angles,
    output_distances,
    rank_relation,
    representations,
    settled_spectra,
    spectral_distances,
    weight_distances,
)
from wsrl.analysis.similarity.operators import DELAYS, RANK
from wsrl.encoders import embed
from wsrl.rnn import MixedRNNs, RNNs, RNNWeights, run_population, state_size, states_along
from wsrl.studies.inspection.sources import find_checkpoint, read_run
from wsrl.studies.similarity.subjects import Subjects, runs_of
from wsrl.tasks import EmulationModule

Level: TypeAlias = Literal["behaviour", "representation", "dynamics", "weights", "embedding"]
LEVELS: tuple[Level, ...] = get_args(Level)

_POINTS = 1000  # states on which representations are compared
_SETTLING = 4  # states from which RNNs settle
_NUMBERS = 2**26  # of the states of all RNNs: 512 MiB

Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class SimilaritySettings:
    """How RNNs are compared.

    Attributes:
        levels: by which; all by default
        delays: states of a point in dynamical similarity analysis
        rank: of its operators
    """

    levels: tuple[Level, ...] = LEVELS
    delays: int = DELAYS
    rank: int = RANK

    def __post_init__(self) -> None:
        if not self.levels or (wrong := {*self.levels} - {*LEVELS}):
            given = ", ".join(sorted(wrong)) if self.levels else "none"
            raise ValueError(f"levels are some of {', '.join(LEVELS)}, not {given}")
        object.__setattr__(self, "levels", tuple(self.levels))


@dataclass(frozen=True)
class Similarity:
    """What was measured.

    Attributes:
        table: of the ``B`` RNNs, as of ``Subjects``.
        distances: ``(B, B)`` by name, NaN where two RNNs have none.
        left_out: why a distance is not there, by name.
        notes: what else is to be known.
    """

    table: pd.DataFrame
    distances: dict[str, Array]
    left_out: dict[str, str]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; what is not defined is ``None``."""
        return {
            "rnns": _defined(self.table.to_dict("records")),
            "distances": {name: _defined(each.tolist()) for name, each in self.distances.items()},
            "relations": _defined(self.relations),
            "left_out": self.left_out,
            "notes": list(self.notes),
        }

    @cached_property
    def relations(self) -> list[dict[str, Any]]:
        """Rank correlations of every two distances, with intervals over runs."""
        runs = runs_of(self.table)
        return [
            {"one": one, "other": other, **vars(rank_relation(mine, theirs, runs))}
            for (one, mine), (other, theirs) in combinations(self.distances.items(), 2)
        ]


def measure(
    subjects: Subjects,
    settings: SimilaritySettings | None = None,
    encoders: Sequence[str] = (),
    generator: Generator | None = None,
    say: Callable[[str], object] = lambda text: None,
) -> Similarity:
    """Measure how far apart RNNs are.

    Args:
        subjects: the RNNs and inputs.
        settings: by which levels, and how.
        encoders: trained encoders, as ``wsrl inspect`` takes them: runs, checkpoints, or names.
        generator: of the states that are compared.
        say: is told what is being measured.

    Raises:
        ValueError: where no level is left, and for an encoder that is not there.
    """
    settings, generator = settings or SimilaritySettings(), generator or torch.Generator()
    read = {name: read_run(EmulationModule, find_checkpoint(name))[1] for name in encoders}
    left_out: dict[str, str] = {}
    notes: list[str] = []
    found: dict[str, Array] = {}

    def add(level: Level, measured: Callable[[], Iterator[tuple[str, Array]]]) -> None:
        if level in settings.levels:
            say(f"{level} of {len(subjects.rnns)} RNNs")
            found.update(measured())

    add("behaviour", lambda: _behaviour(subjects, left_out))
    if {"representation", "dynamics"} & {*settings.levels}:
        states = _states(subjects, notes)
        add("representation", lambda: _representation(subjects, states, generator, left_out))
        add("dynamics", lambda: _dynamics(subjects, states, settings, left_out))
    add("weights", lambda: _weights(subjects.rnns, left_out, notes))
    add("embedding", lambda: _embeddings(subjects.rnns, read, left_out))
    if not found:
        reasons = "; ".join(left_out.values()) or "no encoder is given (--ckpt)"
        raise ValueError(f"no level is left to compare RNNs by: {reasons}")
    return Similarity(subjects.table, found, left_out, tuple(notes))


def _defined(value: Any) -> Any:
    """Put ``None`` in the place of NaN."""
    if isinstance(value, dict):
        return {key: _defined(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_defined(each) for each in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def _groups(rnns: RNNs) -> list[tuple[RNNWeights, Tensor]]:
    """Return the RNNs of every spec, and which of all they are."""
    if isinstance(rnns, MixedRNNs):
        pairs = zip(rnns.groups, rnns.split(torch.arange(len(rnns))), strict=True)
        return [(group, own) for group, own in pairs if isinstance(group, RNNWeights)]
    assert isinstance(rnns, RNNWeights)
    return [(rnns, torch.arange(len(rnns)))]


def _behaviour(subjects: Subjects, left_out: dict[str, str]) -> Iterator[tuple[str, Array]]:
    asked = {"behaviour": (subjects.inputs, subjects.counts)}
    if subjects.outside is None:
        left_out["behaviour outside"] = "all inputs are random, as no zoo says what a task's are"
    else:
        asked["behaviour outside"] = subjects.outside, torch.ones(subjects.outside.shape[:2])
    for name, (inputs, counts) in asked.items():
        with torch.no_grad():
            own = inputs.expand(len(subjects.rnns), *inputs.shape).contiguous()
            outputs, _ = run_population(subjects.rnns, own)
        sound = _finite(outputs, name, "outputs", left_out)
        if len(sound) > 1:
            apart = output_distances(outputs[sound], subjects.output_kind, counts)
            yield name, _with_gaps(apart.numpy(), sound, len(outputs))


def _finite(parts: Iterable[Tensor], name: str, what: str, left_out: dict[str, str]) -> list[int]:
    """Return which RNNs have finite numbers, and say how many have not."""
    finite = [bool(part.isfinite().all()) for part in parts]
    if bad := finite.count(False):
        left_out[name] = f"{bad} RNNs have {what} that are not finite"
    return [place for place, sound in enumerate(finite) if sound]


def _with_gaps(distances: Array, rows: Sequence[int], count: int) -> Array:
    """Return distances of some of ``count`` RNNs among those of all, NaN of others."""
    found = np.full((count, count), np.nan)
    found[np.ix_(rows, rows)] = distances
    return found


def _states(subjects: Subjects, notes: list[str]) -> list[Tensor]:
    """Return the states of every RNN along the inputs, ``(S, T, n)`` each, in float64."""
    groups, inputs = _groups(subjects.rnns), subjects.inputs
    found: list[Tensor] = [torch.empty(0)] * len(subjects.rnns)
    step = sum(len(own) * state_size(group.spec) for group, own in groups)
    fit = max(_SETTLING, _NUMBERS // (step * inputs.shape[1]))
    if fit < len(inputs):
        inputs = inputs[:fit]
        notes.append(f"states are those of {fit} sequences: more would not fit in memory")
    for group, own in groups:
        exact = group.to(torch.float64)
        driven = inputs.double().expand(len(exact), *inputs.shape).contiguous()
        for place, states in zip(own.tolist(), states_along(exact, driven), strict=True):
            found[place] = states
    return found


def _representation(
    subjects: Subjects, states: Sequence[Tensor], generator: Generator, left_out: dict[str, str]
) -> Iterator[tuple[str, Array]]:
    steps, lengths = torch.arange(states[0].shape[1]), subjects.lengths[: len(states[0])]
    points = (steps < lengths[:, None]).flatten().nonzero()[:, 0]
    points = points[torch.randperm(len(points), generator=generator)[:_POINTS].sort().values]
    sound = _finite(states, "representation", "states", left_out)
    if len(sound) > 1:
        apart = representations([states[place].flatten(0, 1)[points] for place in sound])
        for name, distances in vars(apart).items():
            yield name.replace("_", " "), _with_gaps(distances.numpy(), sound, len(states))


def _dynamics(
    subjects: Subjects,
    states: Sequence[Tensor],
    settings: SimilaritySettings,
    left_out: dict[str, str],
) -> Iterator[tuple[str, Array]]:
    count, sound = len(states), _finite(states, "dsa", "states", left_out)
    lengths, how = subjects.lengths[: len(states[0])], (settings.delays, settings.rank)
    if (longest := int(lengths.max())) <= settings.delays:
        left_out["dsa"] = f"sequences of {longest} steps are too short for {settings.delays} delays"
    elif len(sound) > 1:
        fitted = [delay_operators(states[k][None], *how, lengths) for k in sound]
        yield "dsa", _with_gaps(operator_angles(torch.cat(fitted)).numpy(), sound, count)
    spectra: list[Tensor] = [torch.empty(0)] * count
    ends = lengths[:_SETTLING] - 1
    for group, own in _groups(subjects.rnns):
        starts = torch.stack([states[place][[*range(len(ends))], ends] for place in own.tolist()])
        found = settled_spectra(group.to(torch.float64), starts)
        for place, each in zip(own.tolist(), found, strict=True):
            spectra[place] = each
    sound = _finite(spectra, "jacobian spectra", "states without input", left_out)
    if len(sound) > 1:
        apart = spectral_distances([spectra[place] for place in sound])
        yield "jacobian spectra", _with_gaps(apart, sound, count)


def _weights(rnns: RNNs, left_out: dict[str, str], notes: list[str]) -> Iterator[tuple[str, Array]]:
    distances = np.full((len(rnns), len(rnns)), np.nan)
    groups, reasons, exact = _groups(rnns), list[str](), True
    for group, own in groups:
        if reason := no_weight_distance(group.spec):
            reasons.append(f"{reason} ({len(own)} RNNs)")
            continue
        measured = weight_distances(group)
        distances[np.ix_(own.tolist(), own.tolist())] = measured.distances.numpy()
        exact &= measured.exact or len(own) < 2
    if len(groups) > 1:
        reasons.append(f"RNNs of {len(groups)} cells and sizes: none between these")
    if reasons:
        left_out["weights"] = "; ".join(reasons)
    if np.isfinite(distances[~np.eye(len(rnns), dtype=bool)]).any():
        if not exact:
            notes.append("distances of weights are upper bounds: the best order is searched for")
        yield "weights", distances


def _embeddings(
    rnns: RNNs, read: dict[str, EmulationModule], left_out: dict[str, str]
) -> Iterator[tuple[str, Array]]:
    for name, module in read.items():
        called = f"embedding {name}"
        try:
            module.encoder.check(rnns)
        except ValueError as error:
            left_out[called] = str(error)
            continue
        embedded = embed(module.encoder, rnns).double()
        apart = torch.cdist(embedded, embedded, compute_mode="donot_use_mm_for_euclid_dist")
        yield called, apart.numpy()
