"""Which trials there are, in which order, and what they run."""

from __future__ import annotations

from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest

from wsrl.cli.commands import read
from wsrl.encoders import InteractiveProbing, create_encoder
from wsrl.rnn import RNNSpec
from wsrl.studies.benchmark.plan import PlannedTrial, plan, shown, variants
from wsrl.studies.benchmark.settings import (
    BenchmarkSettings,
    BenchmarkZoo,
    Training,
)

RATE = "model.learning_rate=0.1"
ZOOS = {"a": BenchmarkZoo("task", path="zoo"), "b": BenchmarkZoo("angle", path="other")}


def settings(**changes: Any) -> BenchmarkSettings:
    given: dict[str, Any] = {
        "zoos": ZOOS,
        "encoders": ["InteractiveProbing", "my.Own", "mine.yaml"],
        "seeds": [3, 5],
        "emulation": Training("emulation_small.yaml", {"trainer.max_steps": 7}),
        "prediction": Training("prediction.yaml"),
    }
    return BenchmarkSettings(**given | changes)


def tier(name: str) -> BenchmarkSettings:
    found: BenchmarkSettings = read(["benchmark", "--tier", name, "--out", "out"])["settings"]
    return found


@pytest.fixture(autouse=True)
def _own_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("model: {}\n")


def by_name(trials: list[PlannedTrial]) -> dict[str, PlannedTrial]:
    return {planned.trial.name: planned for planned in trials}


@pytest.mark.parametrize("name", ["smoke", "small", "medium", "paper"])
def test_every_trial_comes_once_and_after_what_it_needs(name: str) -> None:
    seen: set[str] = set()
    for planned in plan(tier(name), Path("out")):
        assert planned.trial.name not in seen
        assert set(planned.needs) <= seen
        seen.add(planned.trial.name)


def test_the_grid_is_the_product_of_what_is_asked_for() -> None:
    zoos = {"a": BenchmarkZoo("task", path="zoo", targets=["step"]), "b": ZOOS["b"]}
    asked = settings(
        zoos=zoos,
        modes=["frozen", "scratch"],
        other_modes=["finetune"],
        baselines=["mean", "pca"],
        properties=[],
    )
    trained = {
        "a": ["emulation", "task-frozen", "task-scratch", "step-finetune"],
        "b": ["emulation", "angle-frozen", "angle-scratch"],
    }
    expected = {
        f"{zoo}/{encoder}/seed{seed}/{what}"
        for zoo, encoder, seed in product(trained, ["InteractiveProbing", "Own", "mine"], (3, 5))
        for what in trained[zoo]
    }
    for zoo, target in (("a", "task"), ("a", "step"), ("b", "angle")):
        expected |= {f"{zoo}/baselines/pca/seed{seed}/{target}" for seed in (3, 5)}
        expected.add(f"{zoo}/baselines/mean/{target}")  # nothing random in it
    assert set(by_name(plan(asked, Path("out")))) == expected


def test_only_what_reads_a_pretrained_encoder_waits_for_it() -> None:
    trials = by_name(plan(settings(modes=["frozen", "scratch"]), Path("out")))
    place = "a/InteractiveProbing/seed3"
    assert trials[f"{place}/task-frozen"].needs == (f"{place}/emulation",)
    assert trials[f"{place}/task-scratch"].needs == ()
    assert "--model.pretrained" in trials[f"{place}/task-frozen"].commands[0]
    assert "--model.pretrained" not in trials[f"{place}/task-scratch"].commands[0]


def test_encoders_are_presets_names_or_files() -> None:
    words = {v.name: v.words for v in variants(settings(size="small"))}
    assert words["InteractiveProbing"][1].endswith("encoders/InteractiveProbing_small.yaml")
    assert words["Own"] == ["--model.encoder", "my.Own"]
    assert words["mine"] == ["--config", "mine.yaml"]
    published = {v.name: v.words for v in variants(settings())}["InteractiveProbing"]
    assert published[1].endswith("encoders/InteractiveProbing.yaml")


def test_ablations_change_one_option_where_they_are_wanted() -> None:
    zoos = {"a": ZOOS["a"], "b": BenchmarkZoo("angle", path="other", ablations=False)}
    ablations = {"Own": {"width": [8], "model.encoder.depth": [2], "model.learning_rate": [0.1]}}
    trials = by_name(plan(settings(zoos=zoos, ablations=ablations), Path("out")))
    names = {planned.trial.encoder for planned in trials.values() if planned.trial.ablation}
    assert names == {f"Own-{name}" for name in ("width=8", "model.encoder.depth=2", RATE)}
    assert not any(n.startswith("b/Own-") for n in trials)
    for name, option, value in (
        ("width=8", "--model.encoder.width", "8"),
        ("model.encoder.depth=2", "--model.encoder.depth", "2"),
        (RATE, "--model.learning_rate", "0.1"),
    ):
        words = trials[f"a/Own-{name}/seed3/emulation"].commands[0]
        assert words[words.index(option) + 1] == value
        # What only pre-training is told goes to no prediction.
        assert (option in trials[f"a/Own-{name}/seed3/task-frozen"].commands[0]) == (name != RATE)


