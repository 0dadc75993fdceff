"""What an RNN performs: its own score, running freely, on the tasks of the zoo."""

from functools import partial

import torch
from torch import Tensor

from wsrl.problems import Problem
from wsrl.rnn import (
    PreparedPopulation,
    RNNs,
    RNNSpec,
    State,
    with_initial_values,
)
from wsrl.studies.inspection.records import Skill

ENOUGH = 0.15
"""Share of the range between chance and 1 by which an RNN must exceed chance to perform a task."""

MOST = 256
"""Tasks that are tried; of a zoo with more, those that the embedding suggests."""

_SCREENED, _FINAL = 64, 512
_FINALISTS = 8
_UNTRAINED = 16
_AT_ONCE = 64


@torch.no_grad()
def find_skill(problem: Problem, rnn: RNNs, tasks: Tensor, untrained: RNNSpec) -> Skill:
    """Let one RNN run freely and score it on candidate tasks.

    All ``(C, K)`` are tried on a few sequences; the best of them on many others, beside RNNs of
    the spec ``untrained`` with random weights: the empty string, say, is in a language, and nobody
    needs training to write it.
    """
    if not problem.scores_clones:
        return Skill(None, "not measured: the zoo's problem does not say what its tasks are")
    try:
        problem.prepare()
    except (ValueError, OSError) as error:
        return Skill(None, f"not measured: {error}")
    screened = score_models(problem, _copies(rnn, len(tasks)), tasks, _SCREENED, 0)
    finalists = tasks[screened.argsort(descending=True, stable=True)[:_FINALISTS]]
    scores = score_models(problem, _copies(rnn, len(finalists)), finalists, _FINAL, 1)
    chances = _chances(problem, untrained, finalists, 2)
    above = (scores - chances) / (1 - chances).clamp(min=1e-6)
    best = int(above.argmax())
    task, score, chance = tuple(finalists[best].tolist()), float(scores[best]), float(chances[best])
    name, performs = problem.task_name(task), float(above[best]) >= ENOUGH
    none = f"performs none of {len(tasks)} tasks of the zoo; nearest to it is {name}"
    none += f": score {score:.2f}, where untrained RNNs reach {chance:.2f}"
    text = problem.score_text(task, score) if performs else none
    return Skill(performs, text, task, name, score, chance, len(tasks))


def score_models(problem: Problem, weights: RNNs, tasks: Tensor, samples: int, seed: int) -> Tensor:
    """Return the scores of ``B`` RNNs on a task each, ``(B, K)``; what is not defined counts as 0.

    All draw the same numbers.
    """
    scores = []
    for part in torch.arange(len(tasks)).split(_AT_ONCE):
        own = weights[part]
        run = partial(_run, PreparedPopulation(own), own.dtype)
        generators = [torch.Generator().manual_seed(seed) for _ in range(len(part))]
        scores.append(problem.clone_scores(run, tasks[part], samples, generators))
    return torch.cat(scores).double().nan_to_num(nan=0.0)


def _run(
    models: PreparedPopulation, dtype: torch.dtype, inputs: Tensor, state: State | None
) -> tuple[Tensor, State]:
    return models(inputs.to(dtype), state)


def _chances(problem: Problem, spec: RNNSpec, tasks: Tensor, seed: int) -> Tensor:
    """Return the best score on each task ``(C,)`` of RNNs as ``torch.nn`` initialises them."""
    generator = torch.Generator().manual_seed(seed)
    flat = 2 * torch.rand(_UNTRAINED, spec.num_parameters, generator=generator) - 1
    untrained = with_initial_values(spec, flat / spec.hidden_size**0.5)
    each = torch.arange(_UNTRAINED).repeat_interleave(len(tasks))
    tasks = tasks.repeat(_UNTRAINED, 1)
    scores = score_models(problem, untrained[each], tasks, _SCREENED, seed)
    return scores.view(_UNTRAINED, -1).amax(0)


def _copies(rnn: RNNs, count: int) -> RNNs:
    return rnn[torch.zeros(count, dtype=torch.int64)]
