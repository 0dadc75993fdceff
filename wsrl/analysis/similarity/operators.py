"""Dynamical Similarity Analysis: linear operators of delay-embedded states, compared up to basis.

Source: Ostrow, Eisen, Kozachkov and Fiete, "Beyond geometry: comparing the temporal structure of
computation in neural circuits with dynamical similarity analysis" (NeurIPS 2023).
"""

from collections.abc import Iterator

import torch
from torch import Tensor

DELAYS, RANK = 5, 10
_FLAT = 1e-6  # singular values below this share of the first are rounding errors
_STARTS, _FLIPS = 3, 10  # random ones, and signs that are changed alone, beside three others
_FIRST_STEPS, _STEPS = 60, 300  # from every start, and on from the highest of them
_KEPT = 8
_REMEMBERED = 3  # heights below the least of which no step may lead
_LEVEL, _LONGEST = 1e-6, 100.0  # of slopes, and of lengths
_PAIRS = 4096


def delay_operators(
    states: Tensor, delays: int = DELAYS, rank: int = RANK, lengths: Tensor | None = None
) -> Tensor:
    """Fit a linear operator to how delay-embedded states go on, for each of ``B`` RNNs.

    A point is ``delays`` states one after the other. Points ``(M, delays n)`` are reduced to their
    first ``rank`` left singular vectors ``V``; the operator ``A`` minimises ``|A v_t - v_t+1|`` of
    rows of ``V`` one step apart. Turning the states' basis turns that of ``A``, or its signs.

    Args:
        states: ``(B, S, T, n)``, as of ``states_along``.
        delays: states of a point.
        rank: of the operator; rows and columns beyond the rank of the points are zero.
        lengths: steps of each sequence, ``(S,)``; the states after these play no part.

    Returns:
        ``(B, rank, rank)`` in float64.

    Raises:
        ValueError: for fewer than ``delays + 1`` steps of all sequences, and for states that are
            not finite.

    >>> turn = torch.tensor([[0.6, 0.8], [-0.8, 0.6]], dtype=torch.float64)
    >>> path = torch.stack([torch.linalg.matrix_power(turn, k)[0] for k in range(30)])
    >>> operator = delay_operators(path.view(1, 1, 30, 2), delays=1, rank=2)
    >>> torch.linalg.eigvals(operator)[0].real.round(decimals=6).tolist()
    [0.6, 0.6]
    """
    if delays < 1 or rank < 1:
        raise ValueError(f"delays and rank must be at least 1, not {delays} and {rank}")
    steps = states.shape[2]
    lengths = torch.full(states.shape[1:2], steps) if lengths is None else lengths.clamp(max=steps)
    if (longest := int(lengths.max())) <= delays:
        raise ValueError(
            f"sequences of {longest} steps are too short for {delays} delays: "
            f"expected at least {delays + 1} steps"
        )
    counted = torch.arange(steps) < lengths[:, None]
    if bad := (~states[:, counted].isfinite()).flatten(1).any(1).nonzero().flatten().tolist():
        raise ValueError(f"RNNs {bad[:5]} have states that are not finite: leave them out")
    points = counted[:, delays - 1 :]  # of the last of their states
    return torch.stack([_operator(each.double(), points, delays, rank) for each in states])


def _operator(states: Tensor, within: Tensor, delays: int, rank: int) -> Tensor:
    """Return the operator ``(rank, rank)`` of states ``(S, T, n)`` at some points ``(S, T')``."""
    flat = states.unfold(1, delays, 1).flatten(2)[within]  # (M, n delays)
    wide = flat.shape[1] > flat.shape[0]
    squares, vectors = torch.linalg.eigh(flat @ flat.T if wide else flat.T @ flat)
    squares, vectors = squares.flip(0)[:rank], vectors.flip(1)[:, :rank]
    kept = squares > _FLAT**2 * squares[0].clamp(min=1e-300)
    squares, vectors = squares[kept], vectors[:, kept]
    left = vectors if wide else flat @ vectors / squares.sqrt()
    size = left.shape[1]
    own = left.new_zeros(*within.shape, size)
    own[within] = left
    follows = within[:, 1:]
    before, after = own[:, :-1][follows], own[:, 1:][follows]
    found = states.new_zeros(rank, rank)
    found[:size, :size] = torch.linalg.lstsq(before, after, driver="gelsd").solution.T
    return found


