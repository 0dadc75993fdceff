"""How well an emulator does what an RNN does."""

from __future__ import annotations

import torch
from torch import Tensor

from wsrl.analysis.calibration import Placement
from wsrl.problems import Problem
from wsrl.rnn import RNNWeights, run_population
from wsrl.studies.inspection.records import Imitation
from wsrl.tasks import EmulationModule
from wsrl.tasks.losses import get_loss
from wsrl.tasks.metrics import EMULATION_METRICS

SEQUENCES = 16
"""How many sequences an imitation is measured on."""


def imitation_metric(module: EmulationModule) -> str:
    """Name what imitations are measured by: the loss that checkpoints are chosen by."""
    return EMULATION_METRICS[module.output_kind][0]


def imitation_error(
    module: EmulationModule, embedding: Tensor, inputs: Tensor, answers: Tensor
) -> Tensor:
    """Return how far the emulator is from ``B`` RNNs on ``inputs (B, S, T, I)``: ``(B,)``.

    Args:
        module: with the emulator.
        embedding: ``(B, D)``, of the RNNs.
        inputs: what they read.
        answers: what they answered, ``(B, S, T, O)``.
    """
    metric = get_loss(imitation_metric(module), module.output_kind)
    return metric(module.emulate(embedding, inputs), answers).mean((1, 2))


def imitate(
    module: EmulationModule,
    problem: Problem,
    weights: RNNWeights,
    embedding: Tensor,
    probes: Tensor,
    on_probes: Tensor,
    on_own: Tensor,
) -> Imitation:
    """Compare the emulator with one RNN, on the zoo's sequences and on those that it writes.

    Args:
        module: with the emulator.
        problem: knows whether RNNs write sequences.
        weights: the RNN, ``(1, N)``.
        embedding: its own, ``(1, D)``.
        probes: the zoo's sequences as inputs, ``(S, T, I)``.
        on_probes: ``(i,)``, the error on these of validation RNNs.
        on_own: ``(i,)``, that on the sequences stored with each.
    """

    def error(inputs: Tensor) -> float:
        answers, _ = run_population(weights, inputs)
        return float(imitation_error(module, embedding, inputs, answers))

    written = problem.write_sequences(
        lambda inputs, state: run_population(weights, inputs, state),
        SEQUENCES,
        torch.Generator().manual_seed(0),
    )
    own = None
    if written is not None:
        own = Placement.among(error(problem.encode(written)), on_own)
    return Imitation(imitation_metric(module), Placement.among(error(probes[None]), on_probes), own)
