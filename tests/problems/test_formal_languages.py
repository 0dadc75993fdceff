"""Languages, their acceptors, and sampling."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from tests.conftest import DATA
from wsrl.problems import FormalLanguages
from wsrl.rnn import RNNWeights, State
from wsrl.zoos.group import initial_weights


def text(problem: FormalLanguages, string: str) -> torch.Tensor:
    """Spell a padded sequence: letters, ``^`` for BOS, ``.`` for EOS."""
    signs = "abcdefgh"[: problem.num_tokens] + "^."
    padded = ("^" + string).ljust(problem.length, ".")
    return torch.tensor([signs.index(sign) for sign in padded])


def test_strings_by_hand() -> None:
    problem = FormalLanguages(num_tokens=3, length=12, max_n=4)
    wanted = ["abb", "aabbbc", "aaabbbbcc"]  # m_3 = -1 asks for k of at least 1
    strings = problem.strings([0, 1, -1])
    assert torch.equal(strings, torch.stack([text(problem, s) for s in wanted]))


def test_every_string_of_a_language_is_accepted_and_of_no_other() -> None:
    problem = FormalLanguages(num_tokens=3, length=40)
    tasks = [[0, *m] for m in itertools.product(range(-3, 3), repeat=2)]
    for task in tasks:
        strings = problem.strings(task).expand(len(tasks), -1, -1)
        for ordered in (False, True):
            accepted = problem.accepts(strings, torch.tensor(tasks), ordered)
            mine = torch.tensor([other == task for other in tasks])
            assert torch.equal(accepted, mine[:, None].expand_as(accepted))


@pytest.mark.parametrize(
    ("string", "counts", "ordered"),
    [
        ("aabb", True, True),
        ("abab", True, False),
        ("aab", False, False),
        ("aa^bb", True, False),
        ("", True, True),
        ("aabb.ab", True, True),
        ("aaabbb.", True, True),
        ("bbaa", True, False),
        ("aaaaa^bbbbb", False, False),  # without an end
    ],
)
def test_acceptors_by_hand(string: str, counts: bool, ordered: bool) -> None:
    problem = FormalLanguages(num_tokens=2, length=12)
    sequences, task = text(problem, string)[None, None], torch.tensor([[0, 0]])
    assert problem.accepts(sequences, task).item() is counts
    assert problem.accepts(sequences, task, ordered=True).item() is ordered


def test_distinct_strings_with_counts_give_the_same_gradient() -> None:
    problem = FormalLanguages(num_tokens=3, length=20, max_n=6)
    members = [0, 1, 2]
    tasks = problem.draw_tasks(5, members)
    spec = problem.spec("lstm", 5, 2)
    flat = initial_weights(spec, 5, members).double().requires_grad_()
    gradients, sizes = [], []
    for unique in (True, False):
        stream = problem.training_stream(tasks, members, 5, 32, unique)
        batch = stream.batch(300)
        sizes.append(batch.inputs.shape[1])
        batch = dataclasses.replace(batch, inputs=batch.inputs.double())
        losses = problem.loss(RNNWeights(flat, spec), batch, "eager")
        gradients.append(torch.autograd.grad(losses.sum(), flat)[0])
        assert torch.allclose(batch.weights.sum(1), torch.ones(3))
    assert sizes == [6, 32]
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-8)
    other = problem.training_stream(tasks, members, 5, 32, True).batch(301)
    assert not torch.equal(other.weights, batch.weights)


def test_sampling_follows_the_predicted_distribution() -> None:
    """A model with fixed outputs: the tokens drawn have its probabilities."""
    problem = FormalLanguages(num_tokens=2, length=6)
    probabilities = torch.tensor([0.5, 0.2, 0.1, 0.2])

    def run(inputs: torch.Tensor, state: State | None) -> tuple[torch.Tensor, State]:
        return probabilities.log().expand(*inputs.shape[:3], 4), ()

    sequences, logs = problem.sample(run, torch.rand(2, 20000, 5), keep=3)
    assert logs.shape == (2, 3, 5, 4)
    assert (sequences[:, :, 0] == problem.bos).all()
    counts = torch.bincount(sequences[:, :, 1:].flatten(), minlength=4).double()
    assert np.allclose(counts / counts.sum(), probabilities, atol=0.01)
    one, again, other = (
        problem.write_sequences(run, 5, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert one.shape == (1, 5, 6)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_certain_rnns_are_sound_and_infinite_ones_are_not() -> None:
    """A log-probability below float16's least, -65504, is no overflow of the RNN."""
    problem = FormalLanguages(num_tokens=3, length=12, max_n=4, stored_strings=4)

    def judge(largest: float) -> dict[str, torch.Tensor]:
        def run(inputs: torch.Tensor, state: State | None) -> tuple[torch.Tensor, State]:
            logits = torch.zeros(1, inputs.shape[1], 1, 5)
            logits[..., problem.eos] = largest
            return logits, ()

        return problem.evaluate(run, torch.zeros(1, 3, dtype=torch.long), [0], 0, 0)

    outputs = judge(1e6)["outputs"]
    assert outputs.isfinite().all()
    assert outputs.min() == torch.finfo(torch.float16).min
    assert (outputs[..., problem.eos] == 0).all()
    assert judge(float("inf"))["outputs"].isnan().any()


def test_clone_scores_count_what_was_finished() -> None:
    problem = FormalLanguages(num_tokens=2, length=6)

    def always(token: int) -> torch.Tensor:
        def run(inputs: torch.Tensor, state: State | None) -> tuple[torch.Tensor, State]:
            logits = torch.full((*inputs.shape[:3], 4), -100.0)
            logits[..., token] = 0
            return logits, ()

        tasks = torch.tensor([[0, 0], [0, 1]])
        return problem.clone_scores(run, tasks, 7, [torch.Generator() for _ in tasks])

    assert always(problem.eos).tolist() == [1, 0]  # the empty string is in the first language only
    assert always(0).tolist() == [0, 0]  # nothing finished


@pytest.mark.parametrize("ordered", [False, True])
def test_the_acceptor_equals_one_written_string_by_string(ordered: bool) -> None:
    problem = FormalLanguages()
    folder = DATA / "official" / "formal_languages"
    if not folder.is_dir():
        pytest.skip(f"no published sample at {folder}")
    stored, tasks = (
        torch.from_numpy(np.load(folder / f"{name}.npy")).long() for name in ("sequences", "tasks")
    )
    for row, task in enumerate(tasks.tolist()):
        wanted = [accepted(problem, string, task, ordered) for string in stored[row].tolist()]
        found = problem.accepts(stored[row][None], tasks[row][None], ordered)
        assert found[0].tolist() == wanted


def accepted(problem: FormalLanguages, string: list[int], task: list[int], ordered: bool) -> bool:
    if problem.eos not in string:
        return False
    string = string[: string.index(problem.eos)]
    repeats = {string.count(token) - m for token, m in enumerate(task)}
    if len(repeats) > 1:
        return False
    (k,) = repeats
    wanted = [token for token, m in enumerate(task) for _ in range(k + m)]
    return not ordered or string == [problem.bos, *wanted]
