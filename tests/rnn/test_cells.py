"""Laws of all registered cells."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from tests.encoders.encoder_cases import small_encoder
from tests.rnn.cases import assert_close, random_weights
from wsrl.analysis.rnn_pairs import make_pairs, random_rnns
from wsrl.encoders import embed, list_encoders
from wsrl.problems import FormalLanguages
from wsrl.rnn import (
    RNNSpec,
    RNNWeights,
    check_usable,
    get_cell,
    list_cells,
    random_permutations,
    read_state_dict,
    run_population,
    with_initial_values,
)
from wsrl.zoos import BuildSettings, build_zoo, open_zoo

PROBLEM = FormalLanguages(num_tokens=2, length=10, max_n=4, evaluated_strings=4, stored_strings=2)
OPTIONS = [
    "leaky(form='state', leak='neuron', constraint='mask')",
    "leaky(nonlinearity='relu', constraint='dale')",
    "leaky(form='inside', nonlinearity='relu', leak='shared')",
    "low_rank(form='rate', nonlinearity='relu', rank=3)",
    "low_rank(bias_in='rates')",
]
every_cell = pytest.mark.parametrize("cell", [*list_cells(), *OPTIONS])


def outputs(weights: RNNWeights, inputs: Tensor) -> Tensor:
    return run_population(weights, inputs)[0]


def drawn(cell: str, layers: int = 2, bias: bool = True) -> tuple[RNNWeights, Tensor]:
    weights = random_weights(RNNSpec(cell, 3, 5, layers, 4, bias))
    return weights, torch.randn(3, 2, 6, 3, dtype=torch.float64)


def check_permutations(weights: RNNWeights, inputs: Tensor) -> None:
    """Neurons may be permuted with all their couplings, and not but for one."""
    expected = outputs(weights, inputs)
    permuted = weights.permute(random_permutations(weights.spec, len(weights)))
    torch.testing.assert_close(outputs(permuted, inputs), expected, rtol=1e-10, atol=1e-10)
    for tensor in weights.spec.tensors:
        broken = RNNWeights(permuted.flat.clone(), weights.spec)
        broken.tensor(tensor).copy_(weights.tensor(tensor))
        if not torch.equal(broken.flat, permuted.flat):
            assert (outputs(broken, inputs) - expected).abs().max() > 1e-6, tensor.name


@every_cell
@pytest.mark.parametrize("bias", [True, False])
def test_neurons_permute_with_all_their_couplings_only(cell: str, bias: bool) -> None:
    check_permutations(*drawn(cell, bias=bias))


@every_cell
def test_symmetries_keep_the_function_and_half_of_one_does_not(cell: str) -> None:
    check_symmetries(*drawn(cell))


def check_symmetries(weights: RNNWeights, inputs: Tensor) -> None:
    for name, value in weights.tensors().items():
        if ".mask_" in name:
            value.copy_(value > 0)
    expected = outputs(weights, inputs)
    for symmetry in weights.spec.kind.symmetries:
        changed = weights.transform(symmetry, torch.Generator().manual_seed(0))
        torch.testing.assert_close(outputs(changed, inputs), expected, rtol=1e-8, atol=1e-8)
        moved = (changed.flat - weights.flat).abs()
        parts = [t for t in weights.spec.tensors if RNNWeights(moved, weights.spec).tensor(t).any()]
        if symmetry.name == "unused weights changed":
            assert {tensor.name[4:-1] for tensor in parts} == {"weight_hh_l"}
            continue
        assert len(parts) > 1
        for tensor in parts:
            half = RNNWeights(changed.flat.clone(), weights.spec)
            half.tensor(tensor).copy_(weights.tensor(tensor))
            assert (outputs(half, inputs) - expected).abs().max() > 1e-6, tensor.name


def test_permutations_are_all_that_is_left_of_sign_flips_under_dales_law() -> None:
    """Flips of tanh change the function of RNNs with excitatory and inhibitory neurons."""
    (flips, _) = get_cell("leaky(constraint='mask')").symmetries
    weights, inputs = drawn("leaky(constraint='dale')")
    changed = weights.transform(flips, torch.Generator().manual_seed(0))
    assert (outputs(changed, inputs) - outputs(weights, inputs)).abs().max() > 1e-3
    assert flips.name not in [s.name for s in weights.spec.kind.symmetries]


def test_masks_and_signs_decide_which_weights_count() -> None:
    weights, inputs = drawn("leaky(constraint='dale')", layers=1)
    weights = with_initial_values(weights.spec, weights.flat / 5**0.5)
    expected, named = outputs(weights, inputs), weights.tensors()
    assert named["rnn.sign_l0"].tolist() == [[1, 1, 1, 1, -1]] * 3
    assert torch.equal(named["rnn.mask_l0"][0], (1 - torch.eye(5)).double())
    assert (named["rnn.alpha_l0"] == 0.2).all()
    recurrent = named["rnn.weight_hh_l0"]
    recurrent.neg_()
    recurrent.diagonal(0, 1, 2).fill_(9)
    assert torch.equal(outputs(weights, inputs), expected)
    recurrent[:, 0, 1] *= 2
    assert not torch.allclose(outputs(weights, inputs), expected)


def test_a_mask_that_leaves_a_neuron_nothing_to_read_is_refused() -> None:
    weights, _ = drawn("leaky(constraint='mask')")
    named = weights.tensors()
    for name in ("rnn.mask_l1", "rnn.weight_ih_l1"):
        check_usable(weights)
        named[name][2, 1:3] = 0
    message = r"rnn\.mask_l1 leaves neurons 1, 2 of RNN 2 nothing to read: .* transpose the mask"
    with pytest.raises(ValueError, match=message):
        check_usable(weights)
    state = {name: value[2] for name, value in named.items()}
    with pytest.raises(ValueError, match=r"neurons 1, 2 of RNN 0 nothing"):
        read_state_dict(state, weights.spec.cell)
    state["rnn.mask_l1"][1:3, 0] = 1
    assert read_state_dict(state, weights.spec.cell).spec == weights.spec
    check_usable(drawn("lstm")[0])


@pytest.mark.parametrize("alpha", [-0.1, 0.3, 1.1])
def test_an_alpha_is_read_as_it_is_and_used_clamped(alpha: float) -> None:
    weights, inputs = drawn("leaky(leak='neuron')")
    weights.tensors()["rnn.alpha_l1"].fill_(0.5)[2, 1] = alpha
    check_usable(weights)
    found = read_state_dict({n: v[2] for n, v in weights.tensors().items()}, weights.spec.cell)
    assert torch.equal(found.flat, weights[2:].flat)
    clamped = RNNWeights(weights.flat.clone(), weights.spec)
    clamped.tensors()["rnn.alpha_l1"].clamp_(0, 1)
    assert torch.equal(clamped.flat, weights.flat) == (0 <= alpha <= 1)
    assert torch.equal(outputs(clamped, inputs), outputs(weights, inputs))


@pytest.mark.parametrize(
    ("cell", "message"),
    {
        "leaky(form='outside')": "form must be one of rate, state, inside, not 'outside'",
        "leaky(nonlinearity='gelu')": "nonlinearity must be one of tanh, relu, softplus, retanh",
        "leaky(leak='none')": "leak must be one of fixed, shared, neuron, not 'none'",
        "leaky(constraint='ei')": "constraint must be one of none, mask, dale, not 'ei'",
        "leaky(alpha=0)": r"alpha must be above 0 and at most 1, not 0\.0",
        "low_rank(rank=0)": "rank must be at least 1",
        "low_rank(form='rate', bias_in='rates')": "bias_in='rates' needs form='state', not 'rate'",
    }.items(),
)
def test_options_that_make_no_sense_are_refused(cell: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RNNSpec(cell, 3, 5, 1, 4)


@every_cell
@pytest.mark.parametrize("name", list_encoders())
def test_every_encoder_reads_every_cell(cell: str, name: str) -> None:
    weights, _ = drawn(cell)
    embeddings = embed(small_encoder(name, weights.spec), weights)
    assert embeddings.isfinite().all()


@every_cell
def test_zoos_of_every_cell_learn(cell: str, tmp_path: Path) -> None:
    settings = BuildSettings(2, snapshots=[0, 40], cell=cell, hidden_size=8, num_layers=1)
    build_zoo(tmp_path / "zoo", PROBLEM, settings, quiet=True)
    zoo = open_zoo(tmp_path / "zoo")
    targets = zoo.read("sequences")[:, :, 1:].long()
    losses = [
        cross_entropy(zoo.read("outputs")[part::2].flatten(0, 2), targets[part::2].flatten())
        for part in (0, 1)  # before and after
    ]
    assert losses[1] < 0.8 * losses[0]


@every_cell
@pytest.mark.parametrize("backend", ["cpu", "eager"])
def test_no_cell_is_refused_by_a_backend(cell: str, backend: Any) -> None:
    weights, inputs = drawn(cell)
    single, values = weights.to(torch.float32), inputs.float()
    assert_close(run_population(single, values, backend=backend)[0], outputs(weights, inputs))


@every_cell
def test_pairs_of_analysis_are_made_of_every_cell(cell: str) -> None:
    check_pairs(cell)


def check_pairs(cell: str) -> None:
    """Compare the functions of pairs: the same where they are said to be, and else others."""
    generator = torch.Generator().manual_seed(0)
    pairs = make_pairs(random_rnns(RNNSpec(cell, 3, 5, 2, 4), 3, generator), generator)
    inputs = torch.randn(3, 2, 12, 3, dtype=torch.float64)
    for kind, (one, other, same) in pairs.items():
        gap = (outputs(one, inputs) - outputs(other, inputs)).abs().amax((1, 2, 3))
        assert (gap < 1e-8).all() if same else (gap > 1e-8).any(), kind
