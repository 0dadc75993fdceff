"""A small, unfinished benchmark with made up results."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from wsrl.studies.benchmark.results import TRIALS, Ablation, Cost, Result, Trial, write_result
from wsrl.studies.embeddings import write_embeddings
from wsrl.zoos import Zoo, open_zoo

SEEDS = (0, 1)
ENCODERS = ("InteractiveProbing", "LayerwiseStatistics")
CURVES = {"validation/total_variation": ([2, 4], [0.5, 0.4]), "train/loss": ([4], [0.3])}


def make_up(
    folder: Path,
    trial: Trial,
    metrics: dict[str, float],
    error: str | None = None,
    trained: bool = False,
    by_spec: dict[str, dict[str, dict[str, float]]] | None = None,
) -> Trial:
    """Keep a result."""
    here = folder / TRIALS / trial.name
    here.mkdir(parents=True)
    by_spec = by_spec or {}
    tested = {"metrics": metrics, "metrics_by_spec": by_spec}
    (here / "test.json").write_text(json.dumps(tested))
    commands = (f"wsrl fit --run {here} --seed_everything {trial.seed}",)
    cost = Cost(1000, 400, 4, 0.5 + trial.seed, 8.0) if trained else None
    made_with = {"torch": torch.__version__, "device": "cpu"}
    curves = CURVES if trained else {}
    result = Result(trial, error, commands, metrics, cost, curves, made_with, 0.0, by_spec)
    write_result(here, result)
    return trial


def embed(path: Path, zoo: Zoo) -> None:
    """Write embeddings of a whole zoo."""
    columns = {name: zoo.read(name) for name in ("run", "step", "task", "performance")}
    columns |= {"row": torch.arange(len(zoo)), "split": torch.arange(len(zoo)) % 3}
    columns["embedding"] = torch.randn(len(zoo), 4, generator=torch.Generator().manual_seed(0))
    write_embeddings(path, columns, ["train", "validation", "ood"], {"zoo": str(zoo.path)}, zoo)


def made_up(folder: Path, zoo: Zoo) -> list[Trial]:
    """Encoders, baselines, an ablation, a failed trial, another zoo, measured properties."""
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
            of, where = ("languages", encoder, seed), f"languages/{encoder}/seed{seed}"
            value = 0.3 + place / 10 + seed / 100
            names = ("total_variation", "reverse_kl", "clone_difference")
            metrics = {f"{s}/{name}": value for s in ("validation", "ood") for name in names}
            trial = Trial(f"{where}/emulation", "emulation", *of)
            of_specs = {
                s: {
                    "gru <1x8>": {"total_variation": value - 0.2, "clone_score": 0.5},
                    "lstm 1x4": {"total_variation": 0.9 - value},
                }
                for s in ("validation", "ood")
            }
            trials.append(make_up(folder, trial, metrics, trained=True, by_spec=of_specs))
            if seed == SEEDS[0]:
                embed(folder / TRIALS / trial.name / "embeddings.safetensors", zoo)
            names = ("exact_match", "part_accuracy")
            metrics = {f"{s}/{name}": 1 - value for s in ("validation", "ood") for name in names}
            trial = Trial(f"{where}/task-frozen", "prediction", *of, "task", "frozen")
            trials.append(make_up(folder, trial, metrics, trained=True))
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
    zoo = open_zoo(zoo_path)
    name = "languages/InteractiveProbing/seed1/task-scratch"  # nobody has run it
    missing = Trial(name, "prediction", "languages", "InteractiveProbing", 1, "task", "scratch")
    zoos = {"languages": {"path": str(zoo.path), "target": "task"}, "images": {"target": "angle"}}
    settings = {"compare_with": "InteractiveProbing", "seeds": list(SEEDS), "zoos": zoos}
    return write_record(folder, [*made_up(folder, zoo), missing], settings)
