"""Laws that every registered encoder obeys, third parties' included."""

from __future__ import annotations

import copy
import json
import pickle
from functools import partial

import pytest
import torch

from tests.encoders.encoder_cases import (
    SPECS,
    column_tensors,
    random_weights,
    rotation,
    small_encoder,
    without_columns,
)
from wsrl.encoders import build_encoder, create_encoder, embed, get_encoder, list_encoders
from wsrl.rnn import RNNSpec, random_permutations

NAMES = list_encoders()
INVARIANT = [name for name in NAMES if get_encoder(name).permutation_invariant]
# The baseline reads no weight, so nothing done to the weights can change it; the statistics of a
# tensor do not see how tensors are coupled, and have a negative partner of their own below.
BLIND_TO_COUPLINGS = ["ConstantEmbedding", "LayerwiseStatistics"]

PUBLISHED = [
    "LayerwiseStatistics",
    "FlattenedWeights",
    "ParameterTransformer",
    "DeepWeightSpace",
    "NoninteractiveProbing",
    "InteractiveProbing",
]

every_encoder = pytest.mark.parametrize("name", NAMES)
every_spec = pytest.mark.parametrize("spec", SPECS, ids=str)


def test_most_encoders_are_invariant_by_construction() -> None:
    assert set(NAMES) - set(INVARIANT) == {"FlattenedWeights", "ParameterTransformer"}


@every_encoder
@every_spec
def test_shape_and_unit_norm(name: str, spec: RNNSpec) -> None:
    encoder, weights = small_encoder(name, spec), random_weights(spec)
    assert encoder(weights).shape == (4, 6)
    assert encoder(weights).dtype == torch.float64
    torch.testing.assert_close(embed(encoder, weights).norm(dim=1), torch.ones(4).double())
    assert encoder.float()(weights.to(torch.float32)).dtype == torch.float32


@pytest.mark.parametrize("name", PUBLISHED)
def test_embeddings_keep_their_norm_where_that_is_wanted(name: str) -> None:
    weights = random_weights(SPECS[0])
    scaled = small_encoder(name, SPECS[0])
    plain = create_encoder(name, SPECS[0], **(scaled.options() | {"unit_norm": False}))
    plain.double().eval().load_state_dict(scaled.state_dict())
    torch.testing.assert_close(embed(plain, weights), plain(weights))
    assert (embed(plain, weights).norm(dim=1) - 1).abs().max() > 1e-3
    directions = torch.nn.functional.normalize(embed(plain, weights), dim=1)
    torch.testing.assert_close(directions, embed(scaled, weights))


@every_encoder
@every_spec
def test_each_rnn_is_encoded_by_itself(name: str, spec: RNNSpec) -> None:
    encoder, weights = small_encoder(name, spec), random_weights(spec)
    torch.testing.assert_close(encoder(weights)[2:3], encoder(weights[2:3]))


@every_spec
@every_encoder
def test_invariant_encoders_and_no_others_ignore_permutations(name: str, spec: RNNSpec) -> None:
    encoder, weights = small_encoder(name, spec), random_weights(spec)
    everywhere = random_permutations(spec, 4, torch.Generator().manual_seed(0))
    for orders in (*(rotation(spec, layer) for layer in range(spec.num_layers)), everywhere):
        change = (encoder(weights.permute(orders)) - encoder(weights)).abs().amax(1)
        assert change.max() < 1e-8 if name in INVARIANT else change.max() > 1e-6


@every_spec
@pytest.mark.parametrize("name", [name for name in INVARIANT if name not in BLIND_TO_COUPLINGS])
def test_a_permutation_that_leaves_one_coupling_out_changes_the_embedding(
    name: str, spec: RNNSpec
) -> None:
    encoder, weights = small_encoder(name, spec), random_weights(spec)
    for layer in range(spec.num_layers):
        moved = weights.permute(rotation(spec, layer))
        for columns in column_tensors(spec, layer):
            broken = without_columns(weights, moved, columns, layer)
            change = (encoder(broken) - encoder(weights)).abs().amax(1)
            assert change.min() > 1e-6, columns


@every_spec
@pytest.mark.parametrize("name", [name for name in NAMES if name != "ConstantEmbedding"])
def test_rnns_differ_visibly_from_the_start(name: str, spec: RNNSpec) -> None:
    spread = embed(small_encoder(name, spec), random_weights(spec, 16)).std(0).norm()
    assert spread > 0.01


@every_encoder
@every_spec
def test_gradients_reach_every_parameter(name: str, spec: RNNSpec) -> None:
    encoder = small_encoder(name, spec)
    encoder(random_weights(spec)).square().sum().backward()
    for parameter_name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.abs().max() > 0, parameter_name


@pytest.mark.parametrize("name", [name for name in NAMES if name != "ConstantEmbedding"])
def test_training_lowers_the_loss(name: str) -> None:
    spec = SPECS[0]
    encoder, weights = small_encoder(name, spec), random_weights(spec, 16)
    scales = torch.linspace(0.5, 1.5, 16, dtype=torch.float64)[:, None]
    weights.flat.mul_(scales)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=0.01)
    losses = []
    for _ in range(60):
        loss = (encoder(weights)[:, :1] - scales).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * scales.var(correction=0)  # half of what a constant reaches


@every_encoder
@every_spec
def test_config_rebuilds_the_encoder(name: str, spec: RNNSpec) -> None:
    encoder, weights = small_encoder(name, spec), random_weights(spec)
    config = encoder.config()
    assert json.loads(json.dumps(config)) == config
    assert "spec" not in config["init_args"]
    rebuilt = build_encoder(config, spec).double().eval()
    rebuilt.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(rebuilt(weights), encoder(weights), rtol=0, atol=0)
    assert rebuilt.config() == config


@every_encoder
def test_copies_keep_config_and_values(name: str) -> None:
    encoder, weights = small_encoder(name, SPECS[0]), random_weights(SPECS[0])
    for twin in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        assert twin.config() == encoder.config()
        torch.testing.assert_close(twin(weights), encoder(weights), rtol=0, atol=0)


@every_encoder
def test_rnns_of_another_spec_are_refused(name: str) -> None:
    encoder = small_encoder(name, SPECS[0])
    for read in (encoder, partial(embed, encoder)):
        with pytest.raises(ValueError, match=rf"{name} .*\(lstm 2x5, .*\(lstm 1x4, 2 inputs"):
            read(random_weights(SPECS[4]))
    with pytest.raises(TypeError, match="RNNWeights, not Tensor"):
        encoder(random_weights(SPECS[0]).flat)
