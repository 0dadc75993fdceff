"""RNNs linearised: the whole state as one vector, and the Jacobians of a step at a point.

A step is ``x' = F(x, u)`` and ``y = G(x')``: the readout reads the NEW state. Near a point ``x*``
with input ``u*`` it is ``x' - F(x*, u*) = A (x - x*) + B (u - u*)``, and ``G`` has the slope ``R``.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from wsrl.rnn.population import PreparedPopulation, State, read_state, run_population
from wsrl.rnn.spec import RNNSpec
from wsrl.rnn.weights import RNNWeights

WORST_BASIS = 1e10  # eigenvectors whose inverse is larger count as no basis


def state_size(spec: RNNSpec) -> int:
    """Return how many numbers ``n`` the whole state of an RNN has."""
    return spec.state_parts * spec.num_layers * spec.hidden_size


def flatten_state(state: State) -> Tensor:
    """Return states, each tensor ``(L, B, S, H)``, as vectors ``(B, S, n)``.

    Their order is: part (``h``, then ``c``), layer, neuron.
    """
    return torch.stack(state).permute(2, 3, 0, 1, 4).flatten(2)


def unflatten_state(spec: RNNSpec, states: Tensor) -> State:
    """Return vectors ``(B, S, n)`` as the state that ``run_population`` takes."""
    check_shape(states, (states.shape[0], "S", state_size(spec)), "states", "(B, S, n)")
    shape = (spec.state_parts, spec.num_layers, spec.hidden_size)
    return tuple(states.unflatten(2, shape).permute(2, 3, 0, 1, 4))


def advance(weights: RNNWeights, states: Tensor, inputs: Tensor | None = None) -> Tensor:
    """Return the states ``(B, S, n)`` after one step of ``B`` RNNs from ``S`` each; differentiable.

    There is an input for each state, ``(B, S, I)``; zeros by default.
    """
    spec = weights.spec
    check_shape(states, (len(weights), "S", state_size(spec)), "states", "(B, S, n)")
    if inputs is None:
        inputs = states.new_zeros(*states.shape[:2], spec.input_size)
    check_shape(inputs, (*states.shape[:2], spec.input_size), "inputs", "(B, S, I)")
    _, state = run_population(weights, inputs[:, :, None], unflatten_state(spec, states))
    return flatten_state(state)


@torch.no_grad()
def states_along(weights: RNNWeights, inputs: Tensor, start: State | None = None) -> Tensor:
    """Return the states ``(B, S, T, n)`` after each step of ``inputs (B, S, T, I)``.

    They start from the RNNs' own first states, or zero, or the state that is given.

    >>> spec = RNNSpec("lstm", 3, 8, 2, 2)
    >>> weights = RNNWeights(torch.randn(5, spec.num_parameters), spec)
    >>> states_along(weights, torch.randn(5, 4, 10, 3)).shape
    torch.Size([5, 4, 10, 32])
    """
    run, state = PreparedPopulation(weights), start
    states = []
    for step in inputs.split(1, 2):
        _, state = run(step, state)
        states.append(flatten_state(state))
    return torch.stack(states, 2)


@dataclass(frozen=True)
class Linearization:
    """A step of ``B`` RNNs near a point of each.

    Attributes:
        point: ``x*``, ``(B, n)``.
        image: ``F(x*, u*)``, ``(B, n)``: the point itself where it is a fixed point.
        recurrent: ``A = dF/dx``, ``(B, n, n)``.
        input: ``B = dF/du``, ``(B, n, I)``.
        readout: ``R = dy/dx'`` at the image, ``(B, O, n)``.
    """

    point: Tensor
    image: Tensor
    recurrent: Tensor
    input: Tensor
    readout: Tensor


def linearize(weights: RNNWeights, points: Tensor, inputs: Tensor | None = None) -> Linearization:
    """Linearise RNNs, each at its own point, exactly: by automatic differentiation.

    All layers are one system, and ``h`` and ``c`` of an LSTM one state. No gradients flow to the
    weights. Memory grows as ``B n^2``.

    Args:
        weights: ``B`` RNNs.
        points: ``(B, n)``, in the order of ``flatten_state``.
        inputs: ``(B, I)``, the input at the point; zeros by default.

    >>> spec = RNNSpec("linear", 3, 8, 1, 2)
    >>> weights = RNNWeights(torch.randn(5, spec.num_parameters), spec)
    >>> line = linearize(weights, torch.zeros(5, state_size(spec)))
    >>> torch.equal(line.recurrent, weights.tensors()["rnn.weight_hh_l0"])
    True

    Raises:
        ValueError: for shapes that do not fit the spec.
    """
    spec, size = weights.spec, state_size(weights.spec)
    with exact_gradients(weights.flat.device):
        own = RNNWeights(weights.flat.detach().clone(), spec)

        def read(states: Tensor, driving: Tensor) -> Tensor:
            return read_state(own, driving, unflatten_state(spec, states))

        start, driven = _checked(own, points, inputs)
        images, (recurrent, inward) = _jacobians(partial(advance, own), size, (start, driven))
        image = images.detach()[:, 0].clone()
        _, (readout, _) = _jacobians(read, spec.output_size, (image, driven))
    return Linearization(start.clone(), image, recurrent, inward, readout)


def linearize_step(
    weights: RNNWeights, points: Tensor, inputs: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return ``image (B, n)`` and ``recurrent (B, n, n)`` of ``linearize``, in half the time.

    >>> spec = RNNSpec("linear", 3, 8, 1, 2, bias=False)
    >>> weights = RNNWeights(torch.randn(5, spec.num_parameters), spec)
    >>> image, recurrent = linearize_step(weights, torch.ones(5, 8))
    >>> torch.allclose(image, recurrent.sum(2), atol=1e-5)
    True
    """
    with exact_gradients(weights.flat.device):
        own = RNNWeights(weights.flat.detach().clone(), weights.spec)
        at = _checked(own, points, inputs)
        images, (recurrent, _) = _jacobians(partial(advance, own), state_size(own.spec), at)
    return images.detach()[:, 0].clone(), recurrent


