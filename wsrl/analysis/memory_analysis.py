"""Variable memories of RNNs, found, read and judged: the whole analysis."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from wsrl.analysis import trust
from wsrl.analysis.along_trajectories import measure_along, settled_system
from wsrl.analysis.spectra import THRESHOLD, Matrix, NoBasisError
from wsrl.analysis.trajectories import (
    LinearizedRNN,
    fit_rnns,
    linearize_rnns,
    run_freely,
    states_after,
)
from wsrl.analysis.variable_bases import (
    Dual,
    Grounding,
    check_sizes,
    variable_basis,
    with_unit_moduli,
)
from wsrl.analysis.variable_memory import Interactions
from wsrl.rnn import RNNWeights
from wsrl.validation import checked

Moduli: TypeAlias = Literal["found", "unit"]
"""Of the lasting eigenvalues, when a basis is derived: as they are, or all 1."""

Start: TypeAlias = Literal["auto", "inputs", "variables"]
AnyGrounding: TypeAlias = Literal["auto", Grounding]
Along: TypeAlias = Literal["auto", trust.Along]
Array: TypeAlias = NDArray[np.float64]

CONNECTED = 0.1  # up to these errors input and output are taken to write and read the newest vector

COMPOSED = 0.8
"""From this cosine on, over sequences, a variable is taken to be what a circuit composes."""

_ORDER: dict[trust.Verdict, int] = {"no basis": 0, "doubtful": 1, "trusted": 2}

_Count = Annotated[int, Field(ge=1)]


@checked
class MemorySettings:
    """How RNNs are analysed.

    Attributes:
        grounding: ``output``, ``input``, ``observability`` or ``wave``; see ``variable_basis``. Or
            ``auto``: ``output`` at a fixed point, ``observability`` along trajectories.
        along: where RNNs are linearised: at a ``fixed_point``, as published, or along
            ``trajectories`` after the input (ours), which takes a horizon above ``s``. Or ``auto``:
            at a fixed point, and along trajectories those that are not trusted so; what is reported
            is the better verdict, and the fixed point's if they are the same.
        dual: ``eigenspace`` or ``pseudo_inverse``; see there. The default is not the paper's.
        moduli: ``found``, or ``unit``: the basis is derived, and its interactions are judged, with
            lasting eigenvalues moved to the unit circle; see ``with_unit_moduli``.
        threshold: modulus above which an eigenvalue lasts.
        start: ``inputs``: the RNN receives ``s`` random vectors, as it was trained to. Or
            ``variables``: it is started at ``x* + Psi u(1..s)``, which says nothing of its input
            phase (a linear RNN can have one only for tasks that copy the oldest vector). Or
            ``auto``: from inputs, or from variables where it composes while it receives inputs.
            Along trajectories RNNs start from inputs.
        horizon: steps that it then runs on its own.
        sequences: how many it is started with.
        seed: of their values -1 and 1.

    Raises:
        ValueError: for values out of range.
    """

    grounding: AnyGrounding = "auto"
    along: Along = "auto"
    dual: Dual = "eigenspace"
    moduli: Moduli = "found"
    threshold: Annotated[float, Field(gt=0, lt=1)] = THRESHOLD
    start: Start = "auto"
    horizon: _Count = 200
    sequences: _Count = 32
    seed: Annotated[int, Field(ge=0)] = 0


@dataclass(frozen=True, kw_only=True)
class MemoryAnalysis(trust.Case):
    """What was found in one RNN, beside the task and the basis (``trust.Case``).

    It was started by ``inputs`` or in its ``variables``. Of the output phase, from its start on,
    ``states (S, 1 + T, n)`` are relative to the fixed point, and ``truth (S, 1 + T, s d)`` has the
    values ``u(t - s + 1..t)`` of the task. ``reasons`` are those against trusting it.
    """

    figures: trust.Figures
    verdict: trust.Verdict
    reasons: tuple[str, ...]
    start: trust.Started
    states: Array
    truth: Array


def analyze_memory(
    weights: RNNWeights,
    tasks: Sequence[Matrix | Interactions],
    settings: MemorySettings | None = None,
) -> list[MemoryAnalysis]:
    """Look for the variables of tasks in RNNs, and say whether to believe what is found.

    Everything is computed in float64. All states are held at once: ``B S (1 + T) n`` numbers.

    Args:
        weights: ``B`` RNNs.
        tasks: ``f (d, s d)`` of each, or its interactions; all of one ``s`` and ``d``.
        settings: how.

    Raises:
        ValueError: for weights that are not finite, as many tasks as there are not RNNs, tasks of
            different sizes, inputs and outputs that do not fit them, or settings that exclude each
            other.

    >>> from wsrl.analysis.episodic_memory import circuit
    >>> from wsrl.analysis.variable_memory import Interactions
    >>> task = Interactions.of_task(np.eye(1, 2))  # repeat the number before the last
    >>> (analysis,) = analyze_memory(circuit(task, np.eye(task.rank)), [task])
    >>> analysis.verdict
    'trusted'
    """
    settings = settings or MemorySettings()
    known = [
        task if isinstance(task, Interactions) else Interactions.of_task(task) for task in tasks
    ]
    _check(weights, known)
    long = settings.horizon > known[0].steps and settings.start != "variables"
    if settings.along == "trajectories" and not long:
        raise ValueError(
            f"along trajectories RNNs start from inputs and run for more than {known[0].steps} "
            f"steps (s), not from {settings.start} for {settings.horizon}"
        )
    weights = weights.to("cpu", torch.float64)
    shape = (settings.sequences, known[0].steps, known[0].dims)
    inputs = np.random.default_rng(settings.seed).choice([-1.0, 1.0], shape)
    if settings.along == "trajectories":
        return _along_trajectories(weights, known, inputs, settings)
    analyses = _at_fixed_points(weights, known, inputs, settings)
    auto = settings.along == "auto" and long
    rows = [row for row, one in enumerate(analyses) if auto and one.verdict != "trusted"]
    if rows:
        own = [known[row] for row in rows]
        again = _along_trajectories(weights[torch.tensor(rows)], own, inputs, settings)
        for row, analysis in zip(rows, again, strict=True):
            analyses[row] = max(analyses[row], analysis, key=lambda one: _ORDER[one.verdict])
    return analyses


def _at_fixed_points(
    weights: RNNWeights, known: Sequence[Interactions], inputs: Array, settings: MemorySettings
) -> list[MemoryAnalysis]:
    """Analyse RNNs of tasks, linearised where they stand still, on ``inputs (S, s, d)``."""
    after = states_after(weights, torch.from_numpy(inputs).expand(len(weights), *inputs.shape))
    rnns = linearize_rnns(weights, after)
    cases = [_find(rnn, own, settings) for rnn, own in zip(rnns, known, strict=True)]
    values = inputs.reshape(len(inputs), -1)
    if settings.start == "variables":
        return _run(weights, cases, values, settings)
    analyses = _run(weights, cases, values, settings, after)
    auto = settings.start == "auto"
    rows = [row for row, a in enumerate(analyses) if auto and _composes_early(a, values)]
    if rows:
        again = _run(weights[torch.tensor(rows)], [cases[row] for row in rows], values, settings)
        for row, analysis in zip(rows, again, strict=True):
            analyses[row] = analysis
    return analyses


def _along_trajectories(
    weights: RNNWeights, known: Sequence[Interactions], inputs: Array, settings: MemorySettings
) -> list[MemoryAnalysis]:
    """Analyse RNNs of tasks along trajectories, fitted on other sequences than ``inputs``."""
    fitted = np.random.default_rng([settings.seed, 1]).choice([-1.0, 1.0], inputs.shape)
    rnns = fit_rnns(weights, torch.from_numpy(fitted), settings.horizon)
    cases = [_find(rnn, own, settings) for rnn, own in zip(rnns, known, strict=True)]
    after = states_after(weights, torch.from_numpy(inputs).expand(len(weights), *inputs.shape))
    return _run(weights, cases, inputs.reshape(len(inputs), -1), settings, after)


def _composes_early(analysis: MemoryAnalysis, values: Array) -> bool:
    """Say whether an RNN is doubtful only since it composes while it receives ``values (S, s d)``.

    The linear circuit of a task does so unless it copies the oldest vector; the RNN must agree.
    """
    task, basis = analysis.interactions, analysis.basis
    if analysis.verdict != "doubtful" or basis is None:
        return False
    errors = analysis.figures.input_error, analysis.figures.readout_error
    connected = all(error is not None and error <= CONNECTED for error in errors)
    held, read = task.composed(values), basis.read(analysis.states[:, 0])
    sizes, ours = (np.linalg.norm(some, axis=0) for some in (held, read))
    alike = ((held * read).sum(0) >= COMPOSED * sizes * ours) & (ours >= CONNECTED * sizes)
    return connected and bool(alike.all()) and not np.array_equal(held, values[:, task.kept])


def _run(
    weights: RNNWeights,
    cases: Sequence[trust.Case],
    values: Array,
    settings: MemorySettings,
    driven: Tensor | None = None,
) -> list[MemoryAnalysis]:
    """Run RNNs freely from ``driven (B, S, n)``, or where they hold ``values (S, s d)``; report."""
    start: trust.Started = "inputs"
    if driven is None:
        start = "variables"
        driven = torch.from_numpy(np.stack([_placed(case, values) for case in cases]))
    runs = (part.numpy() for part in run_freely(weights, driven, settings.horizon))
    analyses = []
    for row, (case, states, outputs) in enumerate(zip(cases, *runs, strict=True)):
        truth = case.interactions.follow(values, settings.horizon)
        with np.errstate(over="ignore", invalid="ignore"):
            if case.along == "trajectories":
                figures = measure_along(weights[row : row + 1], case, states, outputs, truth)
            else:
                figures = trust.measure(case, states, outputs, truth, start == "inputs")
        verdict, reasons = trust.judge(figures, case, start)
        seen: dict[str, Any] = {"states": states - case.rnn.point, "truth": truth, "start": start}
        judged: dict[str, Any] = {"figures": figures, "verdict": verdict, "reasons": reasons}
        analyses.append(MemoryAnalysis(**vars(case), **judged, **seen))
    return analyses


def _check(weights: RNNWeights, known: Sequence[Interactions]) -> None:
    sizes = {(task.steps, task.dims) for task in known}
    if len(known) != len(weights) or len(sizes) != 1:
        raise ValueError(
            f"a task for each of {len(weights)} RNNs, all of one size: {len(known)} tasks with "
            f"(s, d) of {sorted(sizes)}"
        )
    check_sizes(weights.spec.input_size, weights.spec.output_size, known[0])
    if not weights.flat.isfinite().all():
        raise ValueError("the weights are not all finite")


def _find(rnn: LinearizedRNN, task: Interactions, settings: MemorySettings) -> trust.Case:
    """Look for a basis in an RNN that was linearised."""
    system, grounding = rnn.system, settings.grounding
    if rnn.transported is not None:
        system = settled_system(rnn, task)
    if grounding == "auto":
        grounding = "output" if rnn.transported is None else "observability"
    case = trust.Case(rnn, task, settings.threshold, system, grounding)
    try:
        if settings.moduli == "unit":
            case = replace(case, system=with_unit_moduli(system, settings.threshold))
        found = variable_basis(case.system, task, grounding, settings.dual, settings.threshold)
        return replace(case, basis=found)
    except NoBasisError as error:
        return replace(case, why_none=str(error))


def _placed(case: trust.Case, values: Array) -> Array:
    """Return the states ``(S, n)`` at which an RNN holds the values; the point if none can."""
    point, basis = case.rnn.point, case.basis
    if basis is None:
        return np.broadcast_to(point, (len(values), len(point)))
    return np.asarray(point + values[:, case.interactions.kept] @ basis.memories.T)
