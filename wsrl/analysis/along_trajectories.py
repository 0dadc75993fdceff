"""Bases of variables judged along trajectories: by predictions on sequences that were not fitted.

An RNN whose neurons saturate is not linear at its fixed point. It is enough that one linear map
predicts its next state at every step. From ``s`` steps after the input on, variables are read by
the basis of that map. At earlier steps each is read where its input was transported to. The basis
is fitted on other sequences than those on which it is judged.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsrl.analysis.interventions import intervene
from wsrl.analysis.trajectories import LinearizedRNN
from wsrl.analysis.trust import RIGHT, Case, Figures, measure, signs_right, worst
from wsrl.analysis.variable_bases import CUTOFF, LinearSystem, VariableBasis
from wsrl.analysis.variable_memory import Interactions
from wsrl.rnn import RNNWeights

Array = NDArray[np.float64]


def settled_system(rnn: LinearizedRNN, task: Interactions) -> LinearSystem:
    """Return the system with the newest inputs where they have arrived ``s`` steps after the input.

    Transported on for ``s`` steps, all of a vector's numbers are where ``Phi^s`` moved them from;
    so ``B`` is what was transported, moved back by ``Phi^-s``. Inputs that do not matter write
    nothing.
    """
    assert rnn.transported is not None
    back = np.linalg.matrix_power(np.linalg.pinv(task.reduced), task.steps)
    inward = np.zeros_like(rnn.system.input)
    inward[:, task.newest] = (rnn.transported[1][:, task.kept] @ back)[:, task.newest_places]
    return replace(rnn.system, input=inward)


def measure_along(
    weights: RNNWeights, case: Case, states: Array, outputs: Array, truth: Array
) -> Figures:
    """Return the figures of merit of a basis, of one RNN linearised along trajectories.

    They are those of ``measure`` from ``s`` steps after the input on, but for ``output_right``,
    which is of all steps; ``variables_read_first``, where variables right after the input are read
    by the pseudo-inverse of what inputs were transported to; ``input_error``, of where all inputs
    have arrived ``s`` steps later; and interventions right after the input, ``s`` steps later and
    half-way, of which the worst counts. There are interventions only where the output is right and
    the number of lasting eigenvalues is the task's. Right after the input, the size of a content is
    that of the input; later it is what the basis reads. The shapes are those of ``measure``.
    """
    task, basis, transported = case.interactions, case.basis, case.rnn.transported
    assert transported is not None
    settled, middle = task.steps, (task.steps + outputs.shape[1]) // 2
    figures = measure(case, states[:, settled:], outputs[:, settled:], truth[:, settled:], True)
    mean, least = signs_right(outputs, truth[:, 1:, -task.dims :])
    figures = replace(figures, output_right=least, mean_output_right=mean)
    if basis is None:
        return figures
    away, placed = states - case.rnn.point, transported[0][:, task.kept]
    first = VariableBasis(placed, np.linalg.pinv(placed, rcond=CUTOFF))
    due = np.linalg.matrix_power(task.full, settled)[task.kept]
    arrived = np.linalg.norm(basis.read(transported[1].T).T - due, axis=0).max()
    mean, least = signs_right(first.read(away[:, :1]), truth[:, :1, task.kept])
    right = (figures.output_right or 0) >= RIGHT
    fit = right and figures.spectral_error is not None and basis.condition is not None
    times = [
        (0, placed, truth[:, 0, task.kept]),
        (settled, basis.memories, basis.read(away[:, settled])),
        (middle, basis.memories, basis.read(away[:, middle])),
    ]
    changed = [
        intervene(weights, memories, task, states[:, time], held, truth[:, time])
        for time, memories, held in (times if fit else [])
    ]
    said: dict[str, Any] = {
        "input_error": float(arrived) if np.isfinite(arrived) else None,
        "variables_read_first": least,
        "mean_variables_read_first": mean,
        **worst(changed),
    }
    return replace(figures, **said)
