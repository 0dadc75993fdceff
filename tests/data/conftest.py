from __future__ import annotations

from pathlib import Path

import pytest
from torch import Tensor
from torch.nn.functional import pad

from wsrl.data import ZooDataModule
from wsrl.problems import FormalLanguages
from wsrl.rnn import MixedRNNs, RNNs
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


@pytest.fixture(params=["zoo", "collection"])
def any_path(request: pytest.FixtureRequest) -> str:
    """A zoo, or a folder of three zoos of RNNs of several specs."""
    name = "zoo_path" if request.param == "zoo" else "collection_path"
    return str(request.getfixturevalue(name))


def flat(rnns: RNNs, width: int = 1000) -> Tensor:
    """Return the weights of RNNs, of one spec or several, filled up with zeros."""
    groups = rnns.groups if isinstance(rnns, MixedRNNs) else (rnns,)
    parts = [pad(group.flat, (0, width - group.flat.shape[1])) for group in groups]
    return rnns.join(parts) if isinstance(rnns, MixedRNNs) else parts[0]


@pytest.fixture
def datamodule(zoo_path: str) -> ZooDataModule:
    return ZooDataModule(
        zoo_path, batch_size=8, sequences_per_rnn=2, steps_per_epoch=5, eval_batch_size=7
    )
