"""Problems of trials: their targets, their masks, their noise, their zoos."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.problems.test_laws import PROBLEMS
from tests.problems.trial_references import REFERENCES
from wsrl.cli import main
from wsrl.problems import TrialProblem, create_problem
from wsrl.problems.criteria import explained, right_choices
from wsrl.rnn import PreparedPopulation, RNNWeights, run_population, run_with_noise
from wsrl.zoos import BuildSettings, build_zoo, group, open_zoo
from wsrl.zoos.group import initial_weights

TRIALS = {
    name: problem
    for name, problem in PROBLEMS.items()
    if isinstance(problem, TrialProblem) and problem.output_kind == "real"
}
every_problem = pytest.mark.parametrize("name", TRIALS)


def quiet(name: str, **settings: Any) -> TrialProblem:
    """The problem without noise in its inputs, from which their targets can be told."""
    problem = create_problem(name, TRIALS[name].settings() | {"input_noise": 0.0} | settings)
    assert isinstance(problem, TrialProblem)
    return problem


def start_of(problem: TrialProblem, members: list[int], cell: str = "leaky") -> RNNWeights:
    spec = problem.spec(cell, 6, 1)
    return RNNWeights(initial_weights(spec, 0, members), spec)


@pytest.mark.parametrize(
    ("name", "settings"),
    [*((n, {}) for n in TRIALS), *(("path_integration", {"dimensions": d}) for d in (1, 3))],
)
def test_targets_are_those_of_plain_python(name: str, settings: dict[str, Any]) -> None:
    problem, members = quiet(name, **settings), [0, 1, 2, 3]
    tasks = problem.draw_tasks(0, members)
    drawn = problem.trials([np.random.default_rng(m) for m in members], tasks, 12)
    ends = set()
    for row, *trials in zip(tasks.tolist(), *(part.tolist() for part in drawn), strict=True):
        for inputs, targets, mask in zip(*trials, strict=True):
            wanted, counts = REFERENCES[name](inputs, problem.task(row))
            assert mask == counts
            where = np.array(mask) > 0
            np.testing.assert_allclose(np.array(targets)[where], np.array(wanted)[where], atol=1e-5)
            ends.add(int(np.flatnonzero(where)[-1]))
    assert max(ends) == problem.length - 1 or len(ends) > 1  # the longest has no padding to spare


@every_problem
def test_only_steps_that_count_do(name: str) -> None:
    problem, members = TRIALS[name], [0, 1, 2]
    tasks = problem.draw_tasks(0, members)
    weights = start_of(problem, members)
    batch = problem.training_stream(tasks, members, 0, 4, True).batch(0)
    outputs, _ = run_population(weights, batch.inputs)
    counted = (batch.weights > 0).float()

    def judged(mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        changed = torch.where(mask[..., None] > 0, -3 * batch.targets - 1, batch.targets)
        loss = problem.loss(weights, replace(batch, targets=changed), "auto")
        near = problem.criterion(batch.targets + 0.01 * outputs, changed, counted)
        return loss, near

    loss, near = judged(torch.zeros_like(counted))
    elsewhere = judged(1 - counted)
    assert torch.equal(elsewhere[0], loss)
    assert torch.equal(elsewhere[1], near)
    assert (near > 0.99).all()
    at_one = torch.zeros_like(counted)
    at_one.view(len(members), -1).scatter_(1, counted.flatten(1).argmax(1)[:, None], 1)
    assert (judged(at_one)[0] != loss).all()
    assert (judged(counted)[1] < near).all()


@every_problem
def test_one_value_for_all_is_one_task(name: str) -> None:
    problem = TRIALS[name]
    fixed = quiet(name, **{n: high for n, (_, high) in problem.parameters.items()})
    assert fixed.draw_tasks(0, [3, 5]).tolist() == [[3.0], [5.0]]  # which can be split
    assert fixed.task([3.0]) == fixed.task([5.0])
    assert fixed.task([3.0]) == {n: high for n, (_, high) in problem.parameters.items()}
    assert set(fixed.targets([0, 1])) == {"performance", "step"}
    assert len(set(fixed.ood_criterion(np.arange(9.0)[:, None]).tolist())) == 9
    assert set(problem.targets([0, 1])) == {*problem.free, "performance", "step"}
    row = problem.draw_tasks(0, [0])[0].tolist()
    known = ", ".join(f"{n} {value:.3g}" for n, value in zip(problem.free, row, strict=True))
    assert problem.score_text(row, 0.5) == f"performs {problem.name} ({known}): performance 0.50"
    assert fixed.score_text([3.0], 0.5) == f"performs {problem.name}: performance 0.50"
    assert fixed.length == problem.length


PUBLISHED: dict[str, dict[str, float]] = {
    "context_integration": {
        "coherence": 0.5, "stimulus": 750, "delay": 600, "jitter": 0, "input_noise": 0.1
    },
    "delayed_discrimination": {
        "difference": 1 / 3, "delay": 1000, "jitter": 0, "input_noise": 0.1
    },
    "flip_flop": {"pulse_rate": 0.5, "input_noise": 0},
    "sine_generator": {"slowest": 0.1, "fastest": 0.6, "input_noise": 0},
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_version_is_one_of_the_family(name: str) -> None:
    family = create_problem(name, {})
    assert isinstance(family, TrialProblem)
    row = [PUBLISHED[name][parameter] for parameter in family.free]
    assert family.task(row) == PUBLISHED[name] | {"unit_noise": 0}
    assert family.task([10**6] * len(row)) != family.task(row)  # which is brought into the range


@every_problem
def test_noise_is_added_to_inputs_alone(name: str) -> None:
    clean, noisy = quiet(name), quiet(name, input_noise=0.5)
    tasks = clean.draw_tasks(0, [0, 1])
    pairs = zip(*(p.trials([np.random.default_rng(1)] * 1, tasks[:1], 40) for p in (clean, noisy)),
                strict=True)  # fmt: skip
    inputs, targets, mask = pairs
    assert np.array_equal(*targets)
    assert np.array_equal(*mask)
    assert (inputs[1] - inputs[0]).std() == pytest.approx(0.5, rel=0.05)


@every_problem
def test_a_zoo_goes_on_and_does_not_depend_on_its_groups(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = quiet(name, unit_noise=0.1, evaluated_trials=4, stored_trials=2)
    settings = BuildSettings(
        runs=3, snapshots=(0, 2, 4), cell="leaky", hidden_size=5, num_layers=1, batch_size=3,
        group_size=3, learning_rates=[(0, 1e-2)],
    )  # fmt: skip
    build_zoo(tmp_path / "whole", problem, settings, quiet=True)
    train, steps = group.Group._train_step, iter(range(9))

    def dying(members: group.Group) -> None:
        if next(steps) == 3:
            raise KeyboardInterrupt
        train(members)

    alone = replace(settings, group_size=1)
    with monkeypatch.context() as patch:
        patch.setattr(group.Group, "_train_step", dying)
        with pytest.raises(KeyboardInterrupt):
            build_zoo(tmp_path / "alone", problem, alone, quiet=True)
    build_zoo(tmp_path / "alone", problem, alone, quiet=True)
    whole, parts = open_zoo(tmp_path / "whole"), open_zoo(tmp_path / "alone")
    for column in whole.columns:
        found, wanted = parts.read(column).double(), whole.read(column).double()
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)
    for exact in ("task", "sequences"):
        assert torch.equal(whole.read(exact), parts.read(exact))


def test_noise_of_neurons_is_what_is_asked_for() -> None:
    problem = quiet("flip_flop", unit_noise=0.0)
    noisy = quiet("flip_flop", unit_noise=0.3)
    members = [0, 1]
    weights, tasks = start_of(problem, members), problem.draw_tasks(0, members)
    clean = problem.training_stream(tasks, members, 0, 50, True).batch(0)
    batch: Any = noisy.training_stream(tasks, members, 0, 50, True).batch(0)
    assert torch.equal(batch.inputs, clean.inputs)
    noise = batch.draw_noise(weights.spec)
    assert noise.std() == pytest.approx(0.3, rel=0.02)
    assert not torch.equal(noise[0], noise[1])
    assert problem.loss(weights, clean, "auto").ne(noisy.loss(weights, batch, "auto")).all()
    none = run_with_noise(weights, batch.inputs, 0 * noise)[0]
    torch.testing.assert_close(none, run_population(weights, batch.inputs)[0])
    # A leaky tanh RNN by hand: the noise enters the state, and so the next steps.
    layer, readout = weights.layers()[0], weights.tensors()
    for member in members:
        own = {n: value[member] for n, value in layer.items()}
        state = torch.zeros(50, 6)
        for step in range(3):
            sums = batch.inputs[member, :, step] @ own["weight_ih"].T + own["bias"]
            rates = (state @ own["weight_hh"].T + sums).tanh()
            state = 0.8 * state + 0.2 * rates + noise[member, 0, step]
        wanted = state @ readout["linear.weight"][member].T + readout["linear.bias"][member]
        found = run_with_noise(weights, batch.inputs, noise)[0][member, :, 2]
        torch.testing.assert_close(found, wanted)
    with pytest.raises(ValueError, match=r"noise must be \(B, L, T, S, H\) = \(2, 1, 20, 50, 6\)"):
        run_with_noise(weights, batch.inputs, noise[..., 1:])


def test_criteria_are_those_of_numpy() -> None:
    own = np.random.default_rng(0)
    targets, noise = own.normal(2, 1, (2, 5, 7, 3)), own.normal(0, 0.5, (2, 5, 7, 3))
    mask = own.random((2, 5, 7)) < 0.5
    parts = [torch.tensor(part) for part in (targets + noise, targets, mask)]
    for member in range(2):
        wrong, right = noise[member][mask[member]], targets[member][mask[member]]
        wanted = 1 - (wrong**2).sum() / ((right - right.mean(0)) ** 2).sum()
        assert explained(*parts)[member] == pytest.approx(wanted)
        chosen = [
            (targets + noise)[member, s][mask[member, s]].sum(0) * targets[member, s, 0] > 0
            for s in range(5)
        ]
        signs = torch.tensor(targets[:, :, :1]).expand(-1, -1, 7, -1)
        assert right_choices(parts[0], signs, parts[2])[member] == pytest.approx(np.mean(chosen))
    assert explained(-parts[0], *parts[1:]).tolist() == [0, 0]
    assert explained(parts[1], *parts[1:]).tolist() == [1, 1]


def test_of_constant_targets_all_or_nothing_is_explained() -> None:
    held = quiet("flip_flop", bits=1, pulse_rate=0.0)  # one pulse a trial
    _, targets, mask = held.placed([np.random.default_rng(0)], torch.zeros(1, 1), 1)
    for constant in (targets, targets * 0.1):  # the mean of which is rounded
        assert explained(constant, constant, mask).tolist() == [1]
        assert explained(constant + 0.01, constant, mask).tolist() == [0]


@every_problem
def test_clones_are_scored_like_rnns(name: str) -> None:
    problem = quiet(name)
    run = PreparedPopulation(start_of(problem, [0, 1]), "eager")
    tasks = problem.draw_tasks(0, [0, 1])
    again = [
        problem.clone_scores(run, tasks, 20, [torch.Generator().manual_seed(1) for _ in tasks])
        for _ in range(2)
    ]
    assert torch.equal(*again)
    untrained = problem.evaluate(run, tasks, [0, 1], 0, 0)["performance"]
    assert (untrained - again[0]).abs().max() < 0.4


@pytest.mark.parametrize("name", ["flip_flop"])
def test_the_whole_chain(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zoo, run, head = str(tmp_path / "zoo"), tmp_path / "run", tmp_path / "head"
    build = ["zoo", "build", "--problem", name, "--out", zoo, "--runs", "16", "--quiet", "true"]
    build += ["--snapshots", "[0, 4]", "--cell", "gru", "--hidden_size", "4", "--num_layers", "1"]
    build += ["--evaluated_trials", "4", "--stored_trials", "4"]
    assert main(build) == 0
    assert main(["zoo", "verify", zoo]) == 0
    quick = ["--data.zoo", zoo, "--data.steps_per_epoch", "2", "--trainer.max_steps", "2"]
    quick += ["--trainer.logger", "false", "--trainer.enable_model_summary", "false"]
    emulation = ["--model", "EmulationModule", "--model.encoder", "NoninteractiveProbing"]
    emulation += ["--model.emulator_width", "8", "--model.loss", "mean_squared_error"]
    emulation += ["--model.clone_rnns", "2", "--model.clone_sequences", "2"]
    assert main(["fit", *emulation, *quick, "--run", str(run)]) == 0
    assert main(["test", "--run", str(run), "--ckpt_path", "best"]) == 0
    metrics = json.loads((run / "test.json").read_text())["metrics"]
    assert any("original_score" in metric for metric in metrics)
    target = TRIALS[name].free[0]
    predict = ["--model", "PredictionModule", "--model.target", target]
    predict += ["--model.pretrained", str(run / "checkpoints" / "last.ckpt")]
    assert main(["fit", *predict, *quick, "--run", str(head)]) == 0
    rnn, readout = open_zoo(zoo).read_weights(torch.tensor([3])).to_module(0)
    mine = nn.ModuleDict({"rnn": rnn, "linear": readout}).state_dict()
    torch.save(mine, tmp_path / "mine.pt")
    capsys.readouterr()
    assert main(["inspect", str(tmp_path / "mine.pt"), "--ckpt", str(run), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    # Those of the 16 RNNs, and the one that is predicted.
    assert found["skill"]["text"].startswith("performs none of 17 tasks of the zoo; nearest")
    assert target in found["properties"]
    assert main(["zoo", "info", zoo]) == 0
    assert target in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "period"),
    [
        ("delayed_discrimination", "decision"),
        ("delayed_discrimination", "stimulus"),
        ("context_integration", "decision"),
    ],
)
def test_periods_shorter_than_a_step_are_refused(name: str, period: str) -> None:
    create_problem(name, {period: 60.0})
    with pytest.raises(ValueError, match=f"{period} must be at least one step of 100 ms, not 40"):
        create_problem(name, {period: 40.0})
