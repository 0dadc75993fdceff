"""A small encoder with its zoo and two prediction runs, and RNNs that were trained elsewhere."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional

from wsrl.cli import main
from wsrl.problems import FormalLanguages
from wsrl.zoos import BuildSettings, build_zoo

LENGTH, LARGEST, HIDDEN = 14, 4, 12
LANGUAGES = [(0, *rest) for rest in itertools.product((-1, 0, 1), repeat=2)]
"""All of the zoo's: a^k b^(k+m2) c^(k+m3)."""

PROBING = {"probing_length": 8, "probe_width": 24, "reader_width": 24, "reader_layers": 1}
EMULATION = {
    "model": {
        "class_path": "wsrl.EmulationModule",
        "init_args": {
            "encoder": {"class_path": "InteractiveProbing", "init_args": PROBING},
            "loss": "kl",
            "emulator_width": 48,
            "emulator_layers": 1,
            "figures": False,
            "condition_every_step": True,
            "learning_rate": 4e-3,
            "clone_rnns": 0,
        },
    },
    "data": {"batch_size": 32, "steps_per_epoch": 300},
    "trainer": {"max_steps": 300, "enable_model_summary": False, "logger": False},
}
PREDICTION = {
    "model": {"class_path": "wsrl.PredictionModule", "init_args": {"mode": "frozen"}},
    "data": {"batch_size": 32, "steps_per_epoch": 60, "ood_to_train": True},
    "trainer": {"max_steps": 60, "enable_model_summary": False, "logger": False},
}


class Own(nn.Module):
    """An RNN as anybody would write it."""

    def __init__(
        self, hidden: int = HIDDEN, tokens: int = 5, cell: type[nn.RNNBase] = nn.LSTM
    ) -> None:
        super().__init__()
        self.net = cell(tokens, hidden, batch_first=True)
        self.head = nn.Linear(hidden, tokens)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.net(functional.one_hot(tokens, 5).float())[0])  # type: ignore[no-any-return]


def train_own(language: Sequence[int], seed: int, **options: Any) -> Own:
    """Train one on strings of a language; nothing of wsrl is in here."""
    torch.manual_seed(seed)
    model = Own(**options)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    strings = []
    for k in range(max(0, -min(language)), LARGEST):
        string = [3] + [letter for letter, more in enumerate(language) for _ in range(k + more)]
        strings.append(string + [4] * (LENGTH - len(string)))
    known = torch.tensor(strings)
    for _ in range(250):
        batch = known[torch.randint(len(known), (16,))]
        loss = functional.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


@pytest.fixture(scope="session")
def language_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``zoo``, the run ``emulation``, and the runs ``task`` and ``performance``."""
    folder = tmp_path_factory.mktemp("inspection")
    problem = FormalLanguages(
        num_tokens=3,
        length=LENGTH,
        max_n=LARGEST,
        min_difference=-1,
        max_difference=1,
        evaluated_strings=100,
        stored_strings=16,
    )
    settings = BuildSettings(
        runs=90,
        snapshots=(0, 100, 400),
        hidden_size=HIDDEN,
        num_layers=1,
        group_size=90,
        learning_rates=((0, 0.02), (400, 0.005)),
    )
    build_zoo(folder / "zoo", problem, settings, quiet=True)
    fit(folder, "emulation", EMULATION)
    for target in ("task", "performance"):
        pretrained = ["--model.pretrained", str(folder / "emulation/checkpoints/best.ckpt")]
        fit(folder, target, PREDICTION, "--model.target", target, *pretrained)
    return folder


def fit(folder: Path, run: str, config: object, *options: str) -> None:
    """Train a run in a folder beside its zoo."""
    path = folder / f"{run}.yaml"
    path.write_text(yaml.safe_dump(config))
    zoo = ["--data.zoo", str(folder / "zoo"), "--run", str(folder / run)]
    assert main(["fit", "--config", str(path), *zoo, *options]) == 0


@pytest.fixture(scope="session")
def own_rnns() -> list[tuple[tuple[int, ...], Own]]:
    """Ten RNNs with the language that each was trained on."""
    with torch.random.fork_rng():
        return [
            (LANGUAGES[number % 9], train_own(LANGUAGES[number % 9], number))
            for number in range(10)
        ]