def _checked(own: RNNWeights, points: Tensor, inputs: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return points and inputs as the weights are; zero inputs where none are given."""
    check_shape(points, (len(own), state_size(own.spec)), "points", "(B, n)")
    if inputs is None:
        inputs = points.new_zeros(len(own), own.spec.input_size)
    check_shape(inputs, (len(own), own.spec.input_size), "inputs", "(B, I)")
    return points.detach().to(own.flat), inputs.detach().to(own.flat)


def _jacobians(
    function: Callable[[Tensor, Tensor], Tensor], size: int, at: tuple[Tensor, Tensor]
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Return a function's values and its Jacobians by both arguments, in one pass back.

    The arguments ``(B, n)`` are copied as often as there are values ``(B, size)``, for a row each.
    """
    copies = [part[:, None].repeat(1, size, 1).requires_grad_() for part in at]
    values = function(*copies)
    rows = values.diagonal(dim1=1, dim2=2).sum()
    first, second = torch.autograd.grad(rows, copies, allow_unused=True, materialize_grads=True)
    return values, (first, second)


def spectral_residues(line: Linearization) -> tuple[Tensor, Tensor]:
    """Return what a linearised RNN does, as sums over its eigenvalues.

    With right and left eigenvectors ``v_i`` and ``w_i`` of ``A`` the residues are
    ``R_i = (R v_i) (w_i^T B)``. They do not depend on how eigenvectors are scaled, nor on the basis
    of the state: an input ``k`` steps ago adds ``sum_i lambda_i^k R_i`` times itself to the output.
    Those of equal eigenvalues mean something in their sum alone.

    Returns:
        The eigenvalues ``(B, n)`` and the residues ``(B, n, O, I)``, complex. Where ``A``, which
        must be finite, has no basis of eigenvectors, or one so bad that residues would exceed 1e10
        times the input matrix, a pseudo-inverse takes the place of the inverse.
    """
    values, right = torch.linalg.eig(line.recurrent)
    inward = line.input.to(right.dtype)
    left, _ = torch.linalg.solve_ex(right, inward)
    limit = WORST_BASIS * inward.abs().amax((1, 2))
    bad = ~(left.abs().amax((1, 2)) <= limit)  # also where it is NaN
    if bad.any():
        left[bad] = torch.linalg.pinv(right[bad], rtol=1 / WORST_BASIS) @ inward[bad]
    outward = line.readout.to(right.dtype) @ right
    return values, torch.einsum("boj,bji->bjoi", outward, left)


@contextmanager
def exact_gradients(device: torch.device) -> Iterator[None]:
    """Enable gradients and disable autocast, whatever the caller's modes are."""
    autocast = torch.autocast(device.type, enabled=False)
    with torch.inference_mode(False), torch.enable_grad(), autocast:
        yield


def check_shape(value: Tensor, wanted: tuple[int | str, ...], name: str, axes: str) -> None:
    """Compare a shape; where a size may be any, its letter stands in its place."""
    pairs = zip(value.shape, wanted, strict=False)
    if value.ndim != len(wanted) or any(w not in ("S", "K", size) for size, w in pairs):
        sizes = ", ".join(map(str, wanted))
        raise ValueError(f"{name} must be {axes} = ({sizes}), not {tuple(value.shape)}")
