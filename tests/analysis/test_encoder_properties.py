"""Pairs of RNNs are what they are called, and what is measured of encoders is so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.encoders.encoder_cases import PROBING, SPECS, small_encoder
from wsrl.analysis.encoder_properties import (
    Change,
    growth,
    measure_changes,
    measure_encoder,
    measure_seconds,
)
from wsrl.analysis.rnn_pairs import Pair, make_pairs, random_rnns, rare_difference
from wsrl.cli import main
from wsrl.encoders import create_encoder
from wsrl.rnn import RNNSpec, RNNWeights, run_population

LSTM = RNNSpec("lstm", 3, 8, 2, 3)
LATE = "differ after 7 steps alone"
SAME = {
    "neurons reordered",
    "an unused neuron wired otherwise",
    "biases split otherwise",
}
SIGNS = "sign flips"
every_spec = pytest.mark.parametrize("spec", [*SPECS, RNNSpec("gru", 2, 5, 1, 2)], ids=str)


def pairs_of(spec: RNNSpec) -> dict[str, Pair]:
    generator = torch.Generator().manual_seed(0)
    return make_pairs(random_rnns(spec, 3, generator), generator)


def outputs(pair: Pair, inputs: Tensor) -> list[Tensor]:
    """Run both RNNs of every pair on ``inputs (S, T, I)``."""
    return [run_population(part, inputs.expand(3, *inputs.shape))[0] for part in pair[:2]]


def random_inputs(spec: RNNSpec, steps: int) -> Tensor:
    return torch.randn(4, steps, spec.input_size, dtype=torch.float64)


def changes(name: str, **options: Any) -> dict[str, Change]:
    if not options:
        return measure_changes(small_encoder(name, LSTM), pairs_of(LSTM))
    torch.manual_seed(0)
    return measure_changes(create_encoder(name, LSTM, **(PROBING | options)), pairs_of(LSTM))


@every_spec
def test_pairs_compute_the_same_where_they_say_so_and_only_there(spec: RNNSpec) -> None:
    pairs = pairs_of(spec)
    same = SAME | {symmetry.name for symmetry in spec.kind.symmetries}
    assert {kind for kind, pair in pairs.items() if pair.same_function} == (
        same if spec.bias else same - {"biases split otherwise"}
    )
    inputs = 2 * random_inputs(spec, 12)
    for kind, pair in pairs.items():
        assert ((pair.one.flat - pair.other.flat).abs().amax(1) > 0.05).all(), kind
        one, other = outputs(pair, inputs)
        if pair.same_function:
            torch.testing.assert_close(one, other, rtol=0, atol=1e-9)
        else:
            assert ((one - other).abs().amax((1, 2, 3)) > 1e-6).all(), kind


@every_spec
def test_a_late_difference_is_none_before_and_one_from_then_on(spec: RNNSpec) -> None:
    late = spec.hidden_size - 1
    one, other = outputs(
        pairs_of(spec)[f"differ after {late} steps alone"], random_inputs(spec, 12)
    )
    assert torch.equal(one[:, :, :late], other[:, :, :late])
    assert ((one - other)[:, :, late].abs().amax((1, 2)) > 1e-6).all()


def test_a_rare_difference_needs_a_first_input_near_one() -> None:
    pair = rare_difference(random_rnns(LSTM, 3, torch.Generator().manual_seed(0)), LSTM.kind)
    inputs = 0.8 * torch.rand(20, 12, 3, dtype=torch.float64)
    one, other = outputs(pair, inputs)
    torch.testing.assert_close(one, other, rtol=0, atol=1e-7)
    inputs[:, 5, 0] = 1
    one, other = outputs(pair, inputs)
    assert ((one - other)[:, :, 5].abs().amax((1, 2)) > 1e-3).all()


WHERE = {
    "neurons reordered",
    "one coupling left out",
    "entries of one tensor shuffled",
    "inputs permuted",
}


@pytest.mark.parametrize(
    ("name", "unseen"),
    [
        ("ConstantEmbedding", pairs_of(LSTM).keys()),
        ("FlattenedWeights", set()),
        ("DeepWeightSpace", {"neurons reordered"}),
        ("LayerwiseStatistics", WHERE),
    ],
)
def test_what_encoders_do_not_see(name: str, unseen: set[str]) -> None:
    found = changes(name)
    assert {kind for kind, change in found.items() if not change.told_apart} == unseen


@pytest.mark.parametrize(
    "name", ["NoninteractiveProbing", "InteractiveProbing", "FreeRunningProbing", "ProbeGenerators"]
)
def test_probing_sees_functions_alone_as_far_as_its_probes_lead(name: str) -> None:
    found = changes(name)
    unseen = {kind for kind, change in found.items() if not change.told_apart}
    assert unseen - {"differ on rare inputs alone"} == {*SAME, SIGNS, LATE}
    assert changes(name, probing_length=12)[LATE].told_apart


def test_changes_are_relative_and_the_smallest_decides() -> None:
    class Sums(torch.nn.Module):
        device = torch.device("cpu")

        def forward(self, weights: RNNWeights) -> Tensor:
            return weights.flat[:, :2]

    spec = RNNSpec("tanh", 1, 3, 1, 1)
    one, other = torch.zeros(2, 2, spec.num_parameters, dtype=torch.float64)
    one[:, 0] = 5
    other[:, 0], other[0, 1] = 5, 0.5
    pair = Pair(RNNWeights(one, spec), RNNWeights(other, spec), False)
    encoder: Any = Sums()
    assert measure_changes(encoder, {"pair": pair}) == {"pair": Change(0.0, 0.1)}
    assert not Change(0.0, 0.1).told_apart


def test_costs_are_those_of_the_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 9.0, 10.0, 11.0, 20.0, 22.0, 30.0, 33.0])  # the first pass is not counted
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    encoder = small_encoder("FlattenedWeights", LSTM)
    assert measure_seconds(encoder, random_rnns(LSTM, 2, torch.Generator()), 3) == 1
    assert all(parameter.grad is not None for parameter in encoder.parameters())


def test_a_measurement_is_a_function_of_its_seed_and_leaves_no_trace() -> None:
    few: dict[str, Any] = {"sizes": (4, 8), "draws": 2, "rnns": 2, "repeats": 1}
    state = torch.get_rng_state()
    first, again, other = (
        measure_encoder("LayerwiseStatistics", LSTM, seed=seed, **few) for seed in (0, 0, 1)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert first["changes"] == again["changes"] != other["changes"]
    assert first["growth"]["parameters"] == pytest.approx(0)
    flat = measure_encoder("FlattenedWeights", LSTM, **few)
    assert flat["growth"]["parameters"] > 0
    assert growth({size: 3 * size**1.7 for size in (8, 16, 32)}) == pytest.approx(1.7)
    with pytest.raises(ValueError, match=r"at least two hidden sizes, not \[8\]"):
        measure_encoder("LayerwiseStatistics", LSTM, sizes=[8])
    with pytest.raises(ValueError, match="at least 3 hidden neurons, not 2"):
        pairs_of(RNNSpec("tanh", 2, 2, 1, 2))


def test_the_command_measures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "properties.json"
    assert main(["encoders", "--measure", "ConstantEmbedding", "--out", str(out)]) == 0
    assert "neurons reordered" in capsys.readouterr().out
    one = json.loads(out.read_text())
    assert not any(one["tells_apart"].values())
    assert set(one["parameters"].values()) == {16}
    names = ["ConstantEmbedding", "LayerwiseStatistics"]
    assert main(["encoders", "--measure", *names]) == 0
    assert [facts["name"] for facts in json.loads(capsys.readouterr().out)] == names


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--measure", "ConstantEmbedding", "Nonsense"], "unknown encoder 'Nonsense'"),
        (["--hidden_sizes", "8", "16"], "--hidden_sizes are for --measure"),
        (["--measure", "ConstantEmbedding", "--out", "no/such/x.json"], "no/such"),
    ],
)
def test_wrong_commands_are_clear_errors(
    args: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["encoders", *args]) in (1, 2)
    assert message in capsys.readouterr().err


def test_an_own_encoder_is_measured_by_its_class_path_even_without_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own_measured.py").write_text(
        "import wsrl\n\n\nclass Sums(wsrl.Encoder):\n"
        "    def forward(self, weights):\n"
        "        return weights.flat.sum(1, keepdim=True).expand(-1, self.embedding_dim)\n"
    )
    monkeypatch.chdir(tmp_path)
    words = ["encoders", "--measure", "own_measured.Sums", "--hidden_sizes", "2", "4"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["parameters"] == {"2": 0, "4": 0}
    assert found["tells_apart"]["neurons reordered"] is False
    assert found["growth"]["parameters"] == 0
