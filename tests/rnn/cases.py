"""Random populations for the kernels' tests, and how close is close enough."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from wsrl.rnn import (
    RNNSpec,
    RNNWeights,
    backends,
    population_cross_entropy,
    run_population,
    with_initial_values,
)
from wsrl.rnn.kernels import cpu
from wsrl.rnn.spec import layer_name
from wsrl.zoos.optimizer import PopulationAdamW

TOLERANCE = 1e-5
"""Of each tensor's largest magnitude."""


def random_weights(spec: RNNSpec, scale: float = 0.6, batch: int = 3) -> RNNWeights:
    """Draw weights; near their initial values those that have such, as time constants do."""
    generator = torch.Generator().manual_seed(7)
    flat = torch.randn(batch, spec.num_parameters, generator=generator, dtype=torch.float64)
    spread = 1 + 0.3 * torch.rand(flat.shape, generator=generator, dtype=torch.float64)
    weights = RNNWeights(flat * scale, spec)
    usual = with_initial_values(spec, flat / spec.hidden_size**0.5)
    for tensor in spec.kind.tensors(spec.bias):
        for layer in range(spec.num_layers if tensor.initial else 0):
            name = layer_name(tensor.name, layer)
            near = RNNWeights(usual.flat * spread, spec).tensors()[name]
            weights.tensors()[name].copy_(near)
    return weights


@dataclasses.dataclass
class Case:
    weights: RNNWeights
    inputs: Tensor
    targets: Tensor
    sequence_weights: Tensor
    state: tuple[Tensor, ...]

    def to(self, dtype: torch.dtype, device: str = "cpu") -> Case:
        state = tuple(part.to(device, dtype).requires_grad_() for part in self.state)
        flat = self.weights.flat.detach().to(device, dtype).requires_grad_()
        inputs, counts = (part.to(device, dtype) for part in (self.inputs, self.sequence_weights))
        weights = RNNWeights(flat, self.weights.spec)
        return Case(weights, inputs, self.targets.to(device), counts, state)


@dataclasses.dataclass
class Sizes:
    """What sizes are drawn from; by default what are and are not multiples of a vector."""

    cells: Sequence[str] = tuple(cpu.KERNELS)
    inputs: Sequence[int] = (1, 3, 6, 16, 17)
    outputs: Sequence[int] = (1, 6, 10, 16, 19)
    hidden: Sequence[int] = (1, 5, 8, 16, 24, 32, 33)
    layers: Sequence[int] = (1, 2, 3)
    members: Sequence[int] = (1, 2, 5)
    sequences: Sequence[int] = (1, 2, 7, 13, 40)
    steps: Sequence[int] = (1, 2, 9, 30)


def random_case(seed: int, sizes: Sizes | None = None) -> Case:
    """Draw a spec (cells take turns with the seed), weights, data of both kinds, a state."""
    pick, among = random.Random(seed), sizes or Sizes()
    cell = among.cells[seed % len(among.cells)]
    inputs, outputs = pick.choice(among.inputs), pick.choice(among.outputs)
    hidden, layers = pick.choice(among.hidden), pick.choice(among.layers)
    spec = RNNSpec(cell, inputs, hidden, layers, outputs, bias=pick.random() < 0.7)
    shape = tuple(map(pick.choice, (among.members, among.sequences, among.steps)))
    generator = torch.Generator().manual_seed(seed)
    flat = torch.empty(shape[0], spec.num_parameters).uniform_(-1, 1, generator=generator)
    scale = pick.choice([0.01, 1, 2]) * hidden**-0.5
    real = torch.randn(*shape, inputs, generator=generator)
    one_hot = functional.one_hot(torch.randint(inputs, shape, generator=generator), inputs).float()
    counts = torch.rand(shape[:2], generator=generator).sub(0.3).clamp(min=0)
    state_shape = (layers, *shape[:2], hidden)
    return Case(
        RNNWeights(flat * scale, spec),
        real if pick.random() < 0.6 else one_hot,
        torch.randint(outputs, shape, generator=generator),
        counts,
        tuple(torch.randn(state_shape, generator=generator) for _ in range(spec.state_parts)),
    )


def assert_close(ours: Tensor, truth: Tensor) -> None:
    allowed = TOLERANCE * float(truth.detach().abs().max()) + 1e-30
    torch.testing.assert_close(ours.double().cpu(), truth.double().cpu(), rtol=0, atol=allowed)


def losses_and_gradient(case: Case, backend: backends.Backend) -> list[Tensor]:
    data = (case.inputs, case.targets, case.sequence_weights)
    losses = population_cross_entropy(case.weights, *data, backend=backend)
    scale = torch.arange(1, len(losses) + 1).to(losses)  # the gradients of the losses are not all 1
    return [losses, *torch.autograd.grad((losses * scale).sum(), case.weights.flat)]


def run_and_gradients(case: Case, backend: backends.Backend, stateful: bool) -> list[Tensor]:
    inputs = case.inputs.clone().requires_grad_()
    state = case.state if stateful else None
    outputs, end = run_population(case.weights, inputs, state, backend)
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(outputs.shape, generator=generator).to(outputs)
    total = (outputs * direction).sum() + sum(part.pow(2).sum() for part in end)
    leaves = [case.weights.flat, inputs, *(case.state if stateful else ())]
    return [outputs, *end, *torch.autograd.grad(total, leaves)]