def test_what_was_tuned_for_an_encoder_beats_what_all_have_and_no_ablation() -> None:
    option = "--model.learning_rate"
    asked = settings(
        emulation=Training("emulation_small.yaml", {option[2:]: 0.5}),
        tuned={"Own": {option[2:]: 0.2}},
        ablations={"Own": {"width": [8], option[2:]: [0.1]}, "mine": {"width": [8]}},
    )
    trials = by_name(plan(asked, Path("out")))

    def rates(name: str) -> list[str]:
        words = trials[f"a/{name}/seed3/emulation"].commands[0]
        return [after for word, after in pairwise(words) if word == option]

    assert rates("Own") == rates("Own-width=8") == ["0.5", "0.2"]  # the last one counts
    assert rates(f"Own-{RATE}") == ["0.5", "0.2", "0.1"]
    assert rates("mine") == rates("mine-width=8") == ["0.5"]
    assert option not in trials["a/Own/seed3/task-frozen"].commands[0]


def test_commands_are_as_one_types_them_with_the_options_of_the_zoo() -> None:
    zoos = {"a": BenchmarkZoo("task", path="zoo", emulation={"trainer.max_steps": 9})}
    trials = by_name(plan(settings(zoos=zoos), Path("out")))
    command = trials["a/Own/seed3/emulation"].commands[0]
    words = shown(command)
    assert shown(command, ["mine"]) == f"{words} --import mine"
    assert words.startswith("wsrl fit --config configs/emulation_small.yaml --model.encoder my.Own")
    assert "--trainer.max_steps 9" in words
    assert words.count("--trainer.max_steps") == 1


def test_the_published_tier_is_as_published() -> None:
    asked = tier("paper")
    assert len(asked.seeds) == 15
    assert asked.size == ""
    assert {z.build for z in asked.zoos.values()} == {
        "zoo/formal_languages.yaml",
        "zoo/tiled_mnist.yaml",
    }
    assert asked.emulation == Training("emulation.yaml")
    probing = asked.ablations["InteractiveProbing"]
    assert probing == {"num_probes": [2, 4, 8], "probing_length": [7, 12, 42]}
    encoder = create_encoder("InteractiveProbing", RNNSpec("lstm", 6, 8, 1, 6))
    assert isinstance(encoder, InteractiveProbing)
    # What else is published: 1 of 1, 2, 4, 8 and 22 of 7, 12, 22, 42.
    assert (encoder.num_probes, encoder.probing_length) == (1, 22)


def test_baselines_are_split_and_trained_as_predictions_are() -> None:
    prediction = Training("prediction.yaml", {"data.split_seed": 7, "data.batch_size": 4})
    own = {"trainer.max_steps": 9, "model.kind": "own"}
    zoos = {"a": BenchmarkZoo("task", path="zoo", prediction=own)}
    asked = settings(zoos=zoos, prediction=prediction, baselines=["mean", "pca"])
    trials = by_name(plan(asked, Path("out")))
    words = trials["a/baselines/pca/seed3/task"].commands[0]
    assert words[words.index("--steps") + 1] == "9"
    assert words[words.index("--kind") + 1] == "own"
    assert words[words.index("--data.split_seed") + 1] == "7"
    assert words[words.index("--data.ood_to_train") + 1] == "true"  # of the config
    assert "--data.batch_size" not in words
    fixed = trials["a/baselines/mean/task"].commands[0]
    assert not {"--seed", "--steps"} & set(fixed)
    Path("bare.yaml").write_text("trainer: {max_steps: -1}\n")
    asked = settings(prediction=Training("bare.yaml"), baselines=["pca"])
    words = by_name(plan(asked, Path("out")))["a/baselines/pca/seed3/task"].commands[0]
    assert words[words.index("--data.ood_to_train") + 1] == "false"  # as of `wsrl fit`
    assert not {"--steps", "--kind"} & set(words)


def test_own_encoders_are_measured_by_their_class_and_presets_once() -> None:
    asked = settings(encoders=["InteractiveProbing", "InteractiveProbing-steady", "my.Own"])
    trials = by_name(plan(asked, Path("out")))
    measured = {n: p.commands[0][2] for n, p in trials.items() if p.trial.kind == "properties"}
    assert measured == {
        "properties/InteractiveProbing": "InteractiveProbing",
        "properties/Own": "my.Own",
    }
