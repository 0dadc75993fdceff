"""The dynamics of an RNN under a constant input: what attracts, what repels, what leads where."""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from wsrl.analysis.dynamics.cycles import Cycle
from wsrl.analysis.dynamics.lines import Line

MARGIN = 1e-6
"""Moduli of eigenvalues no further from 1 are 1."""

End: TypeAlias = tuple[str, int] | None
"""Where a trajectory ends: ``point``, ``line`` or ``cycle`` and which; ``None``: not known."""


class Connection(NamedTuple):
    """A trajectory from an unstable point to what attracts it.

    Attributes:
        point: where it starts.
        kind: ``point``, ``line`` or ``cycle``.
        which: of them.
    """

    point: int
    kind: str
    which: int


@dataclass(frozen=True)
class Portrait:
    """The dynamics of one RNN under a constant input.

    Attributes:
        states: fixed points, then slow points, ``(P, n)``, in float64.
        residual: ``|F(x) - x|``, ``(P,)``.
        fixed: which are fixed points, ``(P,)``.
        eigenvalues: of ``dF/dx``, ``(P, n)``, the largest modulus first.
        line: of each point the line that it lies on, or -1, ``(P,)``.
        lines: line attractors and rings.
        cycles: limit cycles.
        connections: what unstable points lead to.
        ends: where trajectories from visited states end.
        range: of the visited states: twice their root mean square distance from their mean.
    """

    states: Tensor
    residual: Tensor
    fixed: Tensor
    eigenvalues: Tensor
    line: Tensor
    lines: list[Line]
    cycles: list[Cycle]
    connections: list[Connection]
    ends: list[End]
    range: float

    @property
    def unstable_directions(self) -> Tensor:
        """How many modes of each point grow, ``(P,)``."""
        return (self.eigenvalues.abs() > 1 + MARGIN).sum(1)

    @property
    def kinds(self) -> list[str]:
        """Each point's kind: ``stable``, ``unstable``, ``marginal`` (a modulus of 1), ``slow``."""
        radius, found = self.eigenvalues.abs().amax(1), list[str]()
        for fixed, modulus in zip(self.fixed.tolist(), radius.tolist(), strict=True):
            held = "marginal" if modulus <= 1 + MARGIN else "unstable"
            found.append("slow" if not fixed else "stable" if modulus < 1 - MARGIN else held)
        return found

    @property
    def time_constants(self) -> Tensor:
        """Steps in which modes shrink by a factor of ``e``, ``-1 / log|lambda|``, ``(P, n)``.

        Those of modes that grow are negative, and that of a modulus of 1 is infinite.
        """
        moduli = self.eigenvalues.abs()
        logs = torch.where((moduli - 1).abs() <= MARGIN, 0.0, moduli.log())
        return torch.where(logs == 0, torch.inf, -1 / logs)

    def share(self, kind: str, index: int) -> float:
        """Return the share of the visited states that lead to a point, line or cycle."""
        return sum(end == (kind, index) for end in self.ends) / max(1, len(self.ends))
