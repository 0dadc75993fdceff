from __future__ import annotations

from pathlib import Path

import pytest

from wsrl.data import ZooDataModule
from wsrl.problems import FormalLanguages
from wsrl.zoos import BuildSettings, build_zoo

RUNS = 40
SNAPSHOTS = (0, 2, 4)
STORED = 5


@pytest.fixture(scope="session")
def zoo_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A zoo of 40 tiny RNNs with 3 snapshots each, in 3 shards."""
    path: Path = tmp_path_factory.mktemp("zoo") / "zoo"
    problem = FormalLanguages(
        num_tokens=3, length=14, max_n=5, evaluated_strings=8, stored_strings=STORED
    )
    settings = BuildSettings(
        runs=RUNS, snapshots=SNAPSHOTS, hidden_size=4, batch_size=4, group_size=16
    )
    build_zoo(path, problem, settings, device="cpu", quiet=True)
    return str(path)


@pytest.fixture
def datamodule(zoo_path: str) -> ZooDataModule:
    return ZooDataModule(
        zoo_path, batch_size=8, sequences_per_rnn=2, steps_per_epoch=5, eval_batch_size=7
    )
