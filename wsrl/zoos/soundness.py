"""Whether what a zoo stores fits together: labels, and outputs recomputed from weights."""

from collections.abc import Mapping

import torch
from torch import Tensor

from wsrl.rnn import run_population
from wsrl.zoos.manifest import ZooError
from wsrl.zoos.store import Zoo

ABSOLUTE, RELATIVE = 2e-3, 1e-3
"""Tolerance of every recomputed output: stored ones are float16, whose relative step is 1e-3."""

ROUNDED_INPUTS = 0.05
"""Tolerance where stored inputs are rounded and the RNN read the exact ones, as in the published
MNIST zoos (inputs float32, stored as float16): what an error grows to depends on the RNN, so a
snapshot's errors are judged together. Their root mean square may be ``ABSOLUTE`` and this share of
the outputs' standard deviation. In the sample written by the official script it is at most 0.002
of it (single outputs differ by up to 0.083); with two gates swapped, 0.39 and more once trained."""


@torch.no_grad()
def output_error(zoo: Zoo, rows: Tensor, count: int) -> float:
    """Recompute the outputs of snapshots ``(B,)`` on their first ``count`` stored sequences.

    Returns the largest absolute error, of log-probabilities where outputs are categorical; a
    ``ZooError`` says that stored outputs do not follow from the weights, within the tolerance.
    """
    sequences, stored = zoo.read_sequences(rows, torch.arange(count).expand(len(rows), count))
    outputs, _ = run_population(zoo.read_weights(rows), zoo.problem.encode(sequences))
    least, stored = torch.finfo(stored.dtype).min, stored.float()
    if zoo.problem.output_kind == "categorical":
        outputs, stored = outputs.log_softmax(-1).clamp(min=least), stored.log_softmax(-1)
    error, outputs = (outputs - stored).abs().flatten(1), outputs.flatten(1)
    if _has_rounded_inputs(zoo):
        spread = outputs.std(1, correction=0)
        right = error.square().mean(1).sqrt() <= ABSOLUTE + ROUNDED_INPUTS * spread
    else:
        right = (error <= ABSOLUTE + RELATIVE * outputs.abs()).all(1)
    if not right.all():  # as where a stored output is NaN
        snapshot = rows[~right][:1]
        run, step = zoo.read("run", snapshot).item(), zoo.read("step", snapshot).item()
        raise ZooError(
            f"stored outputs of {int((~right).sum())} snapshots do not follow from their weights "
            f"in the zoo at {zoo.path}, first run {run}, step {step}: largest error "
            f"{error[~right].max():.3g}; {tolerance(zoo)}"
        )
    return float(error.max())


def tolerance(zoo: Zoo) -> str:
    """Return what recomputed outputs are compared with, to read."""
    if _has_rounded_inputs(zoo):
        what = "a snapshot's root mean square error"
        return f"{what} may be {ABSOLUTE} + {ROUNDED_INPUTS} x the outputs' standard deviation"
    return f"each may be {ABSOLUTE} + {RELATIVE} x the output"


def _has_rounded_inputs(zoo: Zoo) -> bool:
    floating = zoo.columns["sequences"].torch_dtype.is_floating_point
    return zoo.manifest.origin == "official" and floating


def failed_runs(finite: Tensor, columns: Mapping[str, Tensor]) -> dict[str, int]:
    """Return the runs of which something is not finite, with the first step at which that is."""
    failed: dict[str, int] = {}
    for run, step in torch.stack([columns["run"], columns["step"]], 1)[~finite].tolist():
        failed[str(run)] = min(step, failed.get(str(run), step))
    return failed


def check_labels(where: object, columns: Mapping[str, Tensor]) -> None:
    """Check ``run`` and ``step`` ``(n,)`` and ``task (n, K)``: one task a run, each step once."""
    pairs = torch.stack([columns["run"], columns["step"]], 1)
    if pairs.min() < 0:
        raise ZooError(f"{where} has negative runs or steps")
    found, counts = pairs.unique(dim=0, return_counts=True)
    for run, step in found[counts > 1].tolist():
        raise ZooError(f"{where} has several snapshots of run {run} at step {step}")
    runs, index = pairs[:, 0].unique(return_inverse=True)
    tasks = columns["task"].nan_to_num()
    of_run = torch.empty((len(runs), *tasks.shape[1:]), dtype=tasks.dtype)
    of_run[index] = tasks  # any snapshot's: all have to agree with it
    for run in pairs[(of_run[index] != tasks).any(1), 0].tolist():
        raise ZooError(f"{where} has runs whose task changes between snapshots, as run {run}")
