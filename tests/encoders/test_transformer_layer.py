"""A layer of the transformer equals torch's own, with fewer tokens made."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.encoders.encoder_cases import SPECS, random_weights
from wsrl.encoders import ParameterTransformer, transformer
from wsrl.encoders.transformer import _attend, _attend_few, _dropout
from wsrl.rnn import RNNWeights


def values_and_gradients(output: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(2)
    weights = torch.randn(output.shape, generator=generator, dtype=output.dtype)
    return [output, *torch.autograd.grad((weights * output).sum(), inputs)]


def stack(encoder: ParameterTransformer, weights: RNNWeights, read: int) -> Tensor:
    """Compute the encoder as a plain stack of torch's layers that reads one token's output."""
    values = encoder._tokens(weights)
    for layer in encoder.layers:
        values = layer(values)
    result: Tensor = encoder.head(values[:, read])
    return result


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(("depth", "heads"), [(1, 1), (1, 2), (3, 2)])
def test_the_encoder_equals_a_plain_stack(depth: int, heads: int, train: bool) -> None:
    torch.manual_seed(0)
    spec = SPECS[0]
    encoder = ParameterTransformer(spec, 6, 8, depth, heads, 2, dropout=0.0).double().train(train)
    weights, inputs = random_weights(spec), list(encoder.parameters())
    results = values_and_gradients(encoder(weights), inputs)
    for result, value in zip(
        results, values_and_gradients(stack(encoder, weights, -1), inputs), strict=True
    ):
        torch.testing.assert_close(result, value, rtol=1e-9, atol=1e-10)
    assert (stack(encoder, weights, 0) - results[0]).abs().max() > 1e-3


def test_dropout_drops_as_often_as_it_says_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    values = torch.ones(1_000_001, dtype=torch.float64)  # no multiple of four
    for probability in (0.1, 0.5, 0.9):
        dropped = _dropout(values, probability)
        assert (dropped == 0).double().mean().item() == pytest.approx(probability, abs=2e-3)
        assert dropped.mean().item() == pytest.approx(1, abs=0.015)
        assert len(dropped.unique()) == 2
        neighbours = torch.corrcoef(torch.stack([dropped[:-1], dropped[1:]]))[0, 1]
        assert abs(neighbours) < 0.01
    assert torch.equal(_dropout(values, 0.0), values)
    leaf = torch.ones(1000, requires_grad=True)
    dropped = _dropout(leaf, 0.3)
    dropped.sum().backward()
    assert torch.equal(leaf.grad, dropped.detach())  # through what is kept alone


def attention_inputs() -> list[Tensor]:
    """Return query, key and value of 6 RNNs, 2 heads and 9 tokens."""
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn(6, 2, 9, 4, generator=generator, dtype=torch.float64).requires_grad_()
        for _ in range(3)
    ]


@pytest.mark.parametrize("rnns", [1, 4, 6])
def test_attention_in_slices_has_the_gradient_of_what_was_dropped(
    rnns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformer, "SCORES_AT_ONCE", rnns * 2 * 9 * 9)
    inputs = attention_inputs()

    def sliced(seed: int) -> list[Tensor]:
        torch.manual_seed(seed)
        return values_and_gradients(_attend(*inputs, 0.3), inputs)

    torch.manual_seed(0)
    slices = zip(*(tensor.split(rnns) for tensor in inputs), strict=True)
    plain = torch.cat([_attend_few(*few, 0.3) for few in slices])
    for result, value in zip(sliced(0), values_and_gradients(plain, inputs), strict=True):
        torch.testing.assert_close(result, value, rtol=1e-12, atol=1e-14)
    assert (sliced(1)[0] - plain).abs().max() > 1e-3


def test_attention_with_dropout_is_right_on_average() -> None:
    torch.manual_seed(0)
    inputs = [tensor.detach() for tensor in attention_inputs()]
    mean = torch.stack([_attend(*inputs, 0.3) for _ in range(4000)]).mean(0)
    exact = _attend(*inputs, 0.0)
    assert (mean - exact).abs().max() < 0.08  # the standard error is 0.015 at most
    assert (_attend(*inputs, 0.3) - exact).abs().max() > 0.2


def test_attention_with_dropout_keeps_no_scores() -> None:
    kept = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.shape)
        return tensor

    def scores_kept(probability: float, attend: Callable[..., Tensor]) -> bool:
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            attend(*attention_inputs(), probability)
        return any(shape[-2:] == (9, 9) for shape in kept)

    assert not scores_kept(0.3, _attend)
    assert scores_kept(0.3, _attend_few)


def test_training_with_dropout_differs_from_call_to_call() -> None:
    torch.manual_seed(0)
    encoder = ParameterTransformer(SPECS[0], 6, 8, 2, 2, 2).double()
    weights = random_weights(SPECS[0])
    assert (encoder(weights) - encoder(weights)).abs().max() > 1e-3
    encoder.eval()
    assert torch.equal(encoder(weights), encoder(weights))
