"""``Spectral`` reads what a linear RNN computes and nothing else, and stays finite."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.encoders.encoder_cases import random_weights, replace, small_encoder
from wsrl.rnn import RNNSpec, RNNWeights, list_cells, run_population

BATCH = 4


def changes(spec: RNNSpec) -> list[Tensor]:
    """Draw an invertible matrix ``(B, H, H)`` for every layer, not nearly singular."""
    generator = torch.Generator().manual_seed(5)
    shape = (spec.num_layers, BATCH, spec.hidden_size, spec.hidden_size)
    matrices = torch.randn(shape, generator=generator, dtype=torch.float64)
    left, sizes, right = torch.linalg.svd(matrices)
    return list(left @ torch.diag_embed(sizes.clamp(min=0.5)) @ right)


def changed(weights: RNNWeights, matrices: list[Tensor]) -> dict[str, Tensor]:
    """Return the tensors in another hidden basis, ``T h`` for ``h``, of every layer."""
    tensors = weights.tensors()
    new = {}
    below = torch.eye(weights.spec.input_size, dtype=torch.float64)
    for layer, matrix in enumerate(matrices):
        inverse = matrix.inverse()
        w_ih, w_hh = (tensors[f"rnn.weight_{kind}_l{layer}"] for kind in ("ih", "hh"))
        new[f"rnn.weight_ih_l{layer}"] = matrix @ w_ih @ below
        new[f"rnn.weight_hh_l{layer}"] = matrix @ w_hh @ inverse
        for name in (f"rnn.bias_ih_l{layer}", f"rnn.bias_hh_l{layer}"):
            if name in tensors:
                new[name] = (matrix @ tensors[name][:, :, None])[:, :, 0]
        below = inverse
    new["linear.weight"] = tensors["linear.weight"] @ below
    return new


def with_tensors(weights: RNNWeights, new: dict[str, Tensor]) -> RNNWeights:
    for name, value in new.items():
        weights = replace(weights, name, value)
    return weights


def outputs_of(weights: RNNWeights) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    shape = (len(weights), 2, 6, weights.spec.input_size)
    inputs = torch.randn(shape, generator=generator, dtype=torch.float64)
    return run_population(weights, inputs)[0]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
def test_any_basis_of_a_linear_rnn_is_the_same_and_half_a_change_is_not(
    layers: int, bias: bool
) -> None:
    spec = RNNSpec("linear", 3, 5, layers, 4, bias)
    encoder, weights = small_encoder("Spectral", spec), random_weights(spec)
    new, expected = changed(weights, changes(spec)), encoder(weights)
    moved = with_tensors(weights, new)
    torch.testing.assert_close(outputs_of(moved), outputs_of(weights))  # the same function
    torch.testing.assert_close(encoder(moved), expected, rtol=0, atol=1e-7)
    for left_out in new:
        broken = replace(moved, left_out, weights.tensors()[left_out])
        assert (encoder(broken) - expected).abs().amax(1).min() > 1e-5, left_out
    for other in ("DeepWeightSpace", "LayerwiseStatistics"):  # invariant to order alone
        theirs = small_encoder(other, spec)
        assert (theirs(moved) - theirs(weights)).abs().amax(1).min() > 1e-5


def test_equal_eigenvalues_do_not_hide_other_functions() -> None:
    spec = RNNSpec("linear", 3, 5, 1, 4)
    encoder, weights = small_encoder("Spectral", spec), random_weights(spec)
    turned = replace(weights, "rnn.weight_hh_l0", weights.tensors()["rnn.weight_hh_l0"].mT)
    assert (encoder(turned) - encoder(weights)).abs().amax(1).min() > 1e-4
    # Scaled at one end and scaled back at the other, nothing has happened.
    down = replace(weights, "rnn.weight_ih_l0", weights.tensors()["rnn.weight_ih_l0"] / 2)
    for name in ("rnn.bias_ih_l0", "rnn.bias_hh_l0"):
        down = replace(down, name, weights.tensors()[name] / 2)
    same = replace(down, "linear.weight", 2 * weights.tensors()["linear.weight"])
    torch.testing.assert_close(encoder(same), encoder(weights), rtol=0, atol=1e-8)


def test_repeated_eigenvalues_are_read_the_same_in_every_basis() -> None:
    spec = RNNSpec("linear", 3, 5, 1, 4)
    encoder, weights = small_encoder("Spectral", spec), random_weights(spec)
    values = torch.tensor([0.7, 0.7, 0.7, -0.2, -0.2], dtype=torch.float64)
    weights = replace(weights, "rnn.weight_hh_l0", values.diag().expand(BATCH, 5, 5))
    moved = with_tensors(weights, changed(weights, changes(spec)))
    torch.testing.assert_close(encoder(moved), encoder(weights), rtol=0, atol=1e-6)
    values[0] = 0.8
    parted = replace(weights, "rnn.weight_hh_l0", values.diag().expand(BATCH, 5, 5))
    assert (encoder(parted) - encoder(weights)).abs().amax(1).min() > 1e-5


@pytest.mark.parametrize("cell", list_cells())
@pytest.mark.parametrize("scale", [0, 1e-20, 1, 1e10, 1e30])
def test_any_finite_weights_give_finite_embeddings(cell: str, scale: float) -> None:
    spec = RNNSpec(cell, 3, 8, 2, 4)
    encoder = small_encoder("Spectral", spec).float()
    flat = random_weights(spec).flat * scale
    embeddings = encoder(RNNWeights(flat.float(), spec))
    assert embeddings.isfinite().all()
    assert embeddings.abs().max() < 1e4


def test_a_spectrum_without_eigenvectors_is_no_trouble() -> None:
    spec = RNNSpec("linear", 3, 5, 2, 4)
    encoder, weights = small_encoder("Spectral", spec), random_weights(spec)
    for layer in range(2):  # both layers are shift registers
        shift = torch.diag(torch.ones(4, dtype=torch.float64), 1).expand(BATCH, 5, 5)
        weights = replace(weights, f"rnn.weight_hh_l{layer}", shift)
    assert encoder(weights).isfinite().all()
    assert encoder(weights).abs().max() < 100
    moved = with_tensors(weights, changed(weights, changes(spec)))  # here the law ends
    torch.testing.assert_close(outputs_of(moved), outputs_of(weights))
    assert (encoder(moved) - encoder(weights)).abs().max() > 1e-3


def test_what_is_not_finite_stays_with_its_rnn_and_is_seen() -> None:
    spec = RNNSpec("lstm", 3, 5, 2, 4)
    encoder, weights = small_encoder("Spectral", spec), random_weights(spec)
    expected = encoder(weights)
    weights.flat[1, 0] = float("nan")
    weights.flat[2, 7] = float("inf")
    spoiled = encoder(weights)
    assert spoiled[1:3].isnan().all()
    torch.testing.assert_close(spoiled[[0, 3]], expected[[0, 3]])


@pytest.mark.parametrize("cell", ["lstm", "linear"])
def test_surroundings_do_not_matter(cell: str) -> None:
    spec = RNNSpec(cell, 3, 5, 2, 4)
    encoder, weights = small_encoder("Spectral", spec), random_weights(spec)
    expected = encoder(weights).detach()
    encoder, single = encoder.float(), weights.to(torch.float32)
    torch.testing.assert_close(encoder(single).double(), expected, rtol=0, atol=1e-4)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(encoder(single).double(), expected, rtol=0, atol=1e-4)
    compiled = torch.compile(encoder, backend="eager")
    torch.testing.assert_close(compiled(single), encoder(single))
