"""The population runtime equals ``torch.nn``, values and gradients, for every cell."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from wsrl.rnn import RNNSpec, RNNWeights, get_cell, list_cells, run_population

B, S, T = 3, 4, 6


def random_weights(spec: RNNSpec, batch: int = B) -> RNNWeights:
    return RNNWeights(torch.randn(batch, spec.num_parameters, dtype=torch.float64), spec)


def random_state(spec: RNNSpec) -> tuple[Tensor, ...]:
    shape = (spec.num_layers, B, S, spec.hidden_size)
    return tuple(torch.randn(shape, dtype=torch.float64) for _ in spec.kind.state)


def reference(
    weights: RNNWeights, inputs: Tensor, state: tuple[Tensor, ...]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """One ``torch.nn`` module after the other, called with our (differentiable) tensors."""
    outputs, ends = [], []
    for index in range(len(weights)):
        module = weights.to_module(index)
        named = {name: value[index] for name, value in weights.tensors().items()}
        own = tuple(part[:, index].contiguous() for part in state)
        start = own if len(own) == 2 else own[0]
        output, end = torch.func.functional_call(module, named, (inputs[index], start))
        outputs.append(output)
        ends.append(end if isinstance(end, tuple) else (end,))
    parts = tuple(torch.stack(p, 1) for p in zip(*ends, strict=True))
    return torch.stack(outputs), parts


@pytest.mark.parametrize("cell", [cell for cell in list_cells() if get_cell(cell).torch_form])
@pytest.mark.parametrize(("layers", "bias"), [(1, True), (2, False), (3, True)])
def test_equals_torch_nn(cell: str, layers: int, bias: bool) -> None:
    spec = RNNSpec(cell, 3, 5, layers, 4, bias)
    weights, state = random_weights(spec), random_state(spec)
    inputs = torch.randn(B, S, T, 3, dtype=torch.float64)
    leaves = [weights.flat.requires_grad_(), inputs.requires_grad_()]
    leaves += [part.requires_grad_() for part in state]
    projection = torch.randn(B, S, T, 4, dtype=torch.float64)
    results = []
    for run in (run_population, reference):
        outputs, end = run(weights, inputs, state)
        total = (outputs * projection).sum() + sum(part.pow(3).sum() for part in end)
        results.append([outputs, *end, *torch.autograd.grad(total, leaves)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_rnn_is_sums_of_matrix_powers(bias: bool) -> None:
    spec = RNNSpec("linear", 3, 5, 1, 4, bias)
    weights, (start,) = random_weights(spec), random_state(spec)
    inputs = torch.randn(B, S, T, 3, dtype=torch.float64)
    outputs, (end,) = run_population(weights, inputs, start)
    for rnn, named in enumerate(zip(*weights.tensors().values(), strict=True)):
        part = dict(zip(weights.tensors(), (value.numpy() for value in named), strict=True))
        recurrent, readout = part["rnn.weight_hh_l0"], part["linear.weight"]
        driven = inputs[rnn].numpy() @ part["rnn.weight_ih_l0"].T
        driven = driven + part.get("rnn.bias_ih_l0", 0) + part.get("rnn.bias_hh_l0", 0)
        for t in range(T):
            powers = [np.linalg.matrix_power(recurrent, t - k) for k in range(t + 1)]
            hidden = start[0, rnn].numpy() @ np.linalg.matrix_power(recurrent, t + 1).T
            hidden = hidden + sum(driven[:, k] @ powers[k].T for k in range(t + 1))
            read = hidden @ readout.T + part.get("linear.bias", 0)
            np.testing.assert_allclose(outputs[rnn, :, t].numpy(), read, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(end[0, rnn].numpy(), hidden, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("cell", list_cells())
def test_affine_cells_superpose_and_others_do_not(cell: str, layers: int) -> None:
    weights = random_weights(RNNSpec(cell, 3, 5, layers, 4))
    one, other = torch.randn(2, B, S, T, 3, dtype=torch.float64)
    parts = [run_population(weights, inputs)[0] for inputs in (one, other, 2 * one - other)]
    difference = (2 * parts[0] - parts[1] - parts[2]).abs().max() / parts[2].abs().max()
    assert (difference < 1e-12) == weights.spec.kind.affine


@pytest.mark.parametrize("cell", list_cells())
def test_state_carries_a_sequence_over(cell: str) -> None:
    spec = RNNSpec(cell, 3, 5, 2, 4)
    weights = random_weights(spec)
    inputs = torch.randn(B, S, T, 3, dtype=torch.float64)
    whole, end = run_population(weights, inputs)
    first, state = run_population(weights, inputs[:, :, :2])
    second, last = run_population(weights, inputs[:, :, 2:], state)
    torch.testing.assert_close(torch.cat([first, second], 2), whole)
    torch.testing.assert_close(last, end)
    restarted, _ = run_population(weights, inputs[:, :, 2:])
    assert not torch.allclose(restarted, whole[:, :, 2:])


def test_members_do_not_mix() -> None:
    spec = RNNSpec("lstm", 3, 5, 2, 4)
    weights = random_weights(spec)
    inputs = torch.randn(B, S, T, 3, dtype=torch.float64)
    outputs, _ = run_population(weights, inputs)
    weights.flat[1] = float("nan")
    spoiled, _ = run_population(weights, inputs)
    assert spoiled[1].isnan().all()
    assert torch.equal(spoiled[[0, 2]], outputs[[0, 2]])


@pytest.mark.parametrize("shape", [(B, S, T), (B + 1, S, T, 3), (B, S, T, 2), (B, 0, T, 3)])
def test_wrong_inputs_are_named(shape: tuple[int, ...]) -> None:
    weights = random_weights(RNNSpec("gru", 3, 5, 1, 4))
    with pytest.raises(ValueError, match=r"inputs must be \(B, S, T, I\) = \(3, S, T, 3\)"):
        run_population(weights, torch.zeros(shape, dtype=torch.float64))


def test_wrong_state_is_named() -> None:
    weights = random_weights(RNNSpec("lstm", 3, 5, 1, 4))
    inputs = torch.zeros(B, S, T, 3, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"2 tensor\(s\) \(L, B, S, H\)"):
        run_population(weights, inputs, torch.zeros(1, B, S, 5, dtype=torch.float64))


def test_dtypes_that_differ_are_named() -> None:
    spec = RNNSpec("lstm", 3, 5, 2, 4)
    weights = RNNWeights(torch.zeros(3, spec.num_parameters), spec)
    inputs = torch.zeros(3, 2, 4, 3)
    with pytest.raises(ValueError, match=r"inputs are torch\.float64, the weights torch\.float32"):
        run_population(weights, inputs.double())
    _, state = run_population(weights, inputs)
    with pytest.raises(ValueError, match=r"states are torch\.float64"):
        run_population(weights, inputs, tuple(part.double() for part in state))


def test_no_rnns_give_no_outputs() -> None:
    spec = RNNSpec("lstm", 3, 5, 2, 4)
    weights = RNNWeights(torch.zeros(0, spec.num_parameters), spec)
    assert run_population(weights, torch.zeros(0, 2, 4, 3))[0].shape == (0, 2, 4, 4)
