"""Environments of NeuroGym as problems. The other laws are in ``test_laws``, where it is there."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from wsrl.problems import NeuroGym
from wsrl.problems.criteria import right_classes
from wsrl.rnn import run_population
from wsrl.rnn.weights import RNNWeights
from wsrl.zoos import BuildSettings, build_zoo, open_zoo, verify_zoo
from wsrl.zoos.group import initial_weights

SMALL = {"evaluated_trials": 8, "stored_trials": 2}


def needs_neurogym() -> None:
    pytest.importorskip("neurogym", reason="NeuroGym is not installed: pip install wsrl[neurogym]")


def test_without_the_package_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "neurogym", None)
    with pytest.raises(ValueError, match=r"NeuroGym is needed .*pip install 'wsrl\[neurogym\]'"):
        NeuroGym()


def test_trials_are_the_environment_s_own() -> None:
    needs_neurogym()
    import neurogym

    problem = NeuroGym("ContextDecisionMaking-v0", vary={"sigma": [0.5, 2.0]}, length=30, **SMALL)
    assert set(problem.targets([0, 1])) == {"sigma", "performance", "step"}
    task = problem.draw_tasks(0, [0])
    inputs, targets, mask = problem.trials([np.random.default_rng(5)], task, 6)
    made = neurogym.make("ContextDecisionMaking-v0", sigma=task.item()).unwrapped
    made.rng = made.timing["delay"].rng = np.random.RandomState(
        np.random.default_rng(5).bit_generator
    )
    for row in range(6):
        made.new_trial()
        while len(made.ob) > 30:
            made.new_trial()
        steps = len(made.ob)
        np.testing.assert_allclose(inputs[0, row, :steps], made.ob, atol=1e-6)
        assert targets[0, row, :steps].tolist() == made.gt.tolist()
        assert mask[0, row].tolist() == [1] * steps + [0] * (30 - steps)
        assert (inputs[0, row, steps:] == 0).all()
    with pytest.raises(ValueError, match="has no trials of 3 steps"):
        NeuroGym(length=3).trials([np.random.default_rng(5)], task, 6)


@pytest.mark.parametrize("name", ["DelayComparison-v0", "ReadySetGo-v0"])
def test_the_loss_is_torch_s_at_the_steps_of_a_trial(name: str) -> None:
    needs_neurogym()
    problem, members = NeuroGym(name, **SMALL), [0, 1]
    tasks, spec = problem.draw_tasks(0, members), problem.spec("gru", 5, 1)
    weights = RNNWeights(initial_weights(spec, 0, members), spec)
    batch = problem.training_stream(tasks, members, 0, 7, True).batch(0)
    losses, (outputs, _) = (
        problem.loss(weights, batch, "auto"),
        run_population(weights, batch.inputs),
    )
    for member in members:
        steps = batch.weights[member] > 0
        wanted = torch.nn.functional.cross_entropy(
            outputs[member][steps], batch.targets[member][steps]
        )
        torch.testing.assert_close(losses[member], wanted)


def test_performance_is_of_the_choices() -> None:
    targets = torch.tensor([[[0, 0, 2], [0, 1, 0]], [[0, 0, 0], [0, 0, 0]]])
    mask = torch.tensor([[[1.0, 1, 1], [1, 1, 0]]]).expand(2, -1, -1)
    outputs = torch.nn.functional.one_hot(targets, 3).float()
    assert right_classes(outputs, targets, mask).tolist() == [1, 1]
    outputs[0, 0, 2] = torch.tensor([1.0, 0, 0])  # a choice
    outputs[0, 1, 2] = outputs[0, 0, 0] = torch.tensor([0, 0, 1.0])  # after the end; no choice
    outputs[1, 0, 0] = torch.tensor([0, 0, 1.0])  # one of five steps
    assert right_classes(outputs, targets, mask).tolist() == pytest.approx([0.5, 0.8])


def test_a_zoo_of_an_environment_is_whole(tmp_path: Path) -> None:
    needs_neurogym()
    problem = NeuroGym(vary={"timing.stimulus": [500, 900]}, **SMALL)
    settings = BuildSettings(runs=4, snapshots=(0, 3), cell="gru", hidden_size=5, group_size=2)
    build_zoo(tmp_path / "zoo", problem, settings, quiet=True)
    verify_zoo(tmp_path / "zoo")
    found = open_zoo(tmp_path / "zoo").problem
    assert found.settings() == problem.settings()
    assert found.settings()["length"] == 11  # 100 ms each: fixation, stimulus, decision
