"""How far encoders carry over to RNNs of other cells and sizes than they were trained on.

python benchmarks/any_rnn.py ZOOS OUT [--train lstm lstm,gru lstm,gru,relu,tanh]
    [--held lstm-8 lstm-64 leaky-32 min_gru-32] [--encoders FreeRunningProbing ...] [--seeds 0 1]

ZOOS is a folder of zoos of one problem, made with one seed so that all have the same tasks; a
zoo is named by cell and hidden size, as ``lstm-16``. Each encoder is trained by emulation on the
zoos of each set of cells, but those that are ``held``. Then it is asked of every zoo, on tasks
that no training had:

- emulation: the mean total variation between RNN and emulator;
- task: whether a linear readout, fitted on the embeddings of training RNNs of training tasks,
  names all parts of an RNN's task, or comes within a 24th of the circle where tasks are angles;
  of RNNs of the last two snapshots.

A baseline reads the answers to random sequences by the same readout. A trial that is done is not
made again: run the same command to go on, and with more seeds or encoders. The table goes to
OUT/table.md, a picture of each encoder's last trial on each set to OUT/embeddings-ENCODER-SET.png.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import wsrl
from wsrl.analysis.readouts import answers, draw_probes
from wsrl.data import ZooDataModule
from wsrl.tasks.losses import get_loss

ROOT = Path(__file__).resolve().parent.parent
BASELINE = "random_probes"
SEQUENCES = 8
NEAR = 24  # an angle is found within this part of the circle, as 15 of 360 degrees


def encoder_config(encoder: str) -> Path:
    return ROOT / "configs" / "encoders" / f"{encoder}_small.yaml"


def train(run: Path, encoder: str, zoos: list[Path], seed: int, steps: int) -> None:
    """Train by emulation in a process of its own; one that was interrupted goes on."""
    done = run / "trained"
    if done.exists():
        return
    command = [
        sys.executable,
        "-m",
        "wsrl",
        "fit",
        "--config",
        ROOT / "configs/emulation_small.yaml",
    ]
    command += ["--config", encoder_config(encoder), "--run", run, "--seed_everything", str(seed)]
    command += ["--data.zoo", f"[{', '.join(map(str, zoos))}]", "--data.seed", str(seed)]
    command += ["--data.steps_per_epoch", "500", "--data.draw", "evenly"]
    command += ["--trainer.max_steps", str(steps), "--model.clone_rnns", "0"]
    command += ["--trainer.enable_progress_bar", "false", "--model.figures", "false"]
    if (run / "checkpoints" / "last.ckpt").exists():
        command += ["--ckpt_path", "last"]
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    done.touch()


class Asked:
    """One zoo, its RNNs of tasks that are in the training split, and of others."""

    def __init__(self, zoo: Path, known: set[tuple[float, ...]]) -> None:
        self.name, self.zoo = zoo.name, wsrl.open_zoo(zoo)
        self.task = self.zoo.read("task")
        self.seen = torch.tensor([tuple(task) in known for task in self.task.tolist()])
        trained = sorted(self.zoo.steps)[-2:]
        self.trained = torch.isin(self.zoo.read("step"), torch.tensor(trained))


@torch.no_grad()
def emulation_error(module: wsrl.EmulationModule, asked: Asked, points: torch.Tensor) -> float:
    """Return the mean total variation on stored sequences of RNNs of unseen tasks."""
    rows = (~asked.seen).nonzero()[:, 0]
    losses = []
    for part in rows.split(256):
        picks = torch.arange(SEQUENCES).expand(len(part), -1)
        sequences, outputs = asked.zoo.read_sequences(part, picks)
        emulated = module.emulate(points[part], asked.zoo.problem.encode(sequences))
        loss = get_loss("total_variation", "categorical")(emulated, outputs.float())
        losses.append(loss.flatten(1).mean(1))
    return float(torch.cat(losses).mean())


def fit_parts(
    known: np.ndarray, tasks: np.ndarray
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Fit a linear classifier of each part; return what tells which RNNs' tasks are all named."""
    readouts = []
    for part in tasks.T:
        readout = make_pipeline(StandardScaler(), LogisticRegression(C=10, max_iter=300))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            readouts.append(readout.fit(known, part) if len(set(part)) > 1 else None)

    def judge(features: np.ndarray, truth: np.ndarray) -> np.ndarray:
        told = zip(readouts, truth.T, strict=True)
        return np.all([r is None or r.predict(features) == part for r, part in told], axis=0)

    return judge


