"""What all task modules share: checkpoints that are never unpickled."""

from __future__ import annotations

import os
from pathlib import Path
from pickle import UnpicklingError

import pytest
import torch

from wsrl.tasks import EmulationModule, PredictionModule


class Payload:
    """Unpickling this makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("module", [EmulationModule, PredictionModule])
def test_a_checkpoint_with_code_in_it_does_not_run(
    module: type[EmulationModule | PredictionModule], tmp_path: Path
) -> None:
    trap = tmp_path / "trap"
    torch.save({"state_dict": {}, "hyper_parameters": Payload(trap)}, tmp_path / "bad.ckpt")
    with pytest.raises(UnpicklingError):
        module.load_from_checkpoint(tmp_path / "bad.ckpt")
    assert not trap.exists()
    torch.load(tmp_path / "bad.ckpt", weights_only=False)  # the trap works
    assert trap.exists()
