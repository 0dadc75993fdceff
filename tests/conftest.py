"""Set-up shared by all tests: a small zoo of real RNNs, trained once a session."""

from __future__ import annotations

import gzip
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

# Tests share their cores: one thread each, where a test does not ask for more, and no spinning.
# Before numpy and torch are there; the processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
import torch
from hypothesis import HealthCheck, settings

import wsrl  # noqa: F401 first: it lets torchvision, and so Lightning, be imported beside a CPU torch
from wsrl.problems import FormalLanguages, TiledImages
from wsrl.zoos import BuildSettings, Zoo, build_zoo, build_zoos, open_zoo, settings_grid

# Ctrl-C reaches the tests and what they start, also in the background of a script.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "wsrl",
    derandomize=True,  # the same examples on every machine and on every day
    database=None,
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("wsrl")

DATA = Path(os.environ.get("WSRL_DATA", Path(__file__).parents[2] / "shared" / "data"))
"""Real data for tests; those that read it skip where it is not."""

SMALL_PROBLEM = {
    "num_tokens": 3,
    "length": 16,
    "max_n": 4,
    "min_difference": -2,
    "max_difference": 1,
    "evaluated_strings": 40,
    "stored_strings": 8,
}
SMALL_BUILD = {
    "runs": 24,
    "snapshots": [0, 20, 60],
    "hidden_size": 6,
    "group_size": 10,
    "seed": 3,
}


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    """A command that is run in this process may leave handlers, which forked processes inherit."""
    before = {
        number: signal.getsignal(number)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    }
    yield
    for number, handler in before.items():
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="session")
def zoo_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small formal-language zoo; tests must not write to it."""
    path = tmp_path_factory.mktemp("zoos") / "small"
    build_zoo(path, FormalLanguages(**SMALL_PROBLEM), BuildSettings(**SMALL_BUILD), quiet=True)
    return path


@pytest.fixture(scope="session")
def collection_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three small zoos of languages, 36 snapshots each; tests must not write to it.

    In two of them the RNNs are LSTMs of one and the same task and training data as the GRUs'.
    """
    path = tmp_path_factory.mktemp("zoos") / "mixed"
    settings = BuildSettings(runs=12, snapshots=(0, 20, 60), group_size=12, num_layers=1, seed=3)
    grid = settings_grid(settings, ["gru", "lstm"], [4, 6])
    del grid["gru-6"]
    build_zoos(path, FormalLanguages(**SMALL_PROBLEM), grid, quiet=True)
    return path


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small zoo of digit classifiers; tests must not write to it."""
    path = tmp_path_factory.mktemp("zoos") / "digits"
    problem = TiledImages(evaluated_images=40, stored_sequences=3)
    settings = BuildSettings(
        runs=10, snapshots=(0, 10, 30), hidden_size=6, num_layers=1, batch_size=8
    )
    build_zoo(path, problem, settings, quiet=True)
    return path


@pytest.fixture
def zoo(zoo_path: Path) -> Zoo:
    return open_zoo(zoo_path)


@pytest.fixture(scope="session")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with MNIST in the layout that torchvision reads."""
    packed = sorted((DATA / "MNIST" / "raw").glob("*.gz"))
    if not packed:
        pytest.skip(f"no MNIST at {DATA / 'MNIST' / 'raw'} (set WSRL_DATA)")
    raw = tmp_path_factory.mktemp("images") / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in packed:
        with gzip.open(path) as source, (raw / path.stem).open("wb") as target:
            shutil.copyfileobj(source, target)
    return raw.parents[1]
