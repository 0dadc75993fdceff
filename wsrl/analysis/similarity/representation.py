"""How far apart RNNs are by their hidden states on the same inputs, whatever the basis.

Source: Williams, Kunz, Kornblith and Linderman, "Generalized shape metrics on neural
representations" (NeurIPS 2021), as their package netrep defines them (``LinearMetric(alpha=1)``,
``LinearCKA``); Kornblith et al. 2019 for CKA.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_AT_ONCE = 2**23  # numbers in the products of states that are held at one time: 64 MiB


@dataclass(frozen=True)
class RepresentationDistances:
    """Three metrics of representations ``X (M, n)``, whose columns are centred, ``(B, B)`` each.

    Attributes:
        cka: ``arccos(CKA)``, an angle up to pi/2, where CKA is the linear centred kernel alignment
            ``|X'Y|_F^2 / (|X'X|_F |Y'Y|_F)``: also the scale of states plays no part.
        procrustes: ``min |X - Y Q|_F`` over orthogonal ``Q``. It grows as ``sqrt(M)``.
        shape_angle: the angle ``arccos(max <X, Y Q> / (|X|_F |Y|_F))`` over orthogonal ``Q``.
    """

    cka: Tensor
    procrustes: Tensor
    shape_angle: Tensor


def representations(states: Sequence[Tensor]) -> RepresentationDistances:
    """Return how far apart ``B`` representations are.

    Args:
        states: ``(M, n)`` for each RNN: the states of its own ``n`` numbers at the same ``M``
            points of the same sequences. A smaller one has zeros for what it lacks. One that never
            changes is at an angle of pi/2 to all that do, and of 0 to others that don't.

    Raises:
        ValueError: for representations of different points, and for states that are not finite.

    >>> states = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [0.0, -2.0]])
    >>> turned = states @ torch.tensor([[0.6, 0.8], [-0.8, 0.6]])
    >>> apart = representations([states, turned, 2 * turned])
    >>> apart.procrustes[0].round(decimals=6).tolist()
    [0.0, 0.0, 3.162278]
    >>> apart.cka[0].round(decimals=6).abs().tolist()
    [0.0, 0.0, 0.0]
    """
    if len({len(each) for each in states}) > 1:
        raise ValueError(f"representations of {sorted({*map(len, states)})} points: give the same")
    if bad := [place for place, each in enumerate(states) if not each.isfinite().all()]:
        raise ValueError(f"RNNs {bad[:5]} have states that are not finite: leave them out")
    count, widest = len(states), max(each.shape[1] for each in states)
    centred = torch.zeros(count, len(states[0]), widest, dtype=torch.float64)
    for place, each in enumerate(states):
        centred[place, :, : each.shape[1]] = each.double() - each.double().mean(0)
    nuclear, squares = torch.zeros(2, count, count, dtype=torch.float64)
    together = max(1, _AT_ONCE // widest**2)
    for first in range(count):
        for some in torch.arange(first, count).split(together):
            products = centred[first].T @ centred[some]
            nuclear[first, some] = torch.linalg.svdvals(products).sum(1)
            squares[first, some] = products.square().sum((1, 2))
    nuclear, squares = (m + m.triu(1).T for m in (nuclear, squares))
    # The nuclear norm of X'X is |X|_F^2, so that an RNN is at no distance from itself.
    norms = nuclear.diagonal()
    apart = (norms[:, None] + norms - 2 * nuclear).clamp(min=0).sqrt()
    return RepresentationDistances(
        _angle(squares, squares.diagonal().sqrt()), apart, _angle(nuclear, norms.sqrt())
    )


def _angle(products: Tensor, sizes: Tensor) -> Tensor:
    """Return the angles of vectors of these inner products ``(B, B)`` and sizes ``(B,)``."""
    nothing = sizes <= 1e-12 * sizes.max().clamp(min=1e-300)
    safe = sizes.masked_fill(nothing, 1)
    cosine = (products / (safe[:, None] * safe)).clamp(max=1)
    cosine = torch.where(nothing[:, None] | nothing, 0, cosine)
    cosine[nothing[:, None] & nothing] = 1
    return cosine.fill_diagonal_(1).acos()
