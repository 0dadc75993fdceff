"""Fixed points of RNNs under a constant input, of many RNNs from many starts at once."""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from wsrl.rnn.linearization import (
    advance,
    check_shape,
    exact_gradients,
    flatten_state,
    linearize,
    state_size,
    states_along,
)
from wsrl.rnn.population import start_state
from wsrl.rnn.spec import RNNSpec
from wsrl.rnn.weights import RNNWeights

Method: TypeAlias = Literal["newton", "gradient"]

MOST_STEPS = {"newton": 100, "gradient": 2000}
REMEMBERED = 10  # steps of a gradient search within which it must get better
# Numbers in the Jacobians worked on at one time: 64 MiB, and a few times as much beside.
JACOBIAN_NUMBERS = 2**23


@dataclass(frozen=True)
class FixedPoints:
    """Where searches from ``K`` starts in each of ``B`` RNNs ended.

    Attributes:
        states: ``(B, K, n)``, of the weights' dtype.
        residual: ``|F(x) - x|``, ``(B, K)``, of the search, which is in float64.
        converged: whether the residual is within the tolerance, ``(B, K)``.
        spectral_radius: the largest modulus of an eigenvalue of ``dF/dx``, ``(B, K)``; infinite
            where the state is not finite.
        stable: converged, and the spectral radius is below 1, ``(B, K)``.
        distinct: converged, and not the same point as an earlier one of the same RNN, ``(B, K)``.
    """

    states: Tensor
    residual: Tensor
    converged: Tensor
    spectral_radius: Tensor
    stable: Tensor
    distinct: Tensor

    def of(self, rnn: int) -> Tensor:
        """Return the different fixed points found in one RNN, ``(found, n)``."""
        return self.states[rnn, self.distinct[rnn]]