def check_agreement(seed: int, backend: backends.Backend, sizes: Sizes, device: str) -> None:
    """Losses, outputs, states and all gradients are those of PyTorch in double precision."""
    case = random_case(seed, sizes)
    ours, truth = case.to(torch.float32, device), case.to(torch.float64)
    pairs = [(losses_and_gradient(ours, backend), losses_and_gradient(truth, "eager"))]
    for stateful in (True, False):
        found = run_and_gradients(ours, backend, stateful)
        pairs.append((found, run_and_gradients(truth, "eager", stateful)))
    for found, wanted in pairs:
        for one, other in zip(found, wanted, strict=True):
            assert_close(one, other)


def check_parts_of_gradients(cell: str, backend: backends.Backend, device: str) -> None:
    """Only the gradients asked for, of only the results used."""
    spec = RNNSpec(cell, 3, 5, 2, 4)
    drawn = torch.rand(1, spec.num_parameters) - 0.5, torch.randn(1, 2, 3, 3)
    state = tuple(torch.randn(2, 1, 2, 5) for _ in range(spec.state_parts))
    for asked in range(-1, 2 + len(state)):
        results = []
        for own, dtype in ((backend, torch.float32), ("eager", torch.float64)):
            parts = [part.to(device, dtype) for part in (*drawn, *state)]
            leaf = parts[max(asked, 0)].requires_grad_()
            weights = RNNWeights(parts[0], spec)
            outputs, end = run_population(weights, parts[1], tuple(parts[2:]), own)
            value = outputs if asked < 0 else end[-1][-1]
            results += torch.autograd.grad(value.square().sum(), leaf)
        assert_close(*results)


def check_a_graph_used_twice(cell: str, backend: backends.Backend, device: str) -> None:
    """It gives the same gradient twice; the gradient of a gradient is an error, not a wrong one."""
    spec = RNNSpec(cell, 3, 5, 2, 4)
    flat = (torch.rand(2, spec.num_parameters) - 0.5).to(device).requires_grad_()
    data = (torch.randn(2, 3, 4, 3), torch.randint(4, (2, 3, 4)), torch.rand(2, 3))
    inputs, targets, shares = (part.to(device) for part in data)
    weights = RNNWeights(flat, spec)
    outputs, _ = run_population(weights, inputs, backend=backend)
    losses = population_cross_entropy(weights, inputs, targets, shares, backend)
    for value in (outputs.square().sum(), losses.sum()):
        first, second = (torch.autograd.grad(value, flat, retain_graph=True)[0] for _ in range(2))
        assert torch.equal(first, second)
        with pytest.raises(RuntimeError, match="cannot be differentiated in turn"):
            torch.autograd.grad(value, flat, create_graph=True)


def check_what_is_not_finite_stays(cell: str, backend: backends.Backend, device: str) -> None:
    """One RNN's bad weights change nothing of others, and are seen in all that is its own."""
    spec = RNNSpec(cell, 3, 8, 2, 4)
    flat = (torch.rand(3, spec.num_parameters) - 0.5).to(device)
    inputs, targets = torch.randn(3, 5, 6, 3).to(device), torch.randint(4, (3, 5, 6)).to(device)
    results = []
    for bad in (None, float("nan"), float("inf")):
        own = flat.clone()
        if bad:
            own[1, -5] = bad  # a weight of the readout
            own[1, 0] = float("nan")
        own.requires_grad_()
        shares = torch.full((3, 5), 0.2, device=device)
        data = (inputs, targets, shares)
        losses = population_cross_entropy(RNNWeights(own, spec), *data, backend=backend)
        (gradient,) = torch.autograd.grad(losses.sum(), own)
        optimizer = PopulationAdamW(own.detach(), 0.01, backend)
        optimizer.step(gradient, 0.1)
        outputs, _ = run_population(RNNWeights(own.detach(), spec), inputs, backend=backend)
        results.append((losses.detach(), gradient, own.detach(), outputs))
    for before, *spoiled in zip(*results, strict=True):
        for after in spoiled:
            assert torch.equal(before[[0, 2]], after[[0, 2]])
            assert not after[1].isfinite().all()


def check_adamw(backend: backends.Backend, device: str) -> None:
    """The optimizer's steps in one pass are those of PyTorch."""
    for decay in (0.01, torch.tensor([[0.0], [0.1], [0.5]], device=device)):
        flat = torch.randn(3, 1025, device=device)
        ours, truth = (PopulationAdamW(flat.clone(), decay, b) for b in (backend, "eager"))
        assert (ours.backend, truth.backend) == (backend, "eager")
        for step in range(6):
            gradient = torch.randn(3, 1025, device=device) * 10.0**-step
            for optimizer in (ours, truth):
                optimizer.step(gradient, 0.1 / (step + 1))
        for name in ("flat", "mean", "square"):
            torch.testing.assert_close(getattr(ours, name), getattr(truth, name))


def check_extreme_weights(cell: str, backend: backends.Backend, device: str) -> None:
    """They saturate, as in PyTorch."""
    spec = RNNSpec(cell, 3, 8, 1, 4)
    weights = RNNWeights((torch.rand(2, spec.num_parameters) - 0.5).to(device) * 1e6, spec)
    inputs = torch.randn(2, 5, 3, 3).to(device)
    ours, truth = (run_population(weights, inputs, backend=b)[0] for b in (backend, "eager"))
    assert ours.isfinite().all()
    assert_close(ours, truth)


CHECKS = {
    "parts of gradients": check_parts_of_gradients,
    "a graph used twice": check_a_graph_used_twice,
    "what is not finite": check_what_is_not_finite_stays,
    "extreme weights": check_extreme_weights,
}
"""Laws of the kernels of every cell."""
