"""Laws of all problems that RNNs are trained on, and settings that make no sense."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from wsrl.problems import (
    ContextIntegration,
    DelayedDiscrimination,
    FlipFlop,
    FormalLanguages,
    NeuroGym,
    PathIntegration,
    SineGenerator,
    TiledImages,
    TrainableProblem,
    VariableBinding,
    create_problem,
    list_trainable_problems,
)
from wsrl.problems.columns import Column
from wsrl.rnn import PreparedPopulation, RNNWeights
from wsrl.zoos.group import initial_weights

HORIZONS = {"horizons": [2, 4], "evaluated_horizons": [3, 6]}
TRIALS = {"evaluated_trials": 8, "stored_trials": 2}
PROBLEMS: dict[str, TrainableProblem] = {
    "context_integration": ContextIntegration(**TRIALS),
    "delayed_discrimination": DelayedDiscrimination(2, **TRIALS),
    "flip_flop": FlipFlop(2, 20, **TRIALS),
    "path_integration": PathIntegration(2, 12, **TRIALS),
    "sine_generator": SineGenerator(2, 12, **TRIALS),
    "formal_languages": FormalLanguages(3, 20, max_n=6, evaluated_strings=8, stored_strings=2),
    "tiled_images": TiledImages(evaluated_images=16, stored_sequences=2),
    "variable_binding": VariableBinding(
        3, 2, **HORIZONS, stored_horizon=6, evaluated_sequences=8, stored_sequences=2
    ),
}
if importlib.util.find_spec("neurogym"):  # an optional extra: see test_neurogym.py
    PROBLEMS["neurogym"] = NeuroGym(vary={"timing.stimulus": [500, 900]}, **TRIALS)
MEMBERS = [0, 1, 2]
every_problem = pytest.mark.parametrize("name", PROBLEMS)


def test_all_are_here() -> None:
    assert {*list_trainable_problems()} == {*PROBLEMS, "neurogym"}


@every_problem
def test_data_are_a_function_of_member_and_step(name: str) -> None:
    problem = PROBLEMS[name]
    tasks = problem.draw_tasks(5, MEMBERS)
    assert torch.equal(problem.draw_tasks(5, [2]), tasks[2:])
    assert not torch.equal(problem.draw_tasks(6, MEMBERS), tasks)
    together = problem.training_stream(tasks, MEMBERS, 5, 32, True)
    alone = problem.training_stream(tasks[2:], [2], 5, 32, True)
    for step in (700, 3):  # in any order
        ours, mine = together.batch(step), alone.batch(step)
        for part in ("inputs", "targets", "weights"):
            assert torch.equal(getattr(ours, part)[2], getattr(mine, part)[0]), part
        torch.testing.assert_close(ours.weights.flatten(1).sum(1), torch.ones(3))
    other = together.batch(4)
    same = torch.equal(other.inputs, ours.inputs) and torch.equal(other.weights, ours.weights)
    assert not same


@every_problem
def test_what_is_judged_is_what_the_columns_say(name: str) -> None:
    problem = PROBLEMS[name]
    spec = problem.spec("gru", 4, 1)
    weights = RNNWeights(initial_weights(spec, 0, MEMBERS), spec)
    run = PreparedPopulation(weights, "eager")
    tasks = problem.draw_tasks(0, MEMBERS)
    found = problem.evaluate(run, tasks, MEMBERS, 0, 7)
    wanted = {column: (3, *about.shape) for column, about in problem.columns().items()}
    assert {column: tuple(values.shape) for column, values in found.items()} == wanted
    outputs, _ = run(problem.encode(found["sequences"]), None)
    if problem.output_kind == "categorical" and name == "formal_languages":
        outputs = outputs.log_softmax(-1)
    torch.testing.assert_close(found["outputs"].float(), outputs, rtol=1e-3, atol=1e-3)
    for target in problem.targets([0, 7]).values():
        columns = found | {"step": torch.full((3,), 7)}
        assert target.of(columns).shape == (3, target.parts)
    scores = problem.clone_scores(run, tasks, 5, [torch.Generator() for _ in MEMBERS])
    assert scores.shape == (3,)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert problem.ood_criterion(tasks.numpy()).shape == (3,)


@every_problem
def test_settings_rebuild_a_problem(name: str) -> None:
    settings = PROBLEMS[name].settings()
    assert create_problem(name, settings).settings() == settings
    assert not {"image_folder", "download"} & set(settings)


def test_a_value_that_is_no_class_is_an_error() -> None:
    target = PROBLEMS["variable_binding"].targets([0])["sign"]
    with pytest.raises(ValueError, match="column 'task' holds values outside of"):
        target.of({"task": torch.zeros(1, 4)})
    assert Column("F32", (100, 42)).row_bytes == 16800


WRONG = {
    "neurogym": [
        ({"environment": "Chess-v0"}, "environment 'Chess-v0' gives no trials"),
        ({"options": {"colour": 1}}, "gives no trials with {'colour': 1.*colour"),
        ({"vary": {"sigma": -1}}, "sigma must be .* at least 0"),
        ({"length": 0}, "length must be at least 1"),
    ],
    "context_integration": [
        ({"coherence": -0.5}, "coherence must be .* at least 0"),
        ({"stimulus": 50}, "stimulus must be .* at least 100"),
        ({"jitter": 1.5}, "jitter must be .* from 0 to 1"),
        ({"dt": 0}, "dt must be above 0"),
    ],
    "delayed_discrimination": [
        ({"channels": 0}, "channels must be at least 1"),
        ({"difference": 2}, "difference must be .* from 0 to 1"),
        ({"delay": [900, 300]}, "delay must be .*, or the lowest and the highest"),
        ({"decision": -100.0}, "decision must be above 0"),
    ],
    "flip_flop": [
        ({"bits": 0}, "bits must be at least 1"),
        ({"pulse_rate": 1.5}, "pulse_rate must be a number, or .*, from 0 to 1; not 1.5"),
        ({"pulse_rate": [0.5, 0.1]}, "the lowest and the highest"),
        ({"pulse_rate": []}, "the lowest and the highest"),
        ({"pulse_rate": "often"}, "pulse_rate"),
        ({"unit_noise": -0.1}, "unit_noise must be .* at least 0"),
        ({"input_noise": [0, float("inf")]}, "input_noise must be .* at least 0"),
        ({"stored_trials": 9}, "stored_trials must be at most 8"),
    ],
    "path_integration": [
        ({"dimensions": 4}, "dimensions must be 1, 2 or 3, not 4"),
        ({"speed": 1.5}, "speed must be .* from 0 to 1"),
        ({"persistence": -1}, "persistence must be .* at least 0"),
    ],
    "sine_generator": [
        ({"frequencies": 0}, "frequencies must be at least 1"),
        ({"fastest": 4}, "fastest must be .* from 0 to 3.14"),
        ({"slowest": [0.1, 0.5]}, r"slowest, \[0.1, 0.5\], must not be above fastest"),
    ],
    "formal_languages": [
        ({"num_tokens": 1}, "num_tokens"),
        ({"length": 4}, "length must be at least 5"),
        ({"max_n": 3}, "max_n must exceed 3"),
        ({"max_n": 10**9}, "max_n must be at most"),
        ({"num_tokens": 40000}, "num_tokens must be at most 32765"),
        ({"length": 40000}, "length must be at most 32767"),
        ({"evaluated_strings": 10**9}, "evaluated_strings must be at most"),
        ({"acceptor": "exact"}, "acceptor must be 'counts' or 'ordered', not 'exact'"),
        ({"stored_strings": 9}, "stored_strings must be at most 8"),
        ({"min_difference": 1}, "differences must include 0"),
    ],
    "tiled_images": [
        ({"source": "cifar"}, "unknown source 'cifar'; choose one of mnist"),
        ({"tile_size": 3}, "tiles of 3 x 3 do not divide the images of digits, 8 x 8"),
        ({"interpolation": "cubic"}, "interpolation must be"),
        ({"weight_decays": []}, "weight_decays must have at least 1"),
        ({"weight_decays": [-1.0]}, r"weight_decays\[0\] must be at least"),
        ({"evaluated_images": 0}, "evaluated_images must be at least 1"),
    ],
    "variable_binding": [
        ({"horizons": [4, 2]}, "horizons must ascend"),
        ({"horizons": []}, "horizons must have at least 1"),
        ({"evaluated_horizons": [0, 2]}, r"evaluated_horizons\[0\] must be at least 1"),
        ({"horizons": [4, 10**9]}, r"horizons\[1\] must be at most"),
        ({"evaluated_horizons": [10**9]}, r"evaluated_horizons\[0\] must be at most"),
        ({"evaluated_sequences": 10**9}, "evaluated_sequences must be at most"),
        ({"stored_horizon": 7}, "stored_horizon must be at most 6"),
        ({"stored_sequences": 9}, "stored_sequences must be at most 8"),
        ({"threshold": 1.0}, "threshold must be below"),
        ({"l2": -1.0}, "l2 must be at least"),
        ({"tasks": ["7,0,0"]}, "must have 2 set bits"),
        ({"steps": 0}, "1 to 4096 values"),
    ],
}


@every_problem
def test_settings_that_make_no_sense(name: str) -> None:
    for settings, message in WRONG[name]:
        with pytest.raises(ValueError, match=message):
            create_problem(name, PROBLEMS[name].settings() | settings)
    with pytest.raises(ValueError, match=r"settings of problem .* do not fit"):
        create_problem(name, {"no_such": 1})
