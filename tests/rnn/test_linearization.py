"""Jacobians of the whole state: finite differences, closed forms, what does not matter."""

import pytest
import torch
from torch import Tensor

from tests.rnn.cases import random_weights
from wsrl.rnn import (
    Linearization,
    RNNSpec,
    RNNWeights,
    advance,
    flatten_state,
    linearize,
    list_cells,
    run_population,
    spectral_residues,
    state_size,
    unflatten_state,
)

B = 3
every_cell = pytest.mark.parametrize("cell", list_cells())


def random_point(spec: RNNSpec) -> tuple[Tensor, Tensor]:
    point = torch.randn(B, state_size(spec), dtype=torch.float64)
    return point, torch.randn(B, spec.input_size, dtype=torch.float64)


def step_of(weights: RNNWeights, point: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """The new state and what is read from it, by the runtime alone."""
    state = unflatten_state(weights.spec, point[:, None])
    outputs, new = run_population(weights, inputs[:, None, None], state)
    return flatten_state(new)[:, 0], outputs[:, 0, 0]


def differences(weights: RNNWeights, point: Tensor, inputs: Tensor) -> tuple[Tensor, ...]:
    """Central differences: of the state and the output to the state, of the state to the input."""

    def along(index: int, of_input: bool) -> tuple[Tensor, Tensor]:
        size = 1e-5
        results = []
        for sign in (1, -1):
            moved = [point.clone(), inputs.clone()]
            moved[of_input][:, index] += sign * size
            results.append(step_of(weights, *moved))
        return tuple((up - down) / (2 * size) for up, down in zip(*results, strict=True))

    columns = [along(index, False) for index in range(point.shape[1])]
    driven = [along(index, True)[0] for index in range(inputs.shape[1])]
    recurrent, read = (torch.stack(part, 2) for part in zip(*columns, strict=True))
    return recurrent, read, torch.stack(driven, 2)


def check_differences(weights: RNNWeights, point: Tensor, inputs: Tensor) -> None:
    line = linearize(weights, point, inputs)
    recurrent, read, driven = differences(weights, point, inputs)
    torch.testing.assert_close(line.recurrent, recurrent, rtol=1e-7, atol=1e-8)
    torch.testing.assert_close(line.input, driven, rtol=1e-7, atol=1e-8)
    torch.testing.assert_close(line.readout @ line.recurrent, read, rtol=1e-7, atol=1e-8)
    torch.testing.assert_close(line.image, step_of(weights, point, inputs)[0])


@every_cell
@pytest.mark.parametrize(("layers", "bias"), [(1, False), (2, True), (3, True)])
def test_equals_finite_differences(cell: str, layers: int, bias: bool) -> None:
    spec = RNNSpec(cell, 3, 5, layers, 4, bias)
    check_differences(random_weights(spec), *random_point(spec))


@every_cell
def test_the_order_is_part_layer_neuron(cell: str) -> None:
    spec = RNNSpec(cell, 3, 5, 2, 4)
    state = tuple(torch.randn(2, B, 6, 5) for _ in range(spec.state_parts))
    vectors = flatten_state(state)
    layers = [layer for part in state for layer in part]
    assert torch.equal(vectors, torch.cat(layers, 2))
    again = unflatten_state(spec, vectors)
    assert all(torch.equal(one, other) for one, other in zip(again, state, strict=True))


@every_cell
def test_a_step_is_the_runtimes_and_zero_input_the_default(cell: str) -> None:
    spec = RNNSpec(cell, 3, 5, 2, 4)
    weights, (point, inputs) = random_weights(spec), random_point(spec)
    advanced = advance(weights, point[:, None], inputs[:, None])[:, 0]
    torch.testing.assert_close(advanced, step_of(weights, point, inputs)[0])
    alone = advance(weights, point[:, None])[:, 0]
    torch.testing.assert_close(alone, step_of(weights, point, torch.zeros_like(inputs))[0])
    assert not torch.allclose(alone, advanced)
    torch.testing.assert_close(linearize(weights, point).image, alone)


@every_cell
def test_single_precision_and_surroundings_without_gradients(cell: str) -> None:
    spec = RNNSpec(cell, 3, 8, 2, 4)
    weights, (point, inputs) = random_weights(spec), random_point(spec)
    truth = linearize(weights, point, inputs)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        single = weights.to(torch.float32)
        found = linearize(single, point.float(), inputs.float())
    for name in ("image", "recurrent", "input", "readout"):
        ours, wanted = getattr(found, name), getattr(truth, name)
        assert ours.dtype == torch.float32
        assert not ours.requires_grad
        torch.testing.assert_close(ours.double(), wanted, rtol=1e-5, atol=1e-5)


def response(line: Linearization, steps: int) -> Tensor:
    """The output that an input so many steps ago leads to, by powers of the matrix."""
    return line.readout @ torch.linalg.matrix_power(line.recurrent, steps) @ line.input


@every_cell
def test_residues_add_up_to_what_inputs_lead_to(cell: str) -> None:
    spec = RNNSpec(cell, 3, 5, 2, 4)
    line = linearize(random_weights(spec), *random_point(spec))
    values, residues = spectral_residues(line)
    assert residues.shape == (B, state_size(spec), 4, 3)
    for steps in range(6):
        total = torch.einsum("bn,bnoi->boi", values**steps, residues)
        torch.testing.assert_close(total.real, response(line, steps), rtol=1e-8, atol=1e-8)
        assert total.imag.abs().max() < 1e-8
        wrong = torch.einsum("bn,bnoi->boi", values**steps, residues.roll(1, 1)).real
        assert steps == 0 or not torch.allclose(wrong, response(line, steps), atol=1e-3)


def test_residues_without_a_basis_of_eigenvectors_are_finite() -> None:
    shift = torch.diag(torch.ones(3, dtype=torch.float64), 1)  # a Jordan block: one eigenvector
    near = shift + torch.diag(torch.tensor([0, 1e-9, 2e-9, 3e-9], dtype=torch.float64))
    recurrent = torch.stack([shift, near, torch.zeros(4, 4).double(), torch.eye(4).double()])
    others = torch.randn(4, 4, 2, dtype=torch.float64)
    point = torch.zeros(4, 4, dtype=torch.float64)
    line = Linearization(point, point, recurrent, others, others.transpose(1, 2))
    values, residues = spectral_residues(line)
    assert values.isfinite().all()
    assert residues.abs().max() < 1e12
    for steps in range(3):  # of the last two all eigenvalues are equal, and all vectors theirs
        total = torch.einsum("bn,bnoi->boi", values[2:] ** steps, residues[2:])
        torch.testing.assert_close(total.real, response(line, steps)[2:])


def test_rnns_do_not_mix_and_there_may_be_none() -> None:
    spec = RNNSpec("gru", 3, 5, 2, 4)
    weights, (point, _) = random_weights(spec), random_point(spec)
    whole = linearize(weights, point).recurrent
    weights.flat[1] = float("nan")
    spoiled = linearize(weights, point).recurrent
    assert spoiled[1].isnan().any()
    torch.testing.assert_close(spoiled[[0, 2]], whole[[0, 2]])
    assert linearize(weights[:0], point[:0]).recurrent.shape == (0, 10, 10)


def test_shapes_that_do_not_fit_are_named() -> None:
    spec = RNNSpec("lstm", 3, 5, 1, 4)
    weights, (point, inputs) = random_weights(spec), random_point(spec)
    with pytest.raises(ValueError, match=r"points must be \(B, n\) = \(3, 10\), not \(3, 9\)"):
        linearize(weights, point[:, 1:])
    with pytest.raises(ValueError, match=r"inputs must be \(B, I\) = \(3, 3\), not \(2, 3\)"):
        linearize(weights, point, inputs[1:])
    with pytest.raises(ValueError, match=r"states must be \(B, S, n\) = \(3, S, 10\), not \(3, 10"):
        advance(weights, point)
    with pytest.raises(ValueError, match=r"inputs must be \(B, S, I\) = \(3, 1, 3\)"):
        advance(weights, point[:, None], inputs)
