"""Fixed points of RNNs under a constant input, of many RNNs from many starts at once."""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from wsrl.rnn.linearization import (
    advance,
    check_shape,
    exact_gradients,
    linearize_step,
    state_size,
)
from wsrl.rnn.weights import RNNWeights

Method: TypeAlias = Literal["newton", "gradient"]

MOST_STEPS = {"newton": 100, "gradient": 2000}
FLAT = 1e-3  # change of the residual with the state, below which it is at a minimum
LITTLE = 0.99  # of the residual is left after a step, where a search is no longer getting on
UNDAMPED = 1e-14  # so little damping leaves Newton's step as it is
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
        slow: not converged, but at a local minimum of the residual, ``(B, K)``: a slow point,
            where its residual is small.
        eigenvalues: of ``dF/dx``, ``(B, K, n)``, those of the largest modulus first; infinite where
            the state is not finite.
        distinct: converged, and not the same point as an earlier one of the same RNN, ``(B, K)``.
    """

    states: Tensor
    residual: Tensor
    converged: Tensor
    slow: Tensor
    eigenvalues: Tensor
    distinct: Tensor

    @property
    def spectral_radius(self) -> Tensor:
        """The largest modulus of an eigenvalue, ``(B, K)``."""
        return self.eigenvalues[..., 0].abs()

    @property
    def stable(self) -> Tensor:
        """Converged, and the spectral radius is below 1, ``(B, K)``."""
        return self.converged & (self.spectral_radius < 1)

    def joined(self, other: "FixedPoints", same_within: float | Tensor) -> "FixedPoints":
        """Return the ends of both searches, ``(B, K + K', n)``, as of one."""

        def both(one: Tensor, two: Tensor) -> Tensor:
            return torch.cat([one, two], 1)

        states, converged = both(self.states, other.states), both(self.converged, other.converged)
        first = _first_alike(states.flatten(0, 1), converged, states.shape[1], same_within)
        own = first == torch.arange(len(first), device=first.device)
        return FixedPoints(
            states,
            both(self.residual, other.residual),
            converged,
            both(self.slow, other.slow),
            both(self.eigenvalues, other.eigenvalues),
            own.view(converged.shape) & converged,
        )

    def of(self, rnn: int) -> Tensor:
        """Return the different fixed points found in one RNN, ``(found, n)``."""
        return self.states[rnn, self.distinct[rnn]]


def find_fixed_points(
    weights: RNNWeights,
    starts: Tensor,
    inputs: Tensor | None = None,
    method: Method = "newton",
    tolerance: float = 1e-9,
    same_within: float | Tensor = 1e-3,
    steps: int | None = None,
) -> FixedPoints:
    """Search for states that a step leaves where they are: ``F(x, u) = x``.

    Searches are in float64 whatever the weights' dtype. One that does not converge is reported as
    such; where fixed points are not isolated (an eigenvalue 1), it ends at one near its start.

    Args:
        weights: ``B`` RNNs.
        starts: ``(B, K, n)``, as of ``visited_states``, ``random_starts`` or ``settled_states``.
        inputs: ``(B, I)``, the constant input; zeros by default.
        method: ``newton``: damped steps of least squares on ``F(x) - x`` (Levenberg-Marquardt),
            which find unstable points as well and need no inverse; ``gradient``: descend
            ``|F(x) - x|^2 / 2`` (Sussillo and Barak 2013, "Opening the black box").
        tolerance: the largest Euclidean norm of ``F(x) - x`` that counts as converged.
        same_within: fixed points no further apart (Euclidean) are one; or ``(B,)``, of each RNN.
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
        together = max(1, JACOBIAN_NUMBERS // state_size(spec) ** 2)

        def of(rows: Tensor) -> tuple[RNNWeights, Tensor]:
            constant = driving.detach()[rows // count]
            return RNNWeights(flat[rows // count].double(), spec), constant.to(torch.float64)

        found = [
            search(*of(rows), points[rows], tolerance, most)
            for rows in torch.arange(len(points), device=flat.device).split(together)
        ]
        ends, residual = (torch.cat(part) for part in zip(*found, strict=True))
        first = _first_alike(ends, residual <= tolerance, count, same_within)
        own = first == torch.arange(len(first), device=flat.device)
        eigenvalues = ends.new_zeros(ends.shape, dtype=torch.complex128)
        slow, identity = torch.zeros_like(own), torch.eye(ends.shape[1])
        for rows in own.nonzero()[:, 0].split(together):  # what is alike is looked at once
            own_weights, constant = of(rows)
            image, recurrent = linearize_step(own_weights, ends[rows], constant)
            eigenvalues[rows] = sorted_eigenvalues(recurrent)
            slow[rows] = _is_minimum(image - ends[rows], identity.to(recurrent) - recurrent)
    shape = starts.shape[:2]
    converged = (residual <= tolerance).view(shape)
    return FixedPoints(
        ends.view(starts.shape).to(flat.dtype),
        residual.view(shape),
        converged,
        slow.view(shape) & ~converged,
        eigenvalues[first].view(starts.shape),
        own.view(shape) & converged,
    )


def sorted_eigenvalues(matrices: Tensor) -> Tensor:
    """Return eigenvalues, the largest modulus first; infinite of matrices that are not finite."""
    finite = matrices.isfinite().flatten(-2).all(-1)[..., None]
    values = torch.linalg.eigvals(torch.where(finite[..., None], matrices, 0))
    ordered = values.gather(-1, values.abs().sort(dim=-1, descending=True, stable=True).indices)
    return torch.where(finite, ordered, torch.inf)


def _newton(
    weights: RNNWeights, inputs: Tensor, point: Tensor, tolerance: float, steps: int
) -> tuple[Tensor, Tensor]:
    """Return where damped steps of least squares from ``point (M, n)`` end, and the residuals."""

    def look(rows: Tensor, at: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        image, recurrent = linearize_step(weights[rows], at, inputs[rows])
        gap = image - at
        return gap, identity - recurrent, gap.norm(dim=1)

    identity = torch.eye(point.shape[1]).to(point)
    gap, slope, size = look(torch.arange(len(point), device=point.device), point)
    damping, at_minimum = torch.full_like(size, 1e-2), torch.zeros_like(size, dtype=torch.bool)
    last_try = at_minimum.clone()  # without damping: a minimum may be a slope that is very flat
    for _ in range(steps):
        going = (size > tolerance) & size.isfinite() & (damping < 1e12) & ~at_minimum
        rows = going.nonzero()[:, 0]
        if len(rows) == 0:
            break
        # Without the damping rows this is Newton's step; with them there is a step even where
        # ``I - A`` has no inverse, and a short one down the gradient where they are large.
        lower = damping[rows].sqrt()[:, None, None] * identity
        left = torch.cat([slope[rows], lower], 1)
        right = torch.cat([gap[rows], torch.zeros_like(gap[rows])], 1)[:, :, None]
        at = point[rows] + torch.linalg.lstsq(left, right, driver="gels").solution[:, :, 0]
        trial = look(rows, at)
        better = trial[2] < torch.where(last_try[rows], size[rows] / 2, size[rows])
        at_minimum[rows] = last_try[rows] & ~better
        no_more = better & (trial[2] > LITTLE * size[rows])
        last_try[rows] = no_more & _is_minimum(*trial[:2])
        taken = rows[better]
        point = point.index_copy(0, taken, at[better])
        gap, slope, size = (
            whole.index_copy(0, taken, part[better])
            for whole, part in zip((gap, slope, size), trial, strict=True)
        )
        change = torch.where(better, damping[rows] / 10, damping[rows] * 10).clamp(min=UNDAMPED)
        damping[rows] = torch.where(last_try[rows], UNDAMPED, change)
    return point, size


def _descend(
    weights: RNNWeights, inputs: Tensor, point: Tensor, tolerance: float, steps: int
) -> tuple[Tensor, Tensor]:
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
    return best, (2 * least).sqrt()


def _first_alike(
    ends: Tensor, converged: Tensor, count: int, same_within: float | Tensor
) -> Tensor:
    """Return for each of ``B * K`` ends the first of its RNN that is the same point, or itself."""
    states, known = ends.view(-1, count, ends.shape[1]), converged.view(-1, count)
    within = torch.as_tensor(same_within).to(states).expand(len(states))[:, None, None]
    near = (torch.cdist(states, states) <= within) & known[:, None] & known[:, :, None]
    first = torch.arange(count, device=ends.device).repeat(len(states), 1)
    for start in range(count):
        kept = first == torch.arange(count, device=ends.device)
        alike = near[:, start] & kept
        alike[:, start:] = False
        found = alike.any(1)
        first[:, start] = torch.where(found, alike.int().argmax(1), start)
    return (first + torch.arange(len(states), device=ends.device)[:, None] * count).flatten()


def _is_minimum(gap: Tensor, slope: Tensor) -> Tensor:
    """Whether no small change of the state makes ``gap (M, n)``, of slope ``I - A``, smaller."""
    change = (gap[:, None] @ slope)[:, 0]
    flat: Tensor = change.norm(dim=1) <= FLAT * gap.norm(dim=1)
    return flat