def operator_angles(operators: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Return the angles between operators over all turns of their bases, ``(B, B)``.

    It is the least ``arccos(<A, C B C'> / (|A| |B|))`` over orthogonal ``C``: the score ``angular``
    of the published package. It is searched for, from several starts for all pairs at once, so that
    it is an upper bound; between operators that a turn makes equal it is 0 up to rounding, 1e-8.

    Args:
        operators: ``(B, r, r)``.
        generator: of the starts.

    >>> first = torch.tensor([[[0.9, 0.5], [0.0, 0.2]]], dtype=torch.float64)
    >>> swapped = first.flip(1, 2)
    >>> operator_angles(torch.cat([first, swapped, first.mT]))[0].round(decimals=4).abs().tolist()
    [0.0, 0.0, 0.0]
    """
    count, size = operators.shape[:2]
    sizes = operators.flatten(1).norm(dim=1)
    unit = operators.double() / sizes.clamp(min=1e-300)[:, None, None]
    generator = generator or torch.Generator().manual_seed(0)
    drawn = torch.randn(_STARTS, size, size, generator=generator, dtype=torch.float64)
    turns = torch.linalg.qr(drawn).Q
    rows, columns = torch.triu_indices(count, count, 1)
    best = torch.full((len(rows),), -1.0, dtype=torch.float64)
    for some in torch.arange(len(rows)).split(_PAIRS):
        one, other = unit[rows[some]], unit[columns[some]]
        firsts = [_ascend(one, other, s, _FIRST_STEPS) for s in _starts(one, other, turns)]
        heights, reached = (torch.stack(each) for each in zip(*firsts, strict=True))
        for places in heights.topk(min(_KEPT, len(firsts)), 0).indices:
            start = reached[places, torch.arange(len(places))]
            best[some] = torch.maximum(best[some], _ascend(one, other, start, _STEPS)[0])
    angles = torch.zeros(count, count, dtype=torch.float64)
    angles[rows, columns] = best.clamp(-1, 1).acos()
    return angles + angles.T


def _starts(one: Tensor, other: Tensor, drawn: Tensor) -> Iterator[Tensor]:
    """Yield turns ``(P, r, r)`` to climb from.

    Of operators that a turn makes equal, that of their symmetric parts is this turn, where no
    eigenvalue is there twice. The coordinates that there are, singular vectors in their order, are
    often nearly aligned but for signs, of one of them, say.
    """
    identity = torch.eye(one.shape[1]).to(one).expand_as(one)
    yield identity
    for place in range(min(_FLIPS, one.shape[1])):
        flipped = identity[0].clone()
        flipped[place, place] = -1
        yield flipped.expand_as(one)
    yield _signed(one, other, identity, identity)
    bases = (torch.linalg.eigh(each + each.mT).eigenvectors for each in (one, other))
    yield _signed(one, other, *bases)
    for turn in drawn:
        yield turn.expand_as(one)


def _signed(one: Tensor, other: Tensor, basis: Tensor, theirs: Tensor) -> Tensor:
    """Return the turn from one basis to the other, with signs by which operators agree best."""
    mine, yours = basis.mT @ one @ basis, theirs.mT @ other @ theirs
    agreement = mine * yours + (mine * yours).mT  # of entry ij, times the signs of i and j
    signs = torch.linalg.eigh(agreement).eigenvectors[:, :, -1].sign()
    signs = torch.where(signs == 0, 1, signs)
    own = agreement - agreement.diagonal(dim1=1, dim2=2).diag_embed()
    for place in [*range(signs.shape[1])] * 2:  # a sign that disagrees with most is flipped
        disagrees = (own[:, place] * signs).sum(1) * signs[:, place] < 0
        signs[:, place] = torch.where(disagrees, -signs[:, place], signs[:, place])
    return basis * signs[:, None] @ theirs.mT


def _ascend(one: Tensor, other: Tensor, turn: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Climb ``<A, C B C'>`` over orthogonal ``C``; return how high, ``(P,)``, and ``C (P, r, r)``.

    Steps have Barzilai and Borwein's length, and may lead down a little; the best point counts.
    """

    def look(rows: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
        turned = at @ other[rows] @ at.mT
        slope = one[rows] @ turned.mT + one[rows].mT @ turned
        return (one[rows] * turned).sum((1, 2)), (slope - slope.mT) / 2

    turn = turn.clone()
    identity, left = torch.eye(turn.shape[1]).to(turn), torch.arange(len(turn))
    reached, skew = look(left, turn)
    best, kept = reached.clone(), turn.clone()
    length, remembered = torch.ones_like(reached), reached.repeat(_REMEMBERED, 1)
    for step in range(steps):
        left = left[(skew[left].flatten(1).norm(dim=1) > _LEVEL) & (length[left] > _LEVEL)]
        if len(left) == 0:
            break
        move = length[left, None, None] * skew[left]
        trial = torch.linalg.solve(identity - move / 2, (identity + move / 2) @ turn[left])
        value, slope = look(left, trial)
        taken = value >= remembered[:, left].amin(0)
        bend = (move * (skew[left] - slope)).sum((1, 2))
        square = move.square().sum((1, 2))
        fitting = torch.where(bend > 0, square / bend, 2 * length[left])
        length[left] = torch.where(taken, fitting, length[left] / 4).clamp(max=_LONGEST)
        rows = left[taken]
        turn[rows], skew[rows], reached[rows] = trial[taken], slope[taken], value[taken]
        remembered[step % _REMEMBERED] = reached
        higher = rows[reached[rows] > best[rows]]
        best[higher], kept[higher] = reached[higher], turn[higher]
    return best, kept
