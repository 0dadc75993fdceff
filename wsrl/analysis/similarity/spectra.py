"""How far apart RNNs are by the eigenvalues of a step's Jacobian where they settle."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from wsrl.rnn import RNNWeights, find_fixed_points, linearize, settled_states
from wsrl.rnn.fixed_points import sorted_eigenvalues

SETTLING = 200
_SAME = 1e-6  # relative distance of equal states, and of moduli from 1


def settled_spectra(weights: RNNWeights, states: Tensor, steps: int = SETTLING) -> Tensor:
    """Return eigenvalues of the Jacobians where ``B`` RNNs settle without input, ``(B, K, n)``.

    From each of ``K`` states the RNN runs freely, and a fixed point is searched for from where it
    gets to. Where none is found that attracts, the Jacobian is that of the state it got to: a slow
    point, or one of a cycle.

    Args:
        weights: the RNNs.
        states: ``(B, K, n)``: what the same inputs led to, so that points of two RNNs correspond.
        steps: for which they run freely.

    Returns:
        Complex numbers, infinite where a state is not finite.

    >>> from wsrl.rnn import RNNSpec
    >>> spec = RNNSpec("tanh", 1, 2, 1, 1, bias=False)
    >>> weights = RNNWeights(torch.tensor([[1.0, 1, 0.5, 0, 0, -0.25, 1, 1]]), spec)
    >>> settled_spectra(weights, torch.ones(1, 1, 2)).real.sort().values.tolist()
    [[[-0.25, 0.5]]]
    """
    settled = settled_states(weights, states, steps=steps)
    found = find_fixed_points(weights, settled)
    # An RNN does not settle at an unstable point, unless it was there: a search from a cycle ends
    # at one in its middle. Where no fixed point was found, the search's end has no meaning.
    close = (found.states - settled).norm(dim=2) <= _SAME * (1 + settled.norm(dim=2))
    held = found.converged & (close | (found.spectral_radius <= 1 + _SAME))
    rnns, places = (~held).nonzero().unbind(1)
    eigenvalues = found.eigenvalues.clone()
    if len(rnns):
        own = weights[rnns].to(torch.float64)
        slopes = linearize(own, settled[rnns, places].double()).recurrent
        eigenvalues[rnns, places] = sorted_eigenvalues(slopes)
    return eigenvalues.masked_fill(~settled.isfinite().all(2, keepdim=True), torch.inf)


def spectral_distances(spectra: Sequence[Tensor]) -> NDArray[np.float64]:
    """Return how far apart eigenvalues are at corresponding points, ``(B, B)``.

    At each point the eigenvalues of two RNNs are matched one to one, so that the sum of squared
    distances is least; its root, averaged over points, is the distance. A smaller RNN has zeros for
    those that it lacks. It is a metric of the spectra.

    Args:
        spectra: ``(K, n)`` complex for each RNN, with its own ``n``.

    Raises:
        ValueError: for different numbers of points.

    >>> found = [torch.tensor([[0.5 + 0j, 1.0]]), torch.tensor([[1.0 + 0j, 0.5]])]
    >>> spectral_distances([*found, torch.tensor([[1.0 + 0j]])]).round(6).tolist()
    [[0.0, 0.0, 0.5], [0.0, 0.0, 0.5], [0.5, 0.5, 0.0]]
    """
    if len({len(each) for each in spectra}) > 1:
        raise ValueError(f"spectra at {sorted({*map(len, spectra)})} points: give the same number")
    count, widest = len(spectra), max(each.shape[1] for each in spectra)
    padded = np.zeros((count, len(spectra[0]), widest), np.complex128)
    for place, each in enumerate(spectra):
        padded[place, :, : each.shape[1]] = each.numpy()
    apart = np.zeros((count, count))
    for first in range(count):
        for second in range(first + 1, count):
            for ours, theirs in zip(padded[first], padded[second], strict=True):
                squares = np.abs(ours[:, None] - theirs[None]) ** 2
                apart[first, second] += squares[linear_sum_assignment(squares)].sum() ** 0.5
    apart /= max(1, padded.shape[1])
    return np.asarray(apart + apart.T)