def fit_angle(
    known: np.ndarray, tasks: np.ndarray, period: float
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Fit cosine and sine linearly; return what tells which RNNs' angles are nearly found."""
    around = tasks[:, 0] * 2 * np.pi / period
    readout = make_pipeline(StandardScaler(), Ridge(1.0))
    readout.fit(known, np.stack([np.cos(around), np.sin(around)], axis=1))

    def judge(features: np.ndarray, truth: np.ndarray) -> np.ndarray:
        cosine, sine = readout.predict(features).T
        apart = np.arctan2(sine, cosine) - truth[:, 0] * 2 * np.pi / period
        return np.abs(np.angle(np.exp(1j * apart))) <= 2 * np.pi / NEAR

    return judge


def exact_task(features: dict[str, np.ndarray], zoos: list[Asked], fitted: set[str]) -> dict:
    """Fit a linear readout of the task; return the share right by zoo."""

    def rows(asked: Asked, seen: bool) -> np.ndarray:
        return ((asked.seen == seen) & asked.trained).nonzero()[:, 0].numpy()

    own = [asked for asked in zoos if asked.name in fitted]
    known = np.concatenate([features[a.name][rows(a, True)] for a in own])
    tasks = np.concatenate([a.task.numpy()[rows(a, True)] for a in own])
    period = zoos[0].zoo.problem.task_period
    judge = fit_parts(known, tasks) if period is None else fit_angle(known, tasks, period)
    found: dict[str, dict[str, float]] = {}
    for asked in zoos:
        for seen, what in ((True, "task, seen"), (False, "task, unseen")):
            at = rows(asked, seen)
            right = judge(features[asked.name][at], asked.task.numpy()[at])
            found.setdefault(asked.name, {})[what] = float(right.mean())
    return found


def draw(features: dict[str, np.ndarray], zoos: list[Asked], held: set[str], out: Path) -> None:
    """Draw two components of the embeddings, coloured by task and by cell and size."""
    rows = {a.name: a.trained.nonzero()[:, 0].numpy() for a in zoos}
    points = PCA(2).fit_transform(np.concatenate([features[n][r] for n, r in rows.items()]))
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
    tasks = np.concatenate([a.task.numpy()[rows[a.name]] for a in zoos])
    spread = np.ptp(tasks, axis=0)
    colours = (tasks - tasks.min(0)) / np.where(spread == 0, 1, spread)
    left.scatter(*points.T, c=colours[:, :3] if tasks.shape[1] >= 3 else colours[:, 0], s=6)
    left.set_title("coloured by task")
    start = 0
    for index, (name, own) in enumerate(rows.items()):
        part = points[start : start + len(own)]
        label = f"{name} (no training)" if name in held else name
        right.scatter(*part.T, s=6, color=plt.get_cmap("tab20")(index), label=label)
        start += len(own)
    right.set_title("coloured by cell and size")
    right.legend(fontsize=7, markerscale=2)
    figure.savefig(out, dpi=130)
    plt.close(figure)


def make_trial(given: argparse.Namespace, encoder: str, cells: str, seed: int) -> None:
    """Train and ask one encoder; keep what was found in OUT/found."""
    name = f"{encoder}-{cells.replace(',', '+')}-{seed}"
    file, run = given.out / "found" / f"{name}.json", given.out / "runs" / name
    if file.exists():
        return
    every = sorted(path for path in given.zoos.iterdir() if (path / "manifest.json").exists())
    own = [
        z for z in every if z.name.split("-")[0] in cells.split(",") and z.name not in given.held
    ]
    known = ZooDataModule([str(zoo) for zoo in own], eval_batch_size=256)
    tasks = known.zoo.read("task", torch.from_numpy(known.rows("train")))
    zoos = [Asked(zoo, {tuple(task) for task in tasks.tolist()}) for zoo in every]
    fitted, begun = {zoo.name for zoo in own}, time.perf_counter()
    found: dict[str, dict[str, float]] = {}
    if encoder == BASELINE:
        suited = known.encoder_defaults
        length, values = suited.get("probing_length", 22), suited.get("input_activation", "softmax")
        random = torch.Generator().manual_seed(seed)
        probes = draw_probes(8, length, zoos[0].zoo.interface.input_size, values, random)
        said = {a.name: answers(a.zoo.read_weights(), probes).softmax(-1) for a in zoos}
        raw = {zoo: shares.flatten(1).numpy() for zoo, shares in said.items()}
        components = PCA(64, random_state=seed).fit(np.concatenate([raw[z] for z in fitted]))
        features = {zoo: components.transform(values) for zoo, values in raw.items()}
    else:
        train(run, encoder, own, seed, given.steps)
        module = wsrl.EmulationModule.load_from_checkpoint(run / "checkpoints" / "best.ckpt").eval()
        points = {a.name: wsrl.embed(module.encoder, a.zoo.read_weights()) for a in zoos}
        for asked in zoos:
            error = emulation_error(module, asked, points[asked.name])
            found[asked.name] = {"emulation": error}
        features = {zoo: value.numpy() for zoo, value in points.items()}
        picture = given.out / f"embeddings-{encoder}-{cells.replace(',', '+')}.png"
        draw(features, zoos, {a.name for a in zoos} - fitted, picture)
    for zoo, shares in exact_task(features, zoos, fitted).items():
        found.setdefault(zoo, {}).update(shares)
    trial = {"encoder": encoder, "cells": cells, "seed": seed, "steps": given.steps, "zoos": found}
    trial |= {"fitted": sorted(fitted), "seconds": time.perf_counter() - begun}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(trial, indent=1))
    print(f"{name}: {trial['seconds']:.0f} s", flush=True)


