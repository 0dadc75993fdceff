"""Variable binding as a problem: its targets, its curriculum, its zoo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from wsrl.problems import VariableBinding
from wsrl.rnn import PreparedPopulation, RNNSpec, RNNWeights
from wsrl.zoos import BuildSettings, build_zoo, group, open_zoo, verify_zoo

SMALL = {"evaluated_horizons": [3, 6], "evaluated_sequences": 8, "stored_sequences": 2}
PROBLEM = VariableBinding(3, 2, horizons=[2, 4], stored_horizon=6, **SMALL)
SETTINGS = BuildSettings(
    runs=4, snapshots=(0, 3, 8), cell="tanh", bias=False, hidden_size=6, num_layers=1,
    group_size=3, batch_size=5, learning_rates=[(0, 1e-3)], weight_decay=0.0, clip_norm=1.0,
)  # fmt: skip


def repeater(steps: int, dims: int) -> RNNWeights:
    """A linear-enough tanh RNN that repeats its input: small numbers, a large readout."""
    size = steps * dims
    write, read = torch.zeros(size, dims), torch.zeros(dims, size)
    shift = torch.zeros(size, size)
    for j in range(size):
        shift[(j - dims) % size, j] = 1
    write[-dims:], read[:, -dims:] = 1e-3 * torch.eye(dims), 1e3 * torch.eye(dims)
    flat = torch.cat([part.flatten() for part in (write, shift, read)])
    return RNNWeights(flat[None], RNNSpec("tanh", dims, size, 1, dims, bias=False))


def test_an_rnn_that_repeats_its_input_is_perfect_at_repeat_copy_alone() -> None:
    tasks = ["repeat_copy", "33,0,0", "3,0,2"]
    problem = VariableBinding(3, 2, tasks=tasks, **SMALL, stored_horizon=6)
    weights = RNNWeights(repeater(3, 2).flat.expand(3, -1), repeater(3, 2).spec)
    stream = problem.training_stream(problem.draw_tasks(0, range(3)), range(3), 0, 16, True)
    losses, accuracy = problem.loss_and_accuracy(weights, stream.batch(0), "eager")
    assert losses[0] < 1e-4
    assert accuracy[0] == 1
    assert (losses[1:] > 0.1).all()
    assert (accuracy[1:] < 0.9).all()


def test_the_loss_is_what_torch_says_on_the_output_phase() -> None:
    problem = replace_l2(0.3)
    tasks = problem.draw_tasks(0, range(3))
    weights = RNNWeights(group.initial_weights(problem.spec("tanh", 6, 1, False), 0, range(3)),
                         problem.spec("tanh", 6, 1, False))  # fmt: skip
    stream = problem.training_stream(tasks, range(3), 0, 5, True)
    stream.observe(torch.tensor([0.0, 1.0, 0.0]))  # members with horizons of their own
    batch = stream.batch(0)
    losses = problem.loss(weights, batch, "eager")
    assert batch.inputs.unique().tolist() == [-1, 1]
    for member in range(3):
        task, horizon = problem.task(tasks[member].tolist()), (2, 4, 2)[member]
        rnn, linear = weights.to_module(member)
        inputs = batch.inputs[member]
        hidden, _ = rnn(nn.functional.pad(inputs, (0, 0, 0, horizon)))
        origin, sign = task.unrolled(horizon)
        targets = inputs.flatten(1)[:, origin] * torch.from_numpy(sign)
        wanted = nn.functional.mse_loss(linear(hidden)[:, 3:], targets)
        wanted = wanted + 0.15 * weights.flat[member].square().sum()
        torch.testing.assert_close(losses[member], wanted)


def replace_l2(l2: float) -> VariableBinding:
    return VariableBinding(**(PROBLEM.settings() | {"l2": l2}))


def test_members_move_on_by_themselves_and_stay_at_the_last_horizon() -> None:
    stream = PROBLEM.training_stream(PROBLEM.draw_tasks(0, range(3)), range(3), 0, 2, True)
    assert stream.batch(0).horizons.tolist() == [2, 2, 2]
    stream.observe(torch.tensor([0.97, 0.96, 0.2]))
    assert stream.batch(1).horizons.tolist() == [4, 2, 2]
    stream.observe(torch.tensor([0.97, float("nan"), 0.97]))
    assert stream.batch(2).horizons.tolist() == [4, 2, 4]
    other = PROBLEM.training_stream(PROBLEM.draw_tasks(0, range(3)), range(3), 0, 2, True)
    other.load_state_dict(stream.state_dict())
    assert torch.equal(other.batch(7).targets, stream.batch(7).targets)


def test_a_zoo_is_whole_and_a_killed_build_goes_on_in_its_curriculum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    easy = VariableBinding(**(PROBLEM.settings() | {"threshold": 0.4}))  # passed by guessing
    build_zoo(tmp_path / "whole", easy, SETTINGS, quiet=True)
    train, steps = group.Group._train_step, []

    def dying(members: group.Group) -> None:
        if len(steps) == 5:
            raise KeyboardInterrupt
        steps.append(members.data.state_dict()["level"].tolist())
        train(members)

    with monkeypatch.context() as patch:
        patch.setattr(group.Group, "_train_step", dying)
        with pytest.raises(KeyboardInterrupt):
            build_zoo(tmp_path / "killed", easy, SETTINGS, checkpoint_seconds=0, quiet=True)
    assert steps[0] == [0, 0, 0]
    assert max(steps[-1]) == 1
    build_zoo(tmp_path / "killed", easy, SETTINGS, checkpoint_seconds=0, quiet=True)
    whole, killed = open_zoo(tmp_path / "whole"), open_zoo(tmp_path / "killed")
    for name in whole.columns:
        assert torch.equal(whole.read(name), killed.read(name)), name
    verify_zoo(tmp_path / "whole")
    assert whole.read("accuracy").shape == (12, 2)
    assert torch.equal(whole.read("performance"), whole.read("accuracy")[:, 1])


def test_targets_are_sources_and_signs(tmp_path: Path) -> None:
    tasks = PROBLEM.draw_tasks(0, range(20))
    targets = PROBLEM.targets([0, 5])
    columns = {"task": tasks}
    for row, task in enumerate(PROBLEM.task(task) for task in tasks.tolist()):
        assert targets["source"].of(columns)[row].tolist() == list(task.sources)
        signs = [(-1, 1)[index] for index in targets["sign"].of(columns)[row].tolist()]
        assert signs == list(task.signs)
    assert len(tasks.unique(dim=0)) > 10
    criterion = PROBLEM.ood_criterion(tasks.numpy())
    assert criterion.tolist() == [PROBLEM.task(task).lasting() for task in tasks.tolist()]


def test_clones_are_scored_by_their_signs() -> None:
    tasks = torch.tensor([[0, 1, 1, 1], [0, 1, 1, -1]])
    weights = RNNWeights(repeater(3, 2).flat.expand(2, -1), repeater(3, 2).spec)
    run = PreparedPopulation(weights, "eager")
    scores = PROBLEM.clone_scores(run, tasks, 8, [torch.Generator() for _ in tasks])
    # The other's second output changes its sign with every round of three, right in every second.
    assert scores.tolist() == [1.0, 0.75]


def test_degenerate_tasks_are_refused() -> None:
    VariableBinding(3, 2, tasks=["repeat_copy"], **SMALL, stored_horizon=6).prepare()
    forgetful = "20,1,0"  # the first output repeats itself, and the second copies it
    problem = VariableBinding(3, 2, tasks=["repeat_copy", forgetful], **SMALL, stored_horizon=6)
    with pytest.raises(ValueError, match="less than one vector for ever: 20,1,0"):
        problem.prepare()


def test_gradients_are_clipped_each_by_itself() -> None:
    from wsrl.zoos.optimizer import clip_norms

    gradient = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0], [np.nan, 1.0]])
    clipped = clip_norms(gradient, 1.0)
    parameter = nn.Parameter(torch.zeros(2))
    parameter.grad = gradient[0].clone()
    nn.utils.clip_grad_norm_(parameter, 1.0)
    torch.testing.assert_close(clipped[0], parameter.grad)
    assert torch.equal(clipped[1:3], gradient[1:3])
    assert clipped[3].isnan().any()
