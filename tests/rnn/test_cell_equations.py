"""Cells that ``torch.nn`` does not have, against plain loops over RNNs, sequences and steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest
import torch
from torch import Tensor

from tests.rnn.cases import random_weights
from wsrl.rnn import RNNSpec, RNNWeights, get_cell, list_cells, run_population
from wsrl.rnn.backends import for_kernels

Named: TypeAlias = dict[str, Tensor]
# One step of one layer of one RNN on one sequence: its tensors, what it reads, its state; to the
# new state and what is read from it.
Step: TypeAlias = Callable[[Named, Tensor, list[Tensor]], tuple[list[Tensor], Tensor]]


def softplus(own: Named, x: Tensor, state: list[Tensor]) -> tuple[list[Tensor], Tensor]:
    sums = own["weight_ih"] @ x + own["weight_hh"] @ state[0]
    sums = sums + own.get("bias_ih", 0) + own.get("bias_hh", 0)
    h = torch.log(1 + torch.exp(sums))
    return [h], h


def gru_reset_before(own: Named, x: Tensor, state: list[Tensor]) -> tuple[list[Tensor], Tensor]:
    (h,) = state
    u_r, u_z, u_n = (own["weight_ih"] @ x + own.get("bias", 0)).split(len(h))
    w_r, w_z, w_n = own["weight_hh"].split(len(h))
    r, z = 1 / (1 + torch.exp(-u_r - w_r @ h)), 1 / (1 + torch.exp(-u_z - w_z @ h))
    new = (1 - z) * torch.tanh(u_n + w_n @ (r * h)) + z * h
    return [new], new


def min_gru(own: Named, x: Tensor, state: list[Tensor]) -> tuple[list[Tensor], Tensor]:
    k, a = (own["weight_ih"] @ x + own.get("bias", 0)).split(len(state[0]))
    z = 1 / (1 + torch.exp(-a))
    g = torch.stack([u + 0.5 if u >= 0 else 1 / (1 + torch.exp(-u)) for u in k])
    h = (1 - z) * state[0] + z * g
    return [h], h


PHI: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": lambda v: (torch.exp(2 * v) - 1) / (torch.exp(2 * v) + 1),
    "relu": lambda v: torch.where(v > 0, v, 0.0),
    "softplus": lambda v: torch.log(1 + torch.exp(v)),
    "retanh": lambda v: torch.where(v > 0, torch.tanh(v), 0.0),
    "sigmoid": lambda v: 1 / (1 + torch.exp(-v)),
}


def leaky(form: str, phi: str, recurrent: Callable[[Named], Tensor]) -> Step:
    """One of the three forms, with an effective recurrent matrix."""

    def step(own: Named, x: Tensor, state: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        (old,), f, w = state, PHI[phi], recurrent(own)
        a = torch.stack([alpha.clamp(0, 1) for alpha in own["alpha"]])
        drive = own["weight_ih"] @ x + own.get("bias", 0)
        if form == "rate":
            new = (1 - a) * old + a * f(w @ old + drive)
        elif form == "state":
            new = (1 - a) * old + a * (w @ f(old) + drive)
        else:
            new = f((1 - a) * old + a * (w @ old + drive))
        return [new], f(new) if form == "state" else new

    return step


def biased_rates(own: Named, x: Tensor, state: list[Tensor]) -> tuple[list[Tensor], Tensor]:
    """A low-rank RNN with the bias in the recurrence alone, as in lowrank_inference."""
    (s,), a = state, own["alpha"].clamp(0, 1)
    rates = torch.tanh(s + own.get("bias", 0))
    s = s + a * (-s + own["m"] @ own["n"] @ rates + own["weight_ih"] @ x)
    return [s], torch.tanh(s)


def plain(own: Named) -> Tensor:
    return own["weight_hh"]


def masked(own: Named) -> Tensor:
    return own["weight_hh"] * own["mask"]


def dale(own: Named) -> Tensor:
    columns = zip(own["weight_hh"].T, own["sign"], strict=True)
    return torch.stack([column.abs() * sign for column, sign in columns], 1) * own["mask"]


def product(own: Named) -> Tensor:
    return own["m"] @ own["n"]


def lru(own: Named, x: Tensor, state: list[Tensor]) -> tuple[list[Tensor], Tensor]:
    eigenvalues = torch.exp(torch.complex(-torch.exp(own["nu_log"]), torch.exp(own["theta_log"])))
    inward = torch.complex(own["B_re"], own["B_im"]) @ x.to(torch.complex128)
    s = eigenvalues * torch.complex(*state) + torch.exp(own["gamma_log"]) * inward
    v = (torch.complex(own["C_re"], own["C_im"]) @ s).real + own["D"] @ x
    return [s.real, s.imag], v


STEPS: dict[str, Step] = {
    "lru": lru,
    "softplus": softplus,
    "gru_reset_before": gru_reset_before,
    "min_gru": min_gru,
    "leaky": leaky("rate", "tanh", plain),
    "leaky(nonlinearity='softplus', leak='neuron')": leaky("rate", "softplus", plain),
    "leaky(nonlinearity='relu', constraint='dale')": leaky("rate", "relu", dale),
    "leaky(form='state', nonlinearity='retanh', leak='neuron')": leaky("state", "retanh", plain),
    "leaky(form='state', nonlinearity='relu', constraint='dale')": leaky("state", "relu", dale),
    "leaky(form='state', leak='shared', constraint='mask')": leaky("state", "tanh", masked),
    "leaky(form='inside', nonlinearity='sigmoid', leak='neuron', constraint='mask')": leaky(
        "inside", "sigmoid", masked
    ),
    "leaky(form='inside', nonlinearity='relu')": leaky("inside", "relu", plain),
    "low_rank": leaky("state", "tanh", product),
    "low_rank(form='rate', nonlinearity='relu', rank=3)": leaky("rate", "relu", product),
    "low_rank(form='inside', rank=1)": leaky("inside", "tanh", product),
    "low_rank(bias_in='rates')": biased_rates,
}


def loop(cell: str, named: Named, inputs: Tensor, state: list[Tensor], layers: int) -> Tensor:
    """Run one RNN on one sequence ``(T, I)`` from ``state``, parts ``(L, H)``; the outputs."""
    sequence = list(inputs)
    for layer in range(layers):
        ending = f"_l{layer}"
        own = {n[4:-3]: value for n, value in named.items() if n.endswith(ending)}
        now, read = [part[layer] for part in state], []
        for x in sequence:
            now, output = STEPS[cell](own, x, now)
            read.append(output)
        sequence = read
    bias = named.get("linear.bias", 0)
    return torch.stack([named["linear.weight"] @ h + bias for h in sequence])


@pytest.mark.parametrize("cell", STEPS)
@pytest.mark.parametrize(("layers", "bias"), [(2, True), (1, False)])
def test_equals_a_plain_loop(cell: str, layers: int, bias: bool) -> None:
    """Outputs, and the gradients to weights, inputs and the first state."""
    weights = random_weights(RNNSpec(cell, 3, 5, layers, 4, bias))
    inputs = torch.randn(3, 2, 6, 3, dtype=torch.float64)
    state = [torch.randn(layers, 3, 2, 5, dtype=torch.float64) for _ in weights.spec.kind.state]
    leaves = [part.requires_grad_() for part in (weights.flat, inputs, *state)]
    ours, _ = run_population(weights, inputs, tuple(state))
    rows = [
        torch.stack(
            [
                loop(cell, named, inputs[rnn, s], [part[:, rnn, s] for part in state], layers)
                for s in range(2)
            ]
        )
        for rnn in range(3)
        for named in [{name: value[rnn] for name, value in weights.tensors().items()}]
    ]
    results = []
    for outputs in (ours, torch.stack(rows)):
        total = (outputs * torch.arange(outputs.numel()).view_as(outputs).cos()).sum()
        results.append([outputs, *torch.autograd.grad(total, leaves, retain_graph=True)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("cell", [cell for cell in STEPS if get_cell(cell).simpler])
@pytest.mark.parametrize("bias", [True, False])
def test_a_simpler_cell_computes_the_same(cell: str, bias: bool) -> None:
    """Outputs, states and gradients, also where a leak is clamped: kernels can run it instead."""
    weights = random_weights(RNNSpec(cell, 3, 5, 2, 4, bias))
    weights.tensors()["rnn.alpha_l1"][0].add_(1)
    weights.flat.requires_grad_()
    inputs, state = torch.randn(3, 2, 6, 3).double(), torch.randn(2, 3, 2, 5).double()
    simple = for_kernels(weights)
    assert simple.spec.cell == get_cell(cell).simpler
    results = []
    for rnns in (weights, simple):
        outputs, (last,) = run_population(rnns, inputs, state)
        total = outputs.square().sum() + last.pow(3).sum()
        results.append([outputs, last, *torch.autograd.grad(total, weights.flat)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_some_cells_have_no_simpler_one() -> None:
    for cell in (
        "lstm",
        "low_rank(bias_in='rates')",
        "leaky(form='inside', nonlinearity='sigmoid')",
    ):
        assert get_cell(cell).simpler is None
        spec = RNNSpec(cell, 3, 5, 1, 4, initial_state=True)
        weights = RNNWeights(torch.rand(1, spec.num_parameters), spec)
        assert torch.equal(for_kernels(weights).flat, weights.core.flat)


def test_every_cell_is_compared_with_something() -> None:
    known = {name for name in list_cells() if get_cell(name).torch_form} | {"linear"}
    assert known | {cell.partition("(")[0] for cell in STEPS} == {*list_cells()}
