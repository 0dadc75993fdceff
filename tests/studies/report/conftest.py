"""A small benchmark: real runs of two encoders with one seed, and made up results beside them."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from wsrl.cli import main
from wsrl.studies.benchmark.results import TRIALS, Ablation, Cost, Result, Trial, write_result

SEEDS = (0, 1)
TINY = [
    *("--trainer.max_steps", "4", "--trainer.val_check_interval", "2"),
    *("--trainer.enable_model_summary", "false", "--trainer.enable_progress_bar", "false"),
    *("--data.steps_per_epoch", "4", "--data.batch_size", "4", "--seed_everything", "0"),
]
EMULATION = [
    *("--model", "wsrl.EmulationModule", "--model.emulator_width", "8"),
    *("--model.clone_rnns", "4", "--model.clone_sequences", "4", "--model.figures", "false"),
    *("--model.emulator_layers", "1"),
]
PREDICTION = ["--model", "wsrl.PredictionModule", "--model.target", "task"]
ENCODERS: dict[str, list[str]] = {
    "InteractiveProbing": [
        *("--model.encoder.probing_length", "3", "--model.encoder.reader_width", "8"),
        *("--model.encoder.probe_width", "8"),
    ],
    "LayerwiseStatistics": ["--model.encoder.width", "8"],
}


def run(folder: Path, trial: Trial, fit: list[str]) -> Trial:
    """Train and test, as one would by hand, and keep the result."""
    here = folder / TRIALS / trial.name
    commands = [["fit", *fit, "--run", str(here)]]
    after = ("test", "predict") if trial.kind == "emulation" else ("test",)
    commands += [[command, "--run", str(here), "--ckpt_path", "best"] for command in after]
    for words in commands:
        assert main(words) == 0, words
    metrics = json.loads((here / "test.json").read_text())["metrics"]
    curves = {"validation/total_variation": ([2, 4], [0.5, 0.4]), "train/loss": ([4], [0.3])}
    shown = tuple(shlex.join(["wsrl", *words]) for words in commands)
    made_with = {"torch": torch.__version__, "device": "cpu"}
    cost = Cost(1000, 400, 4, 0.5, 8.0)
    write_result(here, Result(trial, None, shown, metrics, cost, curves, made_with))
    return trial


def train(folder: Path, zoo: Path, encoder: str) -> list[Trial]:
    """Pre-train, test and embed; predict the task from the frozen embeddings; another seed."""
    of = ("languages", encoder, 0)
    emulation = Trial(f"languages/{encoder}/seed0/emulation", "emulation", *of)
    name = f"languages/{encoder}/seed0/task-frozen"
    frozen = Trial(name, "prediction", *of, "task", "frozen")
    data = ["--data.zoo", str(zoo), *TINY]
    run(folder, emulation, [*EMULATION, "--model.encoder", encoder, *ENCODERS[encoder], *data])
    best = str(folder / TRIALS / emulation.name / "checkpoints" / "best.ckpt")
    run(folder, frozen, [*PREDICTION, "--model.pretrained", best, *data])
    again = []
    for trial in (emulation, frozen):
        found = json.loads((folder / TRIALS / trial.name / "test.json").read_text())["metrics"]
        metrics = {name: value and value + 0.01 for name, value in found.items()}
        other = replace(trial, name=trial.name.replace("seed0", "seed1"), seed=1)
        again.append(make_up(folder, other, metrics))
    return [emulation, frozen, *again]


def make_up(
    folder: Path, trial: Trial, metrics: dict[str, float], error: str | None = None
) -> Trial:
    """Keep a result that nothing was run for."""
    here = folder / TRIALS / trial.name
    here.mkdir(parents=True)
    (here / "test.json").write_text(json.dumps({"metrics": metrics}))
    command = f"wsrl fit --run {here} --seed_everything {trial.seed}"
    write_result(here, Result(trial, error, (command,), metrics))
    return trial


def made_up(folder: Path) -> list[Trial]:
    """Baselines, an ablation, a failed trial, another zoo, measured properties."""
    trials = []
    for seed in SEEDS:
        name = f"languages/baselines/trees/seed{seed}/task"
        metrics = {"validation/exact_match": 0.25 + seed / 100, "ood/exact_match": 0.125}
        trial = Trial(name, "baseline", "languages", "trees", seed, "task")
        trials.append(make_up(folder, trial, metrics))
        variant = "InteractiveProbing-num_probes=2"
        name = f"languages/{variant}/seed{seed}/emulation"
        ablation = Ablation("InteractiveProbing", "num_probes", 2)
        metrics = {"validation/total_variation": 0.3 + seed / 10, "ood/total_variation": 0.5}
        trial = Trial(name, "emulation", "languages", variant, seed, ablation=ablation)
        trials.append(make_up(folder, trial, metrics))
        for place, encoder in enumerate(ENCODERS):
            name = f"images/{encoder}/seed{seed}/angle-frozen"
            error = 60.0 + 5 * place + seed
            metrics = {"validation/angular_error": error, "ood/angular_error": error + 20}
            trial = Trial(name, "prediction", "images", encoder, seed, "angle", "frozen")
            trials.append(make_up(folder, trial, metrics))
    for encoder in ENCODERS:
        trial = make_up(folder, Trial(f"properties/{encoder}", "properties", encoder=encoder), {})
        facts = {"name": encoder, "permutation_invariant": True, "parameters": {"8": 1234}}
        facts |= {"changes": {"permutation": 1e-7}, "tells_apart": {"two <languages>": False}}
        facts["same_function"] = ["first", "second"]
        (folder / TRIALS / trial.name / "properties.json").write_text(json.dumps(facts))
        trials.append(trial)
    name = "languages/LayerwiseStatistics/seed1/task-scratch"
    trial = Trial(name, "prediction", "languages", "LayerwiseStatistics", 1, "task", "scratch")
    return [*trials, make_up(folder, trial, {}, error="ValueError: <no> memory | left")]


def write_record(folder: Path, trials: list[Trial], settings: Any) -> Path:
    content = {"settings": settings, "cells": [asdict(trial) for trial in trials]}
    (folder / "benchmark.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="session")
def benchmark_path(tmp_path_factory: pytest.TempPathFactory, zoo_path: Path) -> Path:
    """The folder of a small, unfinished benchmark; tests must not write to it."""
    folder = tmp_path_factory.mktemp("benchmarks") / "tiny <comparison> & more"
    trials = [trial for encoder in ENCODERS for trial in train(folder, zoo_path, encoder)]
    trials += made_up(folder)
    name = "languages/InteractiveProbing/seed1/task-scratch"  # nobody has run it
    missing = Trial(name, "prediction", "languages", "InteractiveProbing", 1, "task", "scratch")
    zoos = {"languages": {"path": str(zoo_path), "target": "task"}, "images": {"target": "angle"}}
    settings = {"compare_with": "InteractiveProbing", "seeds": list(SEEDS), "zoos": zoos}
    return write_record(folder, [*trials, missing], settings)
