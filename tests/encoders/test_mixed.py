"""Encoders that read any RNN read several specs in one batch; the others say who can."""

from __future__ import annotations

import dataclasses
import re

import pytest
import torch

from tests.encoders.encoder_cases import SMALL, SPECS, random_weights, small_encoder
from wsrl.encoders import build_encoder, create_encoder, get_encoder, list_encoders
from wsrl.rnn import MixedRNNs, RNNInterface, RNNs, RNNSpec, RNNWeights, concatenate

NAMES = list_encoders()
ANY = [name for name in NAMES if get_encoder(name).reads != "one spec"]
BOUND = [name for name in NAMES if name not in ANY]
INTERFACE = RNNInterface(3, 4)
MIXED = [*SPECS[:4], RNNSpec("lstm", 3, 9, 1, 4), RNNSpec("gru", 3, 5, 1, 4, bias=False)]


def mixed_batch() -> tuple[RNNs, list[torch.Tensor]]:
    parts = [random_weights(spec, 2, seed) for seed, spec in enumerate(MIXED)]
    count = 2 * len(parts)
    places = torch.randperm(count, generator=torch.Generator().manual_seed(0)).split(2)
    return concatenate(parts, places), list(places)


def test_graphs_and_who_probes_read_any() -> None:
    assert {"ConstantEmbedding", "FreeRunningProbing", "InteractiveProbing"} <= {*ANY}
    assert {"NoninteractiveProbing", "ProbeGenerators", "NeuronGraph"} <= {*ANY}
    assert {"FlattenedWeights", "ProbesAndWeights", "Spectral"} <= {*BOUND}


@pytest.mark.parametrize("name", ANY)
def test_a_mixed_batch_is_read_as_each_spec_alone(name: str) -> None:
    rnns, places = mixed_batch()
    assert isinstance(rnns, MixedRNNs)
    encoder = small_encoder(name, MIXED[0])
    embeddings = encoder(rnns)
    for spec, seed, place in zip(MIXED, range(len(MIXED)), places, strict=True):
        torch.testing.assert_close(embeddings[place], encoder(random_weights(spec, 2, seed)))
    if name != "ConstantEmbedding":
        apart = torch.cdist(embeddings, embeddings) + torch.eye(len(rnns))
        assert apart.min() > 1e-6


@pytest.mark.parametrize("name", ANY)
def test_it_is_made_of_the_sizes_of_inputs_and_outputs_alone(name: str) -> None:
    of_spec = small_encoder(name, MIXED[1])
    torch.manual_seed(0)
    of_sizes = create_encoder(name, INTERFACE, 6, **SMALL.get(name, {})).double()
    assert of_sizes.config() == of_spec.config()
    assert of_sizes.state_dict().keys() == of_spec.state_dict().keys()
    rnns, _ = mixed_batch()
    torch.testing.assert_close(of_sizes.eval()(rnns), of_spec(rnns))
    other = random_weights(SPECS[4])
    with pytest.raises(
        ValueError,
        match=r"any cell .*\(lstm 1x4, 2 inputs.*must be as many",
    ):
        of_sizes(other)


@pytest.mark.parametrize("name", BOUND)
def test_a_bound_encoder_names_those_that_read_any(name: str) -> None:
    encoder, (rnns, _) = small_encoder(name, MIXED[0]), mixed_batch()
    those = re.escape(f"those that read any RNN are {', '.join(ANY)}")
    for foreign in (rnns, random_weights(MIXED[1])):
        with pytest.raises(ValueError, match=those) as caught:
            encoder(foreign)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=f"reads RNNs of one spec, not any cell.*{those}"):
        build_encoder(encoder.config(), INTERFACE)


@pytest.mark.parametrize("name", BOUND)
def test_what_is_applied_to_the_outputs_is_no_other_spec(name: str) -> None:
    encoder, weights = small_encoder(name, MIXED[0]), random_weights(MIXED[0])
    ended = RNNWeights(weights.flat, dataclasses.replace(MIXED[0], output_activation="softmax"))
    assert torch.equal(encoder(ended), encoder(weights))
    biased = RNNSpec(**MIXED[0].to_dict() | {"bias": False})
    with pytest.raises(ValueError, match="no biases"):
        encoder(random_weights(biased))
