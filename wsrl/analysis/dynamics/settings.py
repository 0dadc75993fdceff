"""How dynamics are analysed."""

from typing import Annotated, TypeAlias

from pydantic import Field

from wsrl.validation import checked

_Count: TypeAlias = Annotated[int, Field(ge=1)]
_Share: TypeAlias = Annotated[float, Field(gt=0, lt=1)]


@checked
class DynamicsSettings:
    """How the dynamics of RNNs are analysed.

    Distances are relative to the range of an RNN: twice the root mean square distance of its
    visited states from their mean.

    Attributes:
        starts: states from which searches start and trajectories settle.
        settling: steps that an RNN runs before it counts as settled.
        hold: steps for which a line attractor holds: a state on it moves, in so many steps, by no
            more than the least length of a line.
        extent: the least length of a line, as a share of the range.
        same_within: points no further apart, as a share of the range, are one.

    Raises:
        ValueError: for values out of range.
    """

    starts: _Count = 64
    settling: _Count = 1000
    hold: Annotated[int, Field(ge=20)] = 1000
    extent: _Share = 0.25
    same_within: _Share = 1e-3