def write_table(out: Path) -> None:
    """Write the means over seeds, for every set of training cells, of every zoo."""
    trials = [json.loads(file.read_text()) for file in sorted((out / "found").glob("*.json"))]
    zoos = sorted({zoo for trial in trials for zoo in trial["zoos"]})
    lines = []
    for metric in ("emulation", "task, seen", "task, unseen"):
        lines += [f"\n**{metric}**\n", f"| encoder | trained on | seeds | {' | '.join(zoos)} |"]
        lines.append("|---" * (3 + len(zoos)) + "|")
        for encoder, cells in sorted({(t["encoder"], t["cells"]) for t in trials}):
            same = [t for t in trials if (t["encoder"], t["cells"]) == (encoder, cells)]
            values = []
            for zoo in zoos:
                known = [t["zoos"][zoo][metric] for t in same if metric in t["zoos"].get(zoo, {})]
                mean = statistics.mean(known) if known else None
                text = (
                    ""
                    if mean is None
                    else f"{mean:.3f}"
                    if metric == "emulation"
                    else f"{mean:.0%}"
                )
                values.append(f"**{text}**" if text and zoo in same[0]["fitted"] else text)
            lines.append(f"| {encoder} | {cells} | {len(same)} | {' | '.join(values)} |")
    seconds = sum(trial["seconds"] for trial in trials)
    lines.append(
        f"\nBold: cells and sizes of the training. {len(trials)} trials, {seconds / 3600:.1f} h."
    )
    (out / "table.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("zoos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--train", nargs="+", default=["lstm", "lstm,gru", "lstm,gru,relu,tanh"])
    parser.add_argument("--held", nargs="+", default=[])
    parser.add_argument("--encoders", nargs="+", default=[BASELINE, "FreeRunningProbing"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--steps", type=int, default=1500)
    given = parser.parse_args()
    for seed in given.seeds:
        for encoder in given.encoders:
            for cells in given.train:
                make_trial(given, encoder, cells, seed)
                write_table(given.out)


if __name__ == "__main__":
    main()
