"""When to believe a basis of variable memories: figures of merit, and a verdict by fixed rules.

What reviewers of Karuvally, Delmastro, Siegelmann (2023, arXiv 2310.02430) asked for. The rules are
ours; their bounds were fixed on constructed circuits, exact and disturbed ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from wsrl.analysis.interventions import Interventions
from wsrl.analysis.spectra import lasting_eigenvalues, match_spectra
from wsrl.analysis.trajectories import LinearizedRNN
from wsrl.analysis.variable_bases import Grounding, LinearSystem, VariableBasis
from wsrl.analysis.variable_memory import Interactions

Verdict: TypeAlias = Literal["trusted", "doubtful", "no basis"]
Started: TypeAlias = Literal["inputs", "variables"]
Along: TypeAlias = Literal["fixed_point", "trajectories"]
Array: TypeAlias = NDArray[np.float64]

RIGHT = 0.9
"""Share of right signs from which on something is right."""

CONSTANT = 1e-10
"""States that vary by less than this part of their size do not vary: it is rounding."""


@dataclass(frozen=True)
class Rule:
    """A bound on a figure of ``Figures``, and what it means when it is passed.

    ``only`` says of which cases: a start, a way of linearising, a grounding; of all if it is empty.
    """

    figure: str
    bound: float
    at_least: bool
    says: str
    only: tuple[str, ...] = ()

    def broken(self, value: float | None) -> str | None:
        """Return the reason that a value gives, if it gives one; unknown values break no rule."""
        if value is None or (value >= self.bound if self.at_least else value <= self.bound):
            return None
        relation = "below" if self.at_least else "above"
        return f"{self.says} ({self.figure} {value:.3g}, {relation} {self.bound:g})"


FIXED, ALONG = ("fixed_point",), ("trajectories",)
INPUTS_PLACED = ("variables", *ALONG)

RULES = (
    Rule("fixed_point_residual", 1e-6, False, "linearised where it does not stand still", FIXED),
    Rule("condition_number", 1000.0, False, "the memories hardly differ"),
    Rule("spectral_error", 0.02, False, "eigenvalues turn by other angles than the task's"),
    Rule("explained_variance", 0.9, True, "the hidden state holds more than the variables"),
    Rule("linearization_error", 0.5, False, "the RNN is too far from linear"),
    Rule("interaction_error", 1.0, False, "Psi^* A Psi is further from Phi than from nothing"),
    Rule("shift_error", 0.5, False, "a value does not travel on", ("wave",)),
    Rule("boundary_error", 0.5, False, "the boundary is not the task", ("wave",)),
    Rule("step_error", 0.7, False, "a variable does not move as the task says"),
    Rule("variables_read_first", RIGHT, True, "a variable is misread after the input", ("inputs",)),
    Rule("variables_read", RIGHT, True, "a variable is misread while the RNN runs on its own"),
    Rule("output_right", RIGHT, True, "the RNN's own output is not the task's"),
    Rule("input_error", 0.5, False, "an input is not where it should be", INPUTS_PLACED),
    Rule("flip_right", RIGHT, True, "outputs do not follow a changed variable", ALONG),
    Rule("flip_kept", RIGHT, True, "a changed variable changes other outputs", ALONG),
    Rule("exchange_right", RIGHT, True, "outputs do not follow the variables", ALONG),
    Rule("random_right", 0.5, False, "random changes do as much as those of a variable", ALONG),
)
"""What a trusted basis keeps to; where one is broken it is doubtful.

The input phase is judged by what is read after it, or, where the RNN was started in its variables,
by ``input_error``; along trajectories by both.

