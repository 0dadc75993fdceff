"""Probing encoders: what they ask, what they hear, what they must not see."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.encoders.encoder_cases import PROBING, SPECS, random_weights, replace, small_encoder
from wsrl.encoders import ProbingEncoder, create_encoder, get_encoder, list_encoders
from wsrl.encoders.reader import SequenceReader, StepReader
from wsrl.rnn import RNNSpec, RNNWeights

NAMES = [name for name in list_encoders() if issubclass(get_encoder(name), ProbingEncoder)]
TANH = SPECS[2]
every_probing_encoder = pytest.mark.parametrize("name", NAMES)
every_spec = pytest.mark.parametrize("spec", SPECS, ids=str)


def probing_encoder(name: str, spec: RNNSpec, **options: Any) -> ProbingEncoder:
    torch.manual_seed(0)
    encoder = create_encoder(name, spec, embedding_dim=6, **(PROBING | options)).double()
    assert isinstance(encoder, ProbingEncoder)
    return encoder


def flip_signs(weights: RNNWeights, layer: int, neuron: int) -> RNNWeights:
    """Flip a neuron of a tanh RNN with all its couplings: tanh is odd, the function stays."""
    signs = torch.ones(weights.spec.hidden_size, dtype=torch.float64)
    signs[neuron] = -1
    parts = []
    for tensor in weights.spec.tensors:
        value = weights.gated(tensor)
        for axis, label in enumerate(tensor.axes):
            if label == f"hidden_{layer}":
                value = value * signs.view(
                    [-1 if a == axis else 1 for a in range(len(tensor.axes))]
                )
        parts.append(value.flatten(1))
    return RNNWeights(torch.cat(parts, 1), weights.spec)


@every_probing_encoder
@pytest.mark.parametrize("spec", [spec for spec in SPECS if spec.cell != "linear"], ids=str)
def test_answers_are_those_of_the_rnn(name: str, spec: RNNSpec) -> None:
    encoder, weights = probing_encoder(name, spec), random_weights(spec)
    inputs, outputs = encoder.probes(weights)
    assert inputs.shape == (4, 2, 4, spec.input_size)
    assert outputs.shape == (4, 2, 4, spec.output_size)
    for index in range(4):
        expected, _ = weights.to_module(index)(inputs[index])
        torch.testing.assert_close(outputs[index], expected)


@every_probing_encoder
@pytest.mark.parametrize("layer", [0, 1])
def test_invariant_to_flipped_signs(name: str, layer: int) -> None:
    encoder, weights = probing_encoder(name, TANH), random_weights(TANH)
    flipped = flip_signs(weights, layer, 2)
    torch.testing.assert_close(encoder(flipped), encoder(weights), rtol=0, atol=1e-8)
    reader = "rnn.weight_ih_l1" if layer == 0 else "linear.weight"
    broken = replace(flipped, reader, weights.tensors()[reader])  # one coupling left out
    assert (encoder(broken) - encoder(weights)).abs().amax(1).min() > 1e-6
    # The weights did change: an encoder that looks at them sees it.
    looking = small_encoder("DeepWeightSpace", TANH)
    assert (looking(flipped) - looking(weights)).abs().amax(1).min() > 1e-6


@every_spec
def test_only_interactive_probing_inputs_depend_on_the_rnn(spec: RNNSpec) -> None:
    weights = random_weights(spec)
    same, _ = probing_encoder("NoninteractiveProbing", spec).probes(weights)
    own, _ = probing_encoder("InteractiveProbing", spec).probes(weights)
    assert torch.equal(same, same[:1].expand_as(same))
    assert torch.equal(own[:, :, 0], own[:1, :, 0].expand_as(own[:, :, 0]))  # nothing heard yet
    for index in range(1, 4):
        assert (own[index, :, 1:] - own[0, :, 1:]).abs().max() > 1e-6


@every_probing_encoder
def test_input_activations(name: str) -> None:
    weights = random_weights(SPECS[0])
    tokens, _ = probing_encoder(name, SPECS[0], input_activation="softmax").probes(weights)
    torch.testing.assert_close(tokens.sum(-1), torch.ones_like(tokens[..., 0]))
    assert tokens.min() > 0
    pixels, _ = probing_encoder(name, SPECS[0], input_activation="sigmoid").probes(weights)
    values, _ = probing_encoder(name, SPECS[0], input_activation="identity").probes(weights)
    torch.testing.assert_close(pixels[:, :, 0], values[:, :, 0].sigmoid())
    assert values.min() < 0


@every_probing_encoder
def test_all_sequences_and_steps_are_heard(name: str) -> None:
    encoder, weights = probing_encoder(name, SPECS[0]), random_weights(SPECS[0])
    heard: list[Tensor] = []
    encoder.from_answers.register_forward_pre_hook(lambda _, args: heard.append(args[0]))
    _, outputs = encoder.probes(weights)
    steps = torch.cat([part.reshape(4, -1, 2 * 4) for part in heard], 1)  # (B, T, P * O)
    torch.testing.assert_close(steps.unflatten(-1, (2, 4)).transpose(1, 2), outputs)


@every_probing_encoder
def test_gradients_flow_through_the_probed_rnn(name: str) -> None:
    encoder, weights = probing_encoder(name, SPECS[0]), random_weights(SPECS[0])
    _, outputs = encoder.probes(weights)
    outputs.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in encoder.decoder.parameters())


@every_probing_encoder
def test_parameters_grow_neither_with_the_rnn_nor_with_the_layers(name: str) -> None:
    small, large = RNNSpec("lstm", 3, 4, 1, 2), RNNSpec("lstm", 3, 16, 2, 2)
    counts = [
        sum(p.numel() for p in create_encoder(name, spec, **PROBING).parameters())
        for spec in (small, large)
    ]
    assert counts[0] == counts[1]


def test_step_by_step_reading_equals_reading_at_once() -> None:
    torch.manual_seed(0)
    whole, stepwise = SequenceReader(5, 3).double(), StepReader(5, 3).double()
    state = whole.state_dict()
    stepwise.load_state_dict({name.removesuffix("_l0"): value for name, value in state.items()})
    values = torch.randn(4, 6, 5, dtype=torch.float64)
    memory, read = stepwise.start(values[:, 0]), []
    for step in values.unbind(1):
        output, memory = stepwise(step, memory)
        read.append(output)
    torch.testing.assert_close(torch.stack(read, 1), whole(values))


def test_forget_gates_start_open() -> None:
    for reader in (SequenceReader(5, 2), StepReader(5, 2)):
        biases = [p for name, p in reader.named_parameters() if "bias_ih" in name]
        assert len(biases) == 2
        for bias in biases:
            assert torch.equal(bias[5:10], torch.ones(5))
            assert bias[:5].abs().max() < 1
