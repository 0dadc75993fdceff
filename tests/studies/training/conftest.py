import shutil
from pathlib import Path

import lightning.pytorch  # noqa: F401 here, since its log keeps the stderr it finds at import
import pytest

from tests.studies.training.interruptions import SHORT, fit
from wsrl.cli import main


@pytest.fixture(scope="session")
def finished(zoo_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 6 steps, with a scheduler and curves."""
    run = tmp_path_factory.mktemp("finished") / "run"
    assert main(fit(zoo_path, run, SHORT)) == 0
    return run


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))
