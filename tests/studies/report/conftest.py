"""A small benchmark: real runs of two encoders, and made up results beside them."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
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
    *("--data.steps_per_epoch", "4", "--data.batch_size", "4"),
]
EMULATION = [
    *("--model.clone_rnns", "4", "--model.clone_sequences", "4", "--model.figures", "false"),
    *("--model.emulator_width", "8", "--model.emulator_layers", "1"),
]
ENCODERS: dict[str, list[str]] = {
    "InteractiveProbing": [
        *("--model.encoder.probing_length", "3", "--model.encoder.reader_width", "8"),
        *("--model.encoder.probe_width", "8"),
    ],
    "LayerwiseStatistics": ["--model.encoder.width", "8"],
}


def settings(zoo: Path) -> dict[str, Any]:
    return {
        "compare_with": "InteractiveProbing",
        "seeds": list(SEEDS),
        "zoos": {"languages": {"path": str(zoo), "target": "task"}, "images": {"target": "angle"}},
    }


def run(folder: Path, cell: Trial, commands: list[list[str]]) -> None:
    """Run the commands of a cell, as one would by hand, and keep its result."""
    for words in commands:
        assert main(words) == 0, words
    here = folder / TRIALS / cell.name
    metrics = json.loads((here / "test.json").read_text())["metrics"]
    cost = Cost(1000 * (1 + cell.seed), 400, 4, 0.5 + cell.seed, 8.0)
    curves = {"validation/total_variation": ([2, 4], [0.5, 0.4]), "train/loss": ([4], [0.3])}
    shown = tuple(shlex.join(["wsrl", *words]) for words in commands)
    made_with = {"torch": torch.__version__, "device": "cpu"}
    write_result(here, Result(cell, None, shown, metrics, cost, curves, made_with))


def train(folder: Path, zoo: Path, encoder: str, seed: int) -> list[Trial]:
    """Pre-train, test and embed; predict the task from the frozen embeddings."""
    place = f"languages/{encoder}/seed{seed}"
    emulation = Trial(f"{place}/emulation", "emulation", "languages", encoder, seed)
    frozen = Trial(
        f"{place}/task-frozen", "prediction", "languages", encoder, seed, "task", "frozen"
    )
    here, there = (str(folder / TRIALS / cell.name) for cell in (emulation, frozen))
    data = ["--data.zoo", str(zoo), "--seed_everything", str(seed), *TINY]
    model = ["--model", "wsrl.EmulationModule", "--model.encoder", encoder, *ENCODERS[encoder]]
    commands = [["fit", *model, *data, *EMULATION, "--run", here]]
    commands.append(["test", "--run", here, "--ckpt_path", "best"])
    if seed == SEEDS[0]:
        commands.append(["predict", "--run", here, "--ckpt_path", "best"])
    run(folder, emulation, commands)
    model = ["--model", "wsrl.PredictionModule", "--model.target", "task", "--model.mode", "frozen"]
    model += ["--model.pretrained", f"{here}/checkpoints/best.ckpt"]
    commands = [["fit", *model, *data, "--run", there]]
    commands.append(["test", "--run", there, "--ckpt_path", "best"])
    run(folder, frozen, commands)
    return [emulation, frozen]


def make_up(
    folder: Path, cell: Trial, metrics: dict[str, float], error: str | None = None
) -> Trial:
    """Keep a result that nothing was run for."""
    here = folder / TRIALS / cell.name
    here.mkdir(parents=True)
    (here / "test.json").write_text(json.dumps({"metrics": metrics}))
    command = f"wsrl fit --run {here} --seed_everything {cell.seed}"
    write_result(here, Result(cell, error, (command,), metrics))
    return cell


def made_up_cells(folder: Path) -> list[Trial]:
    """Baselines, an ablation, a failed cell, another zoo, measured properties."""
    cells = []
    for seed in SEEDS:
        metrics = {"validation/exact_match": 0.25 + seed / 100, "ood/exact_match": 0.125}
        name = f"languages/baselines/trees/seed{seed}/task"
        cell = Trial(name, "baseline", "languages", "trees", seed, "task")
        cells.append(make_up(folder, cell, metrics))
        variant = "InteractiveProbing-num_probes=2"
        name = f"languages/{variant}/seed{seed}/emulation"
        ablation = Ablation("InteractiveProbing", "num_probes", 2)
        cell = Trial(name, "emulation", "languages", variant, seed, ablation=ablation)
        metrics = {"validation/total_variation": 0.3 + seed / 10, "ood/total_variation": 0.5}
        cells.append(make_up(folder, cell, metrics))
        for place, encoder in enumerate(ENCODERS):
            name = f"images/{encoder}/seed{seed}/angle-frozen"
            cell = Trial(name, "prediction", "images", encoder, seed, "angle", "frozen")
            error = 60.0 + 5 * place + seed
            metrics = {"validation/angular_error": error, "ood/angular_error": error + 20}
            cells.append(make_up(folder, cell, metrics))
    for encoder in ENCODERS:
        cell = Trial(f"properties/{encoder}", "properties", encoder=encoder)
        make_up(folder, cell, {})
        facts = {"name": encoder, "permutation_invariant": True, "parameters": {"8": 1234}}
        facts |= {"changes": {"permutation": 1e-7}, "tells_apart": {"two <languages>": False}}
        facts["same_function"] = ["first", "second"]
        (folder / TRIALS / cell.name / "properties.json").write_text(json.dumps(facts))
        cells.append(cell)
    name = "languages/LayerwiseStatistics/seed1/task-scratch"
    cell = Trial(name, "prediction", "languages", "LayerwiseStatistics", 1, "task", "scratch")
    cells.append(make_up(folder, cell, {}, error="ValueError: <no> memory | left"))
    return cells


@pytest.fixture(scope="session")
def benchmark_path(tmp_path_factory: pytest.TempPathFactory, zoo_path: Path) -> Path:
    """The folder of a small, unfinished benchmark; tests must not write to it."""
    folder = tmp_path_factory.mktemp("benchmarks") / "tiny <comparison> & more"
    cells = [
        cell
        for seed in SEEDS
        for encoder in ENCODERS
        for cell in train(folder, zoo_path, encoder, seed)
    ]
    cells += made_up_cells(folder)
    name = "languages/InteractiveProbing/seed1/task-scratch"  # nobody has run it
    cells.append(Trial(name, "prediction", "languages", "InteractiveProbing", 1, "task", "scratch"))
    content = {"settings": settings(zoo_path), "cells": [asdict(cell) for cell in cells]}
    (folder / "benchmark.json").write_text(json.dumps(content))
    return folder
