"""A prepared population runs as ``run_population`` does, step by step and with all gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from wsrl.rnn import (
    Backend,
    PreparedPopulation,
    RNNSpec,
    RNNWeights,
    list_cells,
    run_population,
)
from wsrl.rnn.kernels import compilation

kernels = compilation.library("lstm")
needs_kernels = pytest.mark.skipif(isinstance(kernels, Exception), reason=str(kernels))
BACKENDS = ["eager", pytest.param("cpu", marks=needs_kernels)]
STEPS = 4


def population(cell: str, hidden: int, bias: bool = True, rnns: int = 3) -> RNNWeights:
    spec = RNNSpec(cell, 5, hidden, 2, 6, bias=bias)
    generator = torch.Generator().manual_seed(hidden)
    flat = torch.rand(rnns, spec.num_parameters, generator=generator) - 0.5
    return RNNWeights(flat * 2 * hidden**-0.5, spec)


def rollout(run: PreparedPopulation, inputs: Tensor, state: tuple[Tensor, ...]) -> list[Tensor]:
    """Each input is made of the outputs before."""
    outputs = []
    for step in range(STEPS):
        made = inputs[:, :, step : step + 1]
        if outputs:
            made = made + torch.tanh(outputs[-1][..., :5])
        answer, state = run(made, state)
        outputs.append(answer)
    return [torch.cat(outputs, 2), *state]


def gradients(results: list[Tensor], leaves: list[Tensor]) -> tuple[Tensor, ...]:
    total = sum((result * result.detach().cos()).sum() for result in results)
    return torch.autograd.grad(total, leaves)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("cell", list_cells())
@pytest.mark.parametrize(("hidden", "bias"), [(16, True), (7, True), (32, False)])
@pytest.mark.parametrize("sequences", [1, 30])
def test_a_rollout_equals_that_in_double_precision(
    backend: Backend, cell: str, hidden: int, bias: bool, sequences: int
) -> None:
    weights = population(cell, hidden, bias)
    inputs = torch.randn(3, sequences, STEPS, 5)
    state = [torch.randn(2, 3, sequences, hidden) for _ in weights.spec.kind.state]
    found = []
    for dtype in (torch.float32, torch.float64):
        leaves = [part.to(dtype).requires_grad_() for part in (weights.flat, inputs, *state)]
        own = RNNWeights(leaves[0], weights.spec)
        run = PreparedPopulation(own, backend if dtype == torch.float32 else "eager")
        results = rollout(run, leaves[1], tuple(leaves[2:]))
        found.append([*results, *gradients(results, leaves)])
    for ours, truth in zip(*found, strict=True):
        allowed = 1e-5 * float(truth.detach().abs().max())
        torch.testing.assert_close(ours.double(), truth, rtol=0, atol=allowed)


@pytest.mark.parametrize("backend", BACKENDS)
def test_many_steps_at_once_and_one_by_one_are_the_same(backend: Backend) -> None:
    weights = population("lstm", 16)
    inputs = torch.randn(3, 30, STEPS, 5)
    run = PreparedPopulation(weights, backend)
    whole, end = run(inputs)
    truth, true_end = run_population(weights, inputs, backend=backend)
    assert torch.equal(whole, truth)
    assert all(torch.equal(one, other) for one, other in zip(end, true_end, strict=True))
    state, parts = None, []
    for step in inputs.split(1, 2):
        part, state = run(step, state)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, 2), truth)
    forgetful = torch.cat([run(step)[0] for step in inputs.split(1, 2)], 2)
    assert (forgetful - truth).abs().max() > 1e-3


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_where_it_was_first_used_without(backend: Backend) -> None:
    weights = population("gru", 8)
    weights.flat.requires_grad_()
    inputs = torch.randn(3, 2, 1, 5)
    run = PreparedPopulation(weights, backend)
    with torch.inference_mode():
        run(inputs)
    with torch.no_grad():
        assert not run(inputs)[0].requires_grad
    ours = torch.autograd.grad(run(inputs)[0].sum(), weights.flat, create_graph=True)[0]
    truth = torch.autograd.grad(
        run_population(weights, inputs, backend="eager")[0].sum(), weights.flat, create_graph=True
    )[0]
    torch.testing.assert_close(ours, truth)
    again = [torch.autograd.grad(part.square().sum(), weights.flat)[0] for part in (ours, truth)]
    torch.testing.assert_close(*again)
    for _ in range(2):  # graphs of two calls do not hang together
        run(inputs)[0].sum().backward()


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_does_not_fit_is_refused(backend: Backend) -> None:
    weights = population("lstm", 8)
    run = PreparedPopulation(weights, backend)
    with pytest.raises(ValueError, match=r"inputs must be \(B, S, T, I\) = \(3, S, T, 5\)"):
        run(torch.zeros(3, 2, 1, 4))
    with pytest.raises(ValueError, match=r"is 2 tensor\(s\)"):
        run(torch.zeros(3, 2, 1, 5), torch.zeros(2, 3, 2, 8))
    with pytest.raises(ValueError, match=r"inputs are torch\.float64"):
        run(torch.zeros(3, 2, 1, 5, dtype=torch.float64))
    with pytest.raises(ValueError, match="unknown backend"):
        PreparedPopulation(weights, "quick")


@pytest.mark.parametrize("backend", BACKENDS)
def test_later_changes_of_the_weights_do_not_reach_it(backend: Backend) -> None:
    weights, inputs = population("lstm", 8), torch.randn(3, 2, 1, 5)
    run, truth = PreparedPopulation(weights, backend), run_population(weights, inputs)[0]
    weights.flat.mul_(2)
    torch.testing.assert_close(run(inputs)[0], truth)
    assert not torch.allclose(PreparedPopulation(weights, backend)(inputs)[0], truth)


@pytest.mark.parametrize("backend", ["auto", "eager"])
def test_torch_compile_traces_it_whole(backend: Backend) -> None:
    weights, inputs = population("lstm", 8), torch.randn(3, 2, STEPS, 5)
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


def test_no_rnns() -> None:
    run = PreparedPopulation(population("lstm", 8, rnns=0))
    assert run(torch.zeros(0, 2, 4, 5))[0].shape == (0, 2, 4, 6)