def find_fixed_points(
    weights: RNNWeights,
    starts: Tensor,
    inputs: Tensor | None = None,
    method: Method = "newton",
    tolerance: float = 1e-9,
    same_within: float = 1e-3,
    steps: int | None = None,
) -> FixedPoints:
    """Search for states that a step leaves where they are: ``F(x, u) = x``.

    Searches are in float64 whatever the weights' dtype. One that does not converge is reported as
    such; where fixed points are not isolated (an eigenvalue 1), it ends at one near its start.

    Args:
        weights: ``B`` RNNs.
        starts: ``(B, K, n)``, as of ``random_starts`` or ``settled_states``.
        inputs: ``(B, I)``, the constant input; zeros by default.
        method: ``newton``: damped steps of least squares on ``F(x) - x`` (Levenberg-Marquardt),
            which find unstable points as well and need no inverse; ``gradient``: descend
            ``|F(x) - x|^2 / 2`` (Sussillo and Barak 2013, "Opening the black box").
        tolerance: the largest Euclidean norm of ``F(x) - x`` that counts as converged.
        same_within: fixed points no further apart (Euclidean) are one.
        steps: after so many a search gives up; by default 100 of Newton, 2000 of gradients.

    Raises:
        ValueError: for shapes that do not fit the spec, or an unknown method.

    >>> from torch import nn
    >>> rnn, readout = nn.RNN(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    >>> _ = nn.init.constant_(rnn.weight_hh_l0, 2.0)  # h = tanh(2 h): zero and two stable points
    >>> weights = RNNWeights.from_module(rnn, readout)
    >>> found = find_fixed_points(weights, torch.tensor([[[-1.0], [0.0], [1.0]]]))
    >>> [round(value, 3) for value in found.states.flatten().tolist()], found.stable.tolist()
    ([-0.958, 0.0, 0.958], [[True, False, True]])
    """
    if method not in get_args(Method):
        raise ValueError(f"unknown method {method!r}; choose {' or '.join(get_args(Method))}")
    search = _newton if method == "newton" else _descend
    most, spec = MOST_STEPS[method] if steps is None else steps, weights.spec
    check_shape(starts, (len(weights), "K", state_size(spec)), "starts", "(B, K, n)")
    if (count := starts.shape[1]) == 0:
        raise ValueError("starts must be (B, K, n) with K >= 1: there is nowhere to start from")
    if inputs is not None:
        check_shape(inputs, (len(weights), spec.input_size), "inputs", "(B, I)")
    with exact_gradients(weights.flat.device):
        flat = weights.flat.detach().clone()  # what is made under inference mode has no gradients
        driving = flat.new_zeros(len(weights), spec.input_size) if inputs is None else inputs
        points = starts.detach().to(flat.device, torch.float64).flatten(0, 1).clone()
        found, radii, gaps = [], [], []
        together = max(1, JACOBIAN_NUMBERS // state_size(spec) ** 2)
        for rows in torch.arange(len(points), device=flat.device).split(together):
            own = RNNWeights(flat[rows // count].double(), spec)
            constant = driving.detach()[rows // count].to(own.flat)
            point = search(own, points[rows], constant, tolerance, most)
            line = linearize(own, point, constant)
            found.append(point)
            gaps.append((line.image - point).norm(dim=1))
            radii.append(spectral_radius(line.recurrent))
        states = torch.cat(found).view(starts.shape)
        residual, radius = (torch.cat(part).view(starts.shape[:2]) for part in (gaps, radii))
    converged = residual <= tolerance
    distinct, stable = _distinct(states, converged, same_within), converged & (radius < 1)
    return FixedPoints(states.to(flat.dtype), residual, converged, radius, stable, distinct)


def random_starts(
    spec: RNNSpec, batch: int, count: int, generator: torch.Generator | None = None
) -> Tensor:
    """Draw states uniformly from -1 to 1 in every number, ``(batch, count, n)``."""
    return torch.rand(batch, count, state_size(spec), generator=generator) * 2 - 1


def visited_states(
    weights: RNNWeights, inputs: Tensor, count: int, generator: torch.Generator | None = None
) -> Tensor:
    """Draw states that ``B`` RNNs pass on their way through ``inputs (B, S, T, I)``.

    Searches for fixed points start there: RNNs pass near those that they use. Returns
    ``(B, count, n)``; their start is among the states, and where there are fewer, the same are
    there more than once.
    """
    with torch.no_grad():
        start = start_state(weights, inputs)
        passed = states_along(weights, inputs, start).transpose(1, 2).flatten(1, 2)
        states = torch.cat([flatten_state(start), passed], 1)
        order = torch.rand(states.shape[:2], generator=generator).argsort(1)
        order = order.repeat(1, -(-count // order.shape[1]))[:, :count].to(states.device)
        return states.gather(1, order[:, :, None].expand(-1, -1, states.shape[2]))


def settled_states(
    weights: RNNWeights, states: Tensor, inputs: Tensor | None = None, steps: int = 1000
) -> Tensor:
    """Let RNNs run under a constant input, so that they come near what attracts them.

    A search from there finds the stable fixed points, also far ones, as those of trained LSTMs that
    count; for unstable ones search from the states ``(B, K, n)`` as well. The input is
    ``(B, I)``; zeros by default.
    """
    driving = None if inputs is None else inputs[:, None].expand(-1, states.shape[1], -1)
    with torch.no_grad():
        for _ in range(steps):
            states = advance(weights, states, driving)
    return states


def spectral_radius(matrices: Tensor) -> Tensor:
    """Return the largest modulus of an eigenvalue; infinite for matrices that are not finite."""
    finite = matrices.isfinite().flatten(-2).all(-1)
    safe = torch.where(finite[..., None, None], matrices, 0)
    radius: Tensor = torch.linalg.eigvals(safe).abs().amax(-1)
    return radius.masked_fill(~finite, torch.inf)


def _newton(
    weights: RNNWeights, point: Tensor, inputs: Tensor, tolerance: float, steps: int
) -> Tensor:
    """Return where damped steps of least squares from ``point (M, n)`` end."""

    def look(rows: Tensor, at: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        line = linearize(weights[rows], at, inputs[rows])
        gap = line.image - at
        return gap, identity - line.recurrent, gap.norm(dim=1)

    identity = torch.eye(point.shape[1]).to(point)
    gap, slope, size = look(torch.arange(len(point), device=point.device), point)
    damping = torch.full_like(size, 1e-2)
    for _ in range(steps):
        rows = ((size > tolerance) & size.isfinite() & (damping < 1e12)).nonzero()[:, 0]
        if len(rows) == 0:
            break
        # Without the damping rows this is Newton's step; with them there is a step even where
        # ``I - A`` has no inverse, and a short one down the gradient where they are large.
        lower = damping[rows].sqrt()[:, None, None] * identity
        left = torch.cat([slope[rows], lower], 1)
        right = torch.cat([gap[rows], torch.zeros_like(gap[rows])], 1)[:, :, None]
        at = point[rows] + torch.linalg.lstsq(left, right, driver="gels").solution[:, :, 0]
        trial = look(rows, at)
        better = trial[2] < size[rows]
        taken = rows[better]
        point = point.index_copy(0, taken, at[better])
        gap, slope, size = (
            whole.index_copy(0, taken, part[better])
            for whole, part in zip((gap, slope, size), trial, strict=True)
        )
        damping[rows] = torch.where(better, damping[rows] / 10, damping[rows] * 10).clamp(min=1e-14)
    return point


def _descend(
    weights: RNNWeights, point: Tensor, inputs: Tensor, tolerance: float, steps: int
) -> Tensor:
    """Descend ``q = |F(x) - x|^2 / 2`` by steps of Barzilai and Borwein's length (1988).

    These are not monotone: a step is taken where ``q`` is below the worst of those remembered.
    """

    def look(at: Tensor) -> tuple[Tensor, Tensor]:
        at = at.detach().requires_grad_()
        gap = advance(weights, at[:, None], inputs[:, None])[:, 0] - at
        value = gap.square().sum(1) / 2
        return value.detach(), torch.autograd.grad(value.sum(), at)[0]

    value, slope = look(point)
    best, least = point, value
    remembered = value.repeat(REMEMBERED, 1)
    length = torch.full_like(value, 0.1)
    for step in range(steps):
        if not (((2 * least).sqrt() > tolerance) & least.isfinite()).any():
            break
        at = point - length[:, None] * slope
        trial, trial_slope = look(at)
        taken = trial <= remembered.amax(0)
        moved, turned = at - point, trial_slope - slope
        along, square = (moved * turned).sum(1), turned.square().sum(1)
        fitting = torch.where((along > 0) & (square > 0), along / square, 2 * length)
        length = torch.where(taken, fitting, length / 4).clamp(1e-12, 1e12)
        point = torch.where(taken[:, None], at, point)
        slope = torch.where(taken[:, None], trial_slope, slope)
        value = torch.where(taken, trial, value)
        remembered[step % REMEMBERED] = value
        best = torch.where((value < least)[:, None], point, best)
        least = torch.minimum(least, value)
    return best


def _distinct(states: Tensor, converged: Tensor, same_within: float) -> Tensor:
    """Mark the first of every set of fixed points that are no further apart, ``(B, K)``."""
    near = torch.cdist(states, states) <= same_within
    kept = torch.zeros_like(converged)
    for start in range(states.shape[1]):
        known = (near[:, start] & kept).any(1)
        kept[:, start] = converged[:, start] & ~known
    return kept
