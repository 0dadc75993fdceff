"""On a machine without a compiler everything works, and gives what the kernels give."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from wsrl.encoders.probing import InteractiveProbing, NoninteractiveProbing
from wsrl.encoders.statistics import LayerwiseStatistics
from wsrl.rnn import RNNSpec, RNNWeights
from wsrl.rnn.kernels import compilation
from wsrl.tasks.emulator import ConditionedEmulator

KINDS = ("lstm", "lstm_cell", "statistics")
SPEC = RNNSpec("lstm", 3, 6, 2, 3)
SIZES = {"embedding_dim": 4, "probing_length": 5, "probe_width": 8, "reader_width": 16}
WITHOUT = """
import sys, torch
from tests.rnn.test_without_compiler import KINDS, results
from wsrl.rnn.kernels import compilation
torch.set_num_threads(1)
torch.save(results(), sys.argv[1])
assert all(isinstance(compilation.library(kind), Exception) for kind in KINDS)
"""


def results() -> dict[str, list[Tensor]]:
    """Return what all that uses kernels computes, and its gradients."""
    torch.manual_seed(0)
    flat = torch.rand(5, SPEC.num_parameters) - 0.5
    inputs = torch.randn(5, 4, 6, 3)
    found = {}
    for encoder in (
        LayerwiseStatistics(SPEC, 4, width=16),
        NoninteractiveProbing(SPEC, **SIZES),
        InteractiveProbing(SPEC, **SIZES),
    ):
        found[type(encoder).__name__] = _with_gradients(encoder, encoder(RNNWeights(flat, SPEC)))
    emulator = ConditionedEmulator(3, 3, 4, width=16)
    outputs, _ = emulator(torch.randn(5, 4), inputs)
    found["ConditionedEmulator"] = _with_gradients(emulator, outputs)
    return found


def _with_gradients(module: torch.nn.Module, outputs: Tensor) -> list[Tensor]:
    directions = torch.randn(outputs.shape)
    return [
        outputs.detach(),
        *torch.autograd.grad((outputs * directions).sum(), module.parameters()),
    ]


def test_results_are_those_of_the_kernels(tmp_path: Path) -> None:
    for kind in KINDS:
        if isinstance(missing := compilation.library(kind), Exception):
            pytest.skip(str(missing))
    cache = tmp_path / "cache"
    command = [sys.executable, "-c", WITHOUT, str(tmp_path / "results")]
    environment = os.environ | {"CXX": "/nonexistent", "WSRL_CACHE": str(cache)}
    root = Path(__file__).parents[2]
    done = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "no C++ compiler (/nonexistent) was found" in done.stderr
    assert not cache.exists()
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # with many, auto would take PyTorch for few RNNs
    try:
        ours = results()
    finally:
        torch.set_num_threads(before)
    theirs = torch.load(tmp_path / "results")
    assert ours.keys() == theirs.keys()
    for name, values in ours.items():
        for value, other in zip(values, theirs[name], strict=True):
            allowed = 1e-5 * max(1.0, float(value.abs().max()))
            torch.testing.assert_close(value, other, rtol=0, atol=allowed, msg=name)
