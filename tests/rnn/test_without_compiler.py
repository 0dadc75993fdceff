"""On a machine without a compiler everything works, and gives what the kernels give."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from wsrl.encoders.probing import InteractiveProbing, NoninteractiveProbing
from wsrl.encoders.statistics import LayerwiseStatistics
from wsrl.rnn import RNNSpec, RNNWeights, run_population
from wsrl.rnn.kernels import compilation
from wsrl.tasks.emulator import ConditionedEmulator

KINDS = ("lstm", "lstm_cell", "statistics")
SPEC = RNNSpec("lstm", 3, 6, 2, 3)
SIZES = {"embedding_dim": 4, "probing_length": 5, "probe_width": 8, "reader_width": 16}


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


def test_results_are_those_of_the_kernels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for kind in KINDS:
        if isinstance(missing := compilation.library(kind), Exception):
            pytest.skip(str(missing))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)  # with many, few RNNs go to PyTorch
    ours = results()
    monkeypatch.setenv("CXX", "/nonexistent")
    monkeypatch.setenv("WSRL_CACHE", str(tmp_path / "cache"))
    compilation.library.cache_clear()
    compilation.warn_once.cache_clear()
    try:
        theirs = results()
        assert all(isinstance(compilation.library(kind), Exception) for kind in KINDS)
        weights = RNNWeights(torch.zeros(2, SPEC.num_parameters), SPEC)
        with pytest.raises(ValueError, match="backend 'cpu' cannot be used here: no C"):
            run_population(weights, torch.zeros(2, 1, 1, 3), backend="cpu")
    finally:
        compilation.library.cache_clear()
    assert caplog.text.count("no C++ compiler (/nonexistent) was found") == 1
    assert "PyTorch does the kernels' work instead" in caplog.text
    assert not (tmp_path / "cache").exists()
    assert ours.keys() == theirs.keys()
    for name, values in ours.items():
        for value, other in zip(values, theirs[name], strict=True):
            allowed = 1e-5 * max(1.0, float(value.abs().max()))
            torch.testing.assert_close(value, other, rtol=0, atol=allowed, msg=name)
