"""An encoder that lets RNNs generate: what is drawn, how often, and what passes the draw."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.encoders.encoder_cases import PROBING, random_weights, replace
from wsrl.encoders import ProbingEncoder, create_encoder
from wsrl.rnn import RNNSpec, RNNWeights

TOKENS = RNNSpec("lstm", 4, 5, 2, 4)


def sampled(spec: RNNSpec = TOKENS, name: str = "SampledProbing", **options: Any) -> ProbingEncoder:
    """Make an encoder without learned pushes: the echo of tokens starts as the identity."""
    torch.manual_seed(0)
    encoder = create_encoder(name, spec, embedding_dim=6, **(PROBING | options)).double().eval()
    assert isinstance(encoder, ProbingEncoder)
    for parameter in list(encoder.get_submodule("decoder").parameters())[-2:]:
        parameter.data.zero_()
    return encoder


def sharp_weights() -> RNNWeights:
    """Return RNNs that are sure of their next token."""
    weights = random_weights(TOKENS)
    return RNNWeights(20 * weights.flat, TOKENS)


def is_drawn(inputs: Tensor) -> bool:
    return bool(((inputs == 0) | (inputs == 1)).all() and (inputs.sum(-1) == 1).all())


def test_tokens_are_drawn_as_often_as_the_rnn_says() -> None:
    encoder = sampled(num_probes=20_000, probing_length=3)
    inputs, outputs = (values.detach() for values in encoder.probes(random_weights(TOKENS)))
    assert is_drawn(inputs[:, :, 1:])
    assert not is_drawn(inputs[:, :, 0])
    said = outputs[:, 0, 0].softmax(-1)  # the first answer is the same in all sequences
    often = inputs[:, :, 1].mean(1)
    torch.testing.assert_close(often, said, rtol=0, atol=1e-4 + 1 / 20_000)
    assert (often - said.flip(0)).abs().max() > 1e-3
    for token in range(4):  # after each, what is drawn follows the answer to this one
        after = inputs[0, :, 1, token] == 1
        expected = outputs[0, after, 1].softmax(-1)[0]
        assert (inputs[0, after, 2].mean(0) - expected).abs().max() < 0.03


def test_a_sure_rnn_is_run_on_its_own_choices() -> None:
    weights, encoder = sharp_weights(), sampled(num_probes=1, probing_length=12)
    inputs, outputs = encoder.probes(weights)
    sure = outputs.softmax(-1).amax(-1) > 0.999
    assert sure[:, :, :-1].any()
    drawn, chosen = inputs[:, :, 1:].argmax(-1), outputs[:, :, :-1].argmax(-1)
    assert torch.equal(drawn[sure[:, :, :-1]], chosen[sure[:, :, :-1]])
    soft = sampled(name="FreeRunningProbing", num_probes=1, probing_length=12)
    assert not is_drawn(soft.probes(weights)[0][:, :, 1:])


def test_the_gradient_passes_the_draw() -> None:
    encoder = sampled(probing_length=2)
    flat = random_weights(TOKENS).flat.requires_grad_()
    drawn, answers = encoder.probes(RNNWeights(flat, TOKENS))
    direction = torch.randn_like(drawn[:, :, 1])
    (through,) = torch.autograd.grad((direction * drawn[:, :, 1]).sum(), flat, retain_graph=True)
    soft = answers[:, :, 0].softmax(-1)
    (of_mixture,) = torch.autograd.grad((direction * soft).sum(), flat)
    torch.testing.assert_close(through, of_mixture)
    assert through.abs().max() > 0


def test_numbers_are_kept_with_the_encoder() -> None:
    weights = random_weights(TOKENS)
    first, other = sampled(probing_length=22), sampled(probing_length=22)
    torch.nn.init.uniform_(other.get_buffer("uniforms"))
    assert not torch.equal(first.probes(weights)[0], other.probes(weights)[0])
    other.load_state_dict(first.state_dict())
    assert torch.equal(first(weights), other(weights))


def test_training_draws_anew_and_evaluation_does_not() -> None:
    encoder, weights = sampled(num_probes=200, probing_length=2), random_weights(TOKENS)
    assert torch.equal(encoder(weights), encoder(weights))
    encoder.train()
    first, second = (encoder.probes(weights)[0].detach() for _ in range(2))
    assert not torch.equal(first, second)
    assert not torch.equal(first[0, :, 1], first[1, :, 1])
    rows = torch.stack([encoder.probes(weights)[0].detach()[:, :, 1].mean(1) for _ in range(50)])
    said = encoder.probes(weights)[1].detach()[:, 0, 0].softmax(-1)
    assert (rows.mean(0) - said).abs().max() < 0.02  # the standard error is 0.005 at most
    assert rows.std(0).max() > 0.02  # not spread evenly: each for itself


def test_the_reader_sees_what_was_drawn() -> None:
    encoder, weights = sampled(probing_length=22), random_weights(TOKENS)
    before = encoder(weights)
    torch.nn.init.zeros_(encoder.get_parameter("from_inputs.weight"))
    assert (encoder(weights) - before).abs().max() > 1e-6


def shifted(weights: RNNWeights, by: float) -> RNNWeights:
    """Return RNNs that add a number to all answers: the probabilities are as before."""
    return replace(weights, "linear.bias", weights.tensors()["linear.bias"] + by)


def test_the_reader_sees_probabilities_and_no_shift_of_them() -> None:
    weights = random_weights(TOKENS)
    seen = {}
    for name in ("SampledProbing", "FreeRunningProbing"):
        encoder = sampled(name=name, probing_length=6)
        seen[name] = (encoder(shifted(weights, 3.0)) - encoder(weights)).abs().max()
    assert seen["SampledProbing"] < 1e-9
    assert seen["FreeRunningProbing"] > 1e-6
    other = RNNSpec("lstm", 4, 5, 2, 3)  # answers that are not about the inputs
    encoder, weights = sampled(other), random_weights(other)
    assert (encoder(shifted(weights, 3.0)) - encoder(weights)).abs().max() > 1e-6


def test_only_tokens_are_drawn() -> None:
    pixels, _ = sampled(input_activation="sigmoid", probing_length=12).probes(sharp_weights())
    assert not is_drawn(pixels)
    assert (pixels != pixels.round()).all()
