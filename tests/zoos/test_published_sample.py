"""Our runtime, alphabet and acceptor agree with what the official script wrote."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from wsrl.problems import FormalLanguages
from wsrl.rnn import RNNWeights, run_population

DATA = Path(os.environ.get("WSRL_DATA", Path(__file__).parents[3] / "shared" / "data"))
FOLDER = DATA / "official" / "formal_languages"
PROBLEM = FormalLanguages()

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no official sample at {FOLDER}")


def column(name: str) -> Tensor:
    return torch.from_numpy(np.load(FOLDER / f"{name}.npy"))


def sequences() -> Tensor:
    return column("sequences").long()


def test_stored_log_probabilities_follow_from_the_weights() -> None:
    stored = sequences()
    # The official script overwrites the first token of a string that never ends by EOS.
    endless = ~(stored[:, :, 1:] == PROBLEM.eos).any(2)
    assert torch.equal(stored[:, :, 0] != PROBLEM.bos, endless)
    stored[:, :, 0] = PROBLEM.bos
    weights = RNNWeights(column("parameters"), PROBLEM.spec("lstm", 32, 2))
    outputs, _ = run_population(weights, PROBLEM.encode(stored))
    written = column("logits").float()
    torch.testing.assert_close(outputs.log_softmax(-1), written, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("ordered", [False, True])
def test_the_acceptor_equals_one_written_string_by_string(ordered: bool) -> None:
    stored, tasks = sequences(), column("tasks")
    for row, task in enumerate(tasks.tolist()):
        wanted = [accepted(string, task, ordered) for string in stored[row].tolist()]
        found = PROBLEM.accepts(stored[row][None], tasks[row][None], ordered)
        assert found[0].tolist() == wanted


def accepted(string: list[int], task: list[int], ordered: bool) -> bool:
    if PROBLEM.eos not in string:
        return False
    string = string[: string.index(PROBLEM.eos)]
    repeats = {string.count(token) - m for token, m in enumerate(task)}
    if len(repeats) > 1:
        return False
    (k,) = repeats
    wanted = [token for token, m in enumerate(task) for _ in range(k + m)]
    return not ordered or string == [PROBLEM.bos, *wanted]


def test_acceptance_agrees_within_the_sampling_error() -> None:
    shares = PROBLEM.accepts(sequences(), column("tasks")).float().mean(1)
    official = column("num_step_correct")[:, 2] / 1000
    # The stored 100 strings are some of the 1000 counted; the floor is one string of them.
    error = (official * (1 - official) / 100).sqrt().clamp(min=0.01)
    assert ((shares - official).abs() / error).max() < 4
    assert (shares - official).mean().abs() < 0.01