There is no basis at all where the number of lasting eigenvalues is not that of the task's, where
the memories depend on each other, or where none could be found. Bounds on accuracies are for the
worst variable or output, so that a single wrong one counts whatever their number.
"""


@dataclass(frozen=True)
class Case:
    """An RNN, a task, and the basis of the task's variables in the RNN, or why there is none.

    ``system`` is what the basis was derived from, by its ``grounding``: ``rnn.system``, or with
    unit moduli. Above the threshold an eigenvalue lasts.
    """

    rnn: LinearizedRNN
    interactions: Interactions
    threshold: float
    system: LinearSystem
    grounding: Grounding
    basis: VariableBasis | None = None
    why_none: str = ""

    @property
    def along(self) -> Along:
        """How the RNN was linearised."""
        return "fixed_point" if self.rnn.transported is None else "trajectories"


@dataclass(frozen=True)
class Figures:
    """Figures of merit of a basis; None where one does not exist. Errors are relative.

    Shares of right signs are those of the worst variable or output, or the mean over them.
    """

    rank_found: int  # lasting eigenvalues of the whole A
    rank_expected: int  # those of the reduced Phi
    spectral_error: float | None = None  # mean absolute difference of their angles, in radians
    modulus_error: float | None = None  # the same of their moduli
    condition_number: float | None = None  # of Psi
    interaction_error: float | None = None  # |Psi^* A Psi - Phi| / |Phi| (Frobenius)
    shift_error: float | None = None  # the same of the worst row that is a shift
    boundary_error: float | None = None  # of the worst that makes a newest value
    input_error: float | None = None  # largest column of Psi^* B less what writes the newest vector
    readout_error: float | None = None  # |C Psi - R| / |R|, R being the task's readout
    explained_variance: float | None = None  # of the states, by h - Psi Psi^* h
    distance: float | None = None  # of the states from the fixed point, root mean square a neuron
    linearization_error: float | None = None  # a step of the RNN against one of A
    fixed_point_residual: float | None = None  # |F(x*) - x*|
    step_error: float | None = None  # a step of the worst variable read, against Phi
    variables_read_first: float | None = None  # after the input, where the RNN reads one
    variables_read: float | None = None  # over the output phase
    mean_variables_read_first: float | None = None
    mean_variables_read: float | None = None
    output_right: float | None = None
    mean_output_right: float | None = None  # the accuracy
    flip_right: float | None = None  # these are of ``Interventions``
    flip_kept: float | None = None
    exchange_right: float | None = None
    random_right: float | None = None


def measure(case: Case, states: Array, outputs: Array, truth: Array, from_inputs: bool) -> Figures:
    """Return all figures of merit, of an RNN that runs without input.

    ``states`` are ``(S, 1 + T, n)``, the outputs after each step ``(S, T, d)``, ``truth`` is
    ``u(t - s + 1..t)`` at each state, ``(S, 1 + T, s d)``. ``from_inputs`` says whether the first
    state is one that the input phase led to.
    """
    rnn, task, basis = case.rnn, case.interactions, case.basis
    matrices = rnn.system.recurrent, task.reduced
    match = match_spectra(*(lasting_eigenvalues(a, case.threshold) for a in matrices))
    away = states - rnn.point
    step = states[:, 1:] - rnn.image - away[:, :-1] @ rnn.system.recurrent.T
    output, worst_output = signs_right(outputs, truth[:, 1:, -task.dims :])
    figures: dict[str, Any] = {
        "spectral_error": match.error,
        "modulus_error": match.modulus,
        "distance": _known(np.sqrt(np.square(away).mean())),
        "linearization_error": _ratio(step, away[:, 1:]),
        "fixed_point_residual": _known(rnn.residual),
        "output_right": worst_output,
        "mean_output_right": output,
    }
    if basis is not None:
        figures |= _basis_figures(basis, case.system, task)
        figures |= _reading_figures(basis, task, away, truth[..., task.kept], from_inputs)
        figures["explained_variance"] = explained_variance(basis.residual(away), away)
    return Figures(match.found, match.expected, **figures)


def _basis_figures(
    basis: VariableBasis, system: LinearSystem, task: Interactions
) -> dict[str, float | None]:
    phi, newest = task.reduced, np.zeros((task.rank, task.dims))
    newest[task.newest_places, task.newest] = 1
    written = basis.read(system.input.T).T
    found = basis.interactions(system.recurrent)
    rows = np.linalg.norm(found - phi, axis=1) / np.linalg.norm(phi, axis=1)
    shifted = np.delete(rows, task.newest_places)
    return {
        "condition_number": _known(basis.condition),
        "interaction_error": _ratio(found - phi, phi),
        "shift_error": _known(shifted.max(initial=0.0)),
        "boundary_error": _known(rows[task.newest_places].max()),
        "input_error": _known(np.linalg.norm(written - newest, axis=0).max()),
        "readout_error": _ratio(system.readout @ basis.memories - task.readout, task.readout),
    }


def _reading_figures(
    basis: VariableBasis, task: Interactions, away: Array, truth: Array, from_inputs: bool
) -> dict[str, float | None]:
    """Return the figures of reading variables, ``truth (S, 1 + T, r)``, in states."""
    read = basis.read(away)
    first, worst_first = signs_right(read[:, :1], truth[:, :1])
    mean, worst = signs_right(read[:, 1:], truth[:, 1:])
    error = np.square(read[:, 1:] - read[:, :-1] @ task.reduced.T).mean((0, 1))
    size = np.square(read[:, 1:]).mean((0, 1))
    # A variable that is always zero is a wrong one.
    steps = np.sqrt(np.divide(error, size, out=np.full_like(error, np.inf), where=size > 0))
    return {
        "step_error": _known(steps.max()),
        "variables_read_first": worst_first if from_inputs else None,
        "mean_variables_read_first": first if from_inputs else None,
        "variables_read": worst,
        "mean_variables_read": mean,
    }


def explained_variance(residual: Array, states: Array) -> float | None:
    """Return the share of the variance of ``states (..., n)`` that is not in the residual."""
    flat = (values.reshape(-1, values.shape[-1]) for values in (residual, states))
    rest, whole = (rows - rows.mean(0) for rows in flat)
    unexplained = _ratio(rest, whole)
    if unexplained is None or np.linalg.norm(whole) < CONSTANT * np.linalg.norm(states):
        return None
    return 1 - unexplained**2


def worst(found: Sequence[Interventions]) -> dict[str, float | None]:
    """Return the worst of interventions at several times, as figures; None is worse than all."""
    names = [field.name for field in fields(Interventions)]
    values = {name: [getattr(one, name) for one in found] for name in names}
    at_least = {rule.figure: rule.at_least for rule in RULES}
    return {
        name: None if None in some or not some else (min if at_least[name] else max)(some)
        for name, some in values.items()
    }


def judge(figures: Figures, case: Case, start: Started) -> tuple[Verdict, tuple[str, ...]]:
    """Return the verdict on a basis, and the reasons against trusting it."""
    reasons = []
    if figures.spectral_error is None:
        reasons.append(f"rank mismatch: {figures.rank_found} against {figures.rank_expected}")
    if case.basis is None:
        reasons.append(case.why_none)
    elif figures.condition_number is None:
        reasons.append("the memories depend on each other")
    if reasons:
        return "no basis", tuple(reasons)
    kinds = {start, case.along, case.grounding}
    rules = [rule for rule in RULES if not rule.only or kinds & set(rule.only)]
    values = {rule: getattr(figures, rule.figure) for rule in rules}
    reasons = [reason for rule, value in values.items() if (reason := rule.broken(value))]
    unknown = [rule.figure for rule, value in values.items() if value is None]
    if unknown and not reasons:
        reasons.append(f"not to be had, since values were zero or not finite: {', '.join(unknown)}")
    return ("doubtful" if reasons else "trusted"), tuple(reasons)


def signs_right(values: Array, truth: Array) -> tuple[float, float]:
    """Return the share of right signs, ``(S, T, m)``, mean and worst of ``m``; 0 does not count."""
    counts = (truth != 0).sum((0, 1))
    right = (np.sign(values) == np.sign(truth)) & (truth != 0)
    shares = right.sum((0, 1)) / np.maximum(counts, 1)
    told = shares[counts > 0]
    return (float(told.mean()), float(told.min())) if len(told) else (0.0, 0.0)


def _ratio(part: Array, whole: Array) -> float | None:
    size = np.linalg.norm(whole)
    return _known(np.linalg.norm(part) / size) if size > 0 else None


def _known(value: Any) -> float | None:
    """Return a finite number, else None."""
    return float(value) if value is not None and np.isfinite(value) else None
