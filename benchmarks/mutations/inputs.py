"""Small valid inputs of every kind, made by wsrl itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from benchmarks.mutations.parquet import write_parquet

CONFIGS = {
    "zoo.yaml": """\
problem: formal_languages
num_tokens: 3
length: 12
max_n: 4
min_difference: -2
max_difference: 2
runs: 24
snapshots: [0, 20]
hidden_size: 6
num_layers: 1
batch_size: 8
evaluated_strings: 16
stored_strings: 8
group_size: 8
""",
    "binding.yaml": """\
problem: variable_binding
steps: 2
dims: 2
tasks: [repeat_copy]
cell: tanh
bias: false
runs: 2
snapshots: [0, 5]
hidden_size: 10
num_layers: 1
evaluated_sequences: 4
stored_sequences: 2
""",
    "emulation.yaml": """\
model:
  class_path: wsrl.EmulationModule
  init_args:
    encoder:
      class_path: LayerwiseStatistics
      init_args: {width: 8, depth: 1}
    emulator_width: 8
    emulator_layers: 1
    clone_rnns: 2
    clone_sequences: 2
    figures: false
data: {batch_size: 8, steps_per_epoch: 4}
trainer: {max_steps: 8, log_every_n_steps: 1, enable_model_summary: false}
""",
    "prediction.yaml": """\
model:
  class_path: wsrl.PredictionModule
  init_args: {target: task, mode: frozen, head_width: 8, head_layers: 1}
data: {batch_size: 8, steps_per_epoch: 4}
trainer: {max_steps: 8, log_every_n_steps: 1, enable_model_summary: false}
""",
    "benchmark.yaml": """\
seeds: [0]
encoders: [ConstantEmbedding]
zoos: {languages: {path: zoo, target: task}}
emulation: {config: emulation_small.yaml, options: {trainer.max_steps: 4, data.steps_per_epoch: 4,
  data.batch_size: 8, model.clone_rnns: 2, model.clone_sequences: 2, model.figures: false,
  model.emulator_width: 8, model.emulator_layers: 1}}
prediction: {config: prediction.yaml, options: {trainer.max_steps: 4}}
compare_with: ConstantEmbedding
baselines: [mean]
properties: []
""",
}
PACK = "zoo pack models --output_kind categorical --inputs one_hot --length 10 --sequences_stored 4"
STEPS = (
    "zoo build --config zoo.yaml --quiet true --out zoo",
    "zoo build --config zoo.yaml --quiet true --out unfinished --part 1/2",
    "zoo build --config binding.yaml --quiet true --out binding",
    f"{PACK} --table table.csv --task animal --out packed",
    "fit --config emulation.yaml --data.zoo zoo --run run",
    "test --run run --ckpt_path best",
    "fit --config prediction.yaml --data.zoo zoo --model.pretrained run/checkpoints/best.ckpt "
    "--run predicted",
    "inspect own.pt --ckpt run",
    "benchmark --config benchmark.yaml --out bench",
)
RUNS = 12
"""RNNs in ``models``, half of them safetensors."""


def make_inputs(folder: Path, environment: dict[str, str]) -> None:
    """Make zoos, one of them half built, runs, models, tables, configs and a benchmark.

    The table is there as Parquet, too, where pyarrow is installed.
    """
    folder.mkdir(parents=True)
    for name, text in CONFIGS.items():
        (folder / name).write_text(text)
    _make_models(folder)
    for step in STEPS:
        words = [sys.executable, "-m", "wsrl.cli", *step.split()]
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"wsrl {step}: status {done.returncode}\n{done.stderr[-3000:]}")
    (folder / "empty").mkdir()


def _make_models(folder: Path) -> None:
    (folder / "models").mkdir()
    lines = ["file,animal,size,run"]
    for number in range(RUNS + 1):
        torch.manual_seed(number)
        parts = nn.ModuleDict({"rnn": nn.LSTM(5, 6, batch_first=True), "readout": nn.Linear(6, 5)})
        state = parts.state_dict()
        if number == RUNS:
            torch.save(state, folder / "own.pt")
            save_file(state, folder / "own.safetensors")
            continue
        name = f"m{number:02d}.{'pt' if number % 2 else 'safetensors'}"
        (torch.save if number % 2 else save_file)(state, folder / "models" / name)
        lines.append(f"{name},{('dog', 'cat', 'mouse')[number % 3]},{number / 2},{number}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    write_parquet(folder / "table.csv", folder / "table.parquet")


def clean_environment(folder: Path) -> dict[str, str]:
    """Return the environment of all commands: one thread, and a home of their own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WSRL_")}
    own = {"HOME": "home", "TMPDIR": "tmp", "WSRL_CACHE": "cache", "MPLCONFIGDIR": "cache"}
    return (
        kept | {name: str(folder / part) for name, part in own.items()} | {"OMP_NUM_THREADS": "1"}
    )
