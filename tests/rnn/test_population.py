"""The population runtime equals ``torch.nn``, values and gradients, for every cell."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.rnn.cases import assert_close, random_weights
from wsrl.rnn import (
    Backend,
    PreparedPopulation,
    RNNSpec,
    RNNWeights,
    get_cell,
    list_cells,
    run_population,
    with_initial_values,
)
from wsrl.rnn.kernels import compilation

B, S, T = 3, 4, 6
kernels = compilation.library("lstm")
needs_kernels = pytest.mark.skipif(isinstance(kernels, Exception), reason=str(kernels))
every_cell = pytest.mark.parametrize("cell", list_cells())
every_backend = pytest.mark.parametrize(
    "backend", ["eager", pytest.param("cpu", marks=needs_kernels)]
)


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
    outputs, _ = run_population(weights, inputs, start)
    for rnn in range(B):
        part = {name: value[rnn].numpy() for name, value in weights.tensors().items()}
        driven = inputs[rnn].numpy() @ part["rnn.weight_ih_l0"].T
        driven = driven + part.get("rnn.bias_ih_l0", 0) + part.get("rnn.bias_hh_l0", 0)
        power = [np.linalg.matrix_power(part["rnn.weight_hh_l0"].T, k) for k in range(T + 1)]
        hidden = start[0, rnn].numpy() @ power[T]
        hidden = hidden + sum(driven[:, k] @ power[T - 1 - k] for k in range(T))
        read = hidden @ part["linear.weight"].T + part.get("linear.bias", 0)
        np.testing.assert_allclose(outputs[rnn, :, -1].numpy(), read, rtol=1e-10, atol=1e-10)


@every_cell
@pytest.mark.parametrize("layers", [1, 3])
def test_affine_cells_superpose_and_others_do_not(cell: str, layers: int) -> None:
    weights = random_weights(RNNSpec(cell, 3, 5, layers, 4))
    one, other = torch.randn(2, B, S, T, 3, dtype=torch.float64)
    parts = [run_population(weights, inputs)[0] for inputs in (one, other, 2 * one - other)]
    difference = (2 * parts[0] - parts[1] - parts[2]).abs().max() / parts[2].abs().max()
    assert (difference < 1e-12) == weights.spec.kind.affine


def single(cell: str, hidden: int = 8, bias: bool = True, rnns: int = B) -> RNNWeights:
    spec = RNNSpec(cell, 5, hidden, 2, 6, bias=bias)
    drawn = torch.rand(rnns, spec.num_parameters) * 2 - 1
    return with_initial_values(spec, drawn * hidden**-0.5)


@every_cell
@every_backend
def test_state_carries_a_sequence_over_prepared_or_not(cell: str, backend: Backend) -> None:
    weights, inputs = single(cell), torch.randn(B, S, T, 5)
    run = PreparedPopulation(weights, backend)
    truth, true_end = run_population(weights, inputs, backend=backend)
    whole, end = run(inputs)
    assert torch.equal(whole, truth)
    assert all(torch.equal(one, other) for one, other in zip(end, true_end, strict=True))
    state, parts = None, []
    for step in inputs.split(1, 2):
        part, state = run(step, state)
        parts.append(part)
    assert_close(torch.cat(parts, 2), truth)
    assert_close(state[-1], end[-1])
    forgetful = torch.cat([run(step)[0] for step in inputs.split(1, 2)], 2)
    assert (forgetful - truth).abs().max() > 1e-3


@every_backend
@every_cell
@pytest.mark.parametrize(
    ("hidden", "bias", "sequences"), [(16, True, 1), (7, True, 30), (32, False, 1)]
)
def test_a_prepared_rollout_equals_that_in_double_precision(
    backend: Backend, cell: str, hidden: int, bias: bool, sequences: int
) -> None:
    """Each input is made of the outputs before; all gradients."""
    weights = single(cell, hidden, bias)
    inputs = torch.randn(B, sequences, T, 5)
    start = [torch.randn(2, B, sequences, hidden) for _ in weights.spec.kind.state]
    found = []
    for dtype, own in ((torch.float32, backend), (torch.float64, "eager")):
        leaves = [part.to(dtype).requires_grad_() for part in (weights.flat, inputs, *start)]
        run = PreparedPopulation(RNNWeights(leaves[0], weights.spec), own)
        state, outputs = tuple(leaves[2:]), [torch.zeros(B, sequences, 1, 6).to(leaves[1])]
        for step in leaves[1].split(1, 2):
            answer, state = run(step + torch.tanh(outputs[-1][..., :5]), state)
            outputs.append(answer)
        results = [torch.cat(outputs, 2), *state]
        total = sum((result * result.detach().cos()).sum() for result in results)
        found.append([*results, *torch.autograd.grad(total, leaves)])
    for ours, truth in zip(*found, strict=True):
        assert_close(ours, truth)


@every_backend
def test_a_prepared_population_keeps_the_weights_and_serves_every_mode(backend: Backend) -> None:
    weights, inputs = single("gru"), torch.randn(B, 2, 1, 5)
    run, truth = PreparedPopulation(weights, backend), run_population(weights, inputs)[0]
    weights.flat.mul_(2)  # does not reach it
    torch.testing.assert_close(run(inputs)[0], truth)
    assert not torch.allclose(PreparedPopulation(weights, backend)(inputs)[0], truth)
    weights.flat.requires_grad_()
    run = PreparedPopulation(weights, backend)
    with torch.inference_mode():
        run(inputs)
    with torch.no_grad():
        assert not run(inputs)[0].requires_grad
    ours = torch.autograd.grad(run(inputs)[0].sum(), weights.flat)[0]
    truth = torch.autograd.grad(run_population(weights, inputs)[0].sum(), weights.flat)[0]
    torch.testing.assert_close(ours, truth)
    for _ in range(2):  # graphs of two calls do not hang together
        run(inputs)[0].sum().backward()


@pytest.mark.parametrize("backend", ["auto", "eager"])
def test_torch_compile_traces_it_whole(backend: Backend) -> None:
    weights, inputs = single("lstm"), torch.randn(B, 2, T, 5)
    flat = weights.flat.requires_grad_()

    def play(inputs: Tensor) -> Tensor:
        run = PreparedPopulation(weights, backend)
        state, answers = None, []
        for step in inputs.split(1, 2):
            answer, state = run(step, state)
            answers.append(answer)
        return torch.cat(answers, 2)

    compiled = torch.compile(play, backend="eager", fullgraph=True)
    results = [function(inputs) for function in (compiled, play)]
    torch.testing.assert_close(*results)
    torch.testing.assert_close(*(torch.autograd.grad(r.sum(), flat)[0] for r in results))


def test_members_do_not_mix_and_there_may_be_none() -> None:
    weights, inputs = single("lstm"), torch.randn(B, S, T, 5)
    outputs, _ = run_population(weights, inputs)
    weights.flat[1] = float("nan")
    spoiled, _ = run_population(weights, inputs)
    assert spoiled[1].isnan().all()
    assert torch.equal(spoiled[[0, 2]], outputs[[0, 2]])
    for run in (PreparedPopulation(weights[:0]), partial(run_population, weights[:0])):
        assert run(inputs[:0])[0].shape == (0, S, T, 6)


def test_what_does_not_fit_is_named() -> None:
    weights, good = single("lstm"), torch.zeros(B, S, T, 5)
    h, wide = torch.zeros(2, B, S, 8), torch.zeros(2, B, S, 8, dtype=torch.float64)
    shapes = [(B, S, T), (B + 1, S, T, 5), (B, S, T, 2), (B, 0, T, 5)]
    wrong = [(torch.zeros(shape), None, r"\(B, S, T, I\) = \(3, S, T, 5\)") for shape in shapes]
    wrong += [
        (good, h, r"2 tensor\(s\) \(L, B, S, H\)"),
        (good.double(), None, r"inputs are torch\.float64, the weights torch\.float32"),
        (good, (wide, wide), r"states are torch\.float64"),
    ]
    for run in (PreparedPopulation(weights), partial(run_population, weights)):
        for inputs, state, message in wrong:
            with pytest.raises(ValueError, match=message):
                run(inputs, state)
    with pytest.raises(ValueError, match="unknown backend"):
        PreparedPopulation(weights, "quick")
