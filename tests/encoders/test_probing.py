"""Probing encoders: what they ask, what they read, what they must not see."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from tests.encoders.encoder_cases import PROBING, SPECS, random_weights
from wsrl.encoders import (
    InteractiveProbing,
    ProbingEncoder,
    create_encoder,
    get_encoder,
    list_encoders,
)
from wsrl.encoders.probes_and_weights import describe_neurons
from wsrl.encoders.probing import FixedProbing
from wsrl.rnn import RNNSpec, RNNWeights

NAMES = [name for name in list_encoders() if issubclass(get_encoder(name), ProbingEncoder)]
TANH = SPECS[2]
TOKENS = RNNSpec("lstm", 4, 5, 2, 4)
every_probing_encoder = pytest.mark.parametrize("name", NAMES)
every_spec = pytest.mark.parametrize("spec", SPECS, ids=str)


def probing_encoder(name: str, spec: RNNSpec, **options: Any) -> ProbingEncoder:
    torch.manual_seed(0)
    encoder = create_encoder(name, spec, embedding_dim=6, **(PROBING | options)).double()
    assert isinstance(encoder, ProbingEncoder)
    return encoder


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


@every_spec
@pytest.mark.parametrize("name", NAMES)
def test_fixed_probing_inputs_alone_are_the_same_for_all_rnns(name: str, spec: RNNSpec) -> None:
    encoder, weights = probing_encoder(name, spec), random_weights(spec)
    own, _ = encoder.probes(weights)
    if isinstance(encoder, FixedProbing):
        assert torch.equal(own, own[:1].expand_as(own))
        return
    assert torch.equal(own[:, :, 0], own[:1, :, 0].expand_as(own[:, :, 0]))  # no answer yet
    alike = name == "SampledProbing"  # draws may agree: test_sampled.py
    for index in () if alike else range(1, 4):
        assert (own[index, :, 1:] - own[0, :, 1:]).abs().max() > 1e-6


@every_probing_encoder
def test_input_activations(name: str) -> None:
    weights = random_weights(SPECS[0])
    tokens, _ = probing_encoder(name, SPECS[0], input_activation="softmax").probes(weights)
    torch.testing.assert_close(tokens.sum(-1), torch.ones_like(tokens[..., 0]))
    assert tokens[:, :, 0].min() > 0  # later ones may be drawn
    pixels, _ = probing_encoder(name, SPECS[0], input_activation="sigmoid").probes(weights)
    values, _ = probing_encoder(name, SPECS[0], input_activation="identity").probes(weights)
    torch.testing.assert_close(pixels[:, :, 0], values[:, :, 0].sigmoid())
    assert values.min() < 0


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {}) for name in (*NAMES, "ProbesAndWeights")),
        ("InteractiveProbing", {"echo": True}),
    ],
)
def test_a_single_step_leaves_no_parameter_untrained(name: str, options: dict[str, Any]) -> None:
    """Training on several processes ends with an error where one gets no gradient."""
    encoder = create_encoder(name, SPECS[0], **(PROBING | options | {"probing_length": 1}))
    encoder.double()(random_weights(SPECS[0])).square().sum().backward()
    assert not [name for name, value in encoder.named_parameters() if value.grad is None]


def echoing(spec: RNNSpec, **options: Any) -> InteractiveProbing:
    encoder = probing_encoder("InteractiveProbing", spec, echo=True, **options)
    assert isinstance(encoder, InteractiveProbing)
    return encoder


@pytest.mark.parametrize("activation", ["softmax", "tanh"])
def test_without_echo_interactive_probing_is_what_it_was(activation: str) -> None:
    weights = random_weights(TOKENS)
    plain = probing_encoder("InteractiveProbing", TOKENS, input_activation=activation)
    echo = echoing(TOKENS, input_activation=activation)
    assert (echo(weights) - plain(weights)).abs().amax(1).min() > 1e-6
    for parameter in echo.echo.parameters() if echo.echo else ():
        torch.nn.init.zeros_(parameter)
    torch.testing.assert_close(echo(weights), plain(weights), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["FreeRunningProbing", "InteractiveProbing"])
def test_an_echo_alone_lets_the_rnn_run_freely_but_for_the_pushes(name: str) -> None:
    weights = random_weights(TOKENS)
    encoder = echoing(TOKENS) if name == "InteractiveProbing" else probing_encoder(name, TOKENS)
    inputs, outputs = encoder.probes(weights)
    assert (inputs[:, :, 1:] - outputs[:, :, :-1].softmax(-1)).abs().max() > 1e-3
    last = [parameter for name, parameter in encoder.named_parameters() if "decoder" in name][-2:]
    for parameter in last:
        parameter.data.zero_()
    inputs, outputs = encoder.probes(weights)
    torch.testing.assert_close(inputs[:, :, 1:], outputs[:, :, :-1].softmax(-1))
    encoder.get_parameter("echo.weight").data.mul_(0.5)  # twice the temperature
    inputs, outputs = encoder.probes(weights)
    torch.testing.assert_close(inputs[:, :, 1:], (outputs[:, :, :-1] / 2).softmax(-1))
    push = torch.linspace(-1, 1, last[1].numel(), dtype=torch.float64)
    last[1].data.copy_(push)  # at every step, of each sequence its own
    inputs, outputs = encoder.probes(weights)
    pushed = outputs[:, :, :-1] / 2 + push.view(1, outputs.shape[1], 1, -1)
    torch.testing.assert_close(inputs[:, :, 1:], pushed.softmax(-1))
    assert torch.equal(inputs[:, :, 0], inputs[:1, :, 0].expand_as(inputs[:, :, 0]))


def test_feedback_is_bounded_without_softmax() -> None:
    spec = RNNSpec("linear", 2, 2, 1, 2, bias=False)
    gain = {"rnn.weight_ih_l0": 1e4, "rnn.weight_hh_l0": 0.0, "linear.weight": 1e4}
    flat = torch.cat([torch.eye(2).flatten() * gain[tensor.name] for tensor in spec.tensors])
    options = {"input_activation": "identity", "probing_length": 22}
    for encoder in (
        probing_encoder("FreeRunningProbing", spec, **options),
        echoing(spec, **options),
    ):
        answers = encoder.float().probes(RNNWeights(flat[None], spec))[1]
        assert answers.abs().max() < 1e10


def test_the_generator_of_probes_is_linear_and_a_decoder_is_not() -> None:
    options = {"input_activation": "identity"}
    generating = probing_encoder("ProbeGenerators", TANH, **options)
    decoding = probing_encoder("NoninteractiveProbing", TANH, **options)
    assert isinstance(generating, FixedProbing)
    assert isinstance(decoding, FixedProbing)
    for encoder, linear in ((generating, True), (decoding, False)):
        codes = encoder.get_parameter("codes").data
        first, second = codes.clone(), torch.randn_like(codes)
        made = []
        for value in (first, second, 0.3 * first + 0.7 * second):
            codes.copy_(value)
            made.append(encoder.sequences())
        assert made[0].shape == (2, 4, 3)
        assert torch.allclose(0.3 * made[0] + 0.7 * made[1], made[2]) == linear


PUBLISHED = ("NoninteractiveProbing", "InteractiveProbing")


@pytest.mark.parametrize("name", PUBLISHED)
def test_options_of_the_published_encoders_reach_their_parts(name: str) -> None:
    encoder = probing_encoder(name, TOKENS, open_forget_gates=False, gru_reader=True, mlp_depth=2)
    assert {type(layer) for layer in encoder.reader.layers} <= {nn.GRU, nn.GRUCell}
    for mlp in (encoder.head, encoder.get_submodule("decoder")):
        assert sum(isinstance(part, nn.Linear) for part in mlp.modules()) == 3
    for opened in (True, False):
        reader = probing_encoder(name, TOKENS, open_forget_gates=opened).reader
        biases = [p for n, p in reader.named_parameters() if "bias_ih" in n]
        assert all(bool((bias.chunk(4)[1] == 1).all()) is opened for bias in biases)


@pytest.mark.parametrize("name", PUBLISHED)
def test_dropout_changes_embeddings_in_training_alone(name: str) -> None:
    weights = random_weights(TOKENS)
    for dropout in (0.0, 0.4):
        encoder = probing_encoder(name, TOKENS, dropout=dropout)
        assert torch.equal(encoder(weights), encoder(weights)) is (dropout == 0)
        encoder.eval()
        assert torch.equal(encoder(weights), encoder(weights))
    with pytest.raises(ValueError, match="dropout must be at least 0 and below 1, not 1"):
        probing_encoder(name, TOKENS, dropout=1.0)


def test_constant_codes_alone_ask_every_rnn_the_same() -> None:
    """What the reader says is silenced: the decoder then reads the step's code alone."""
    weights = random_weights(TOKENS)
    inputs = []
    for weight in (0.0, 1.0):
        encoder = probing_encoder("InteractiveProbing", TOKENS, constant_weight=weight)
        assert ("codes" in encoder.state_dict()) is (weight > 0)
        inputs.append(encoder.probes(weights)[0])
    assert not torch.allclose(*inputs)
    assert isinstance(encoder, InteractiveProbing)
    assert (inputs[1][1:] - inputs[1][:1]).abs().max() > 1e-6  # it still depends on answers
    encoder.constant_weight = 1e9
    silenced = encoder.probes(weights)[0]
    assert torch.allclose(silenced, silenced[:1].expand_as(silenced), atol=1e-6)


@every_spec
def test_neurons_are_described_by_the_moments_of_their_weights(spec: RNNSpec) -> None:
    """Each is written out for the neurons of the first hidden layer, from the tensors by name."""
    weights = random_weights(spec)
    found = describe_neurons(weights)["hidden_0"]
    gates, hidden = spec.gates, spec.hidden_size
    after = "linear.weight" if spec.num_layers == 1 else "rnn.weight_ih_l1"
    for neuron in range(hidden):
        expected = []
        for name, value in weights.tensors().items():
            if name.endswith("_l0"):  # rows: one of each gate
                rows = value.unflatten(1, (gates, hidden))[:, :, neuron]
                expected += [rows] if rows.ndim == 2 else [rows.mean(2), rows.square().mean(2)]
            if name in ("rnn.weight_hh_l0", after):
                blocks = 1 if name.startswith("linear") else gates
                columns = value[:, :, neuron].unflatten(1, (blocks, -1))
                expected += [columns.mean(2), columns.square().mean(2)]
        torch.testing.assert_close(found[:, neuron], torch.cat(expected, 1))
