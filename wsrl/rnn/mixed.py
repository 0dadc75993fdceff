"""RNNs of several specs in one batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import torch
from torch import Tensor

from wsrl.rnn.black_box import BlackBox
from wsrl.rnn.interface import RNNInterface
from wsrl.rnn.spec import RNNSpec
from wsrl.rnn.weights import RNNWeights

Group: TypeAlias = RNNWeights | BlackBox
"""RNNs of one spec, or one that is only asked."""


@dataclass
class MixedRNNs:
    """``B`` RNNs of several cells and sizes, with inputs and outputs of the same sizes.

    Made by ``concatenate``. Selected, moved, run and encoded as ``RNNWeights`` are; what needs one
    spec works group by group.

    Attributes:
        groups: the RNNs of each spec, and black boxes.
        rows: ``(B,)`` int64: RNN ``k`` of the batch is number ``rows[k]`` of all groups, counted
            one group after the other.

    Raises:
        ValueError: where inputs or outputs differ, or ``rows`` do not number the RNNs.

    >>> specs = [RNNSpec("lstm", 3, 8, 1, 2), RNNSpec("gru", 3, 5, 1, 2)]
    >>> rnns = concatenate([RNNWeights(torch.randn(2, s.num_parameters), s) for s in specs])
    >>> len(rnns), [str(spec) for spec in rnns[1:3].specs]
    (4, ['lstm 1x8, 3 inputs, 2 outputs', 'gru 1x5, 3 inputs, 2 outputs'])
    """

    groups: tuple[Group, ...]
    rows: Tensor

    def __post_init__(self) -> None:
        found = {group.interface: group.specs[0] for group in self.groups}
        if len(found) != 1:
            named = ", ".join(f"({spec})" for spec in found.values()) or "none"
            raise ValueError(f"RNNs of one batch have as many inputs and outputs; given: {named}")
        _check_numbers("rows", self.rows, sum(map(len, self.groups)))

    @property
    def interface(self) -> RNNInterface:
        """The sizes of inputs and outputs."""
        return self.groups[0].interface

    @property
    def device(self) -> torch.device:
        """Where the numbers are."""
        return self.rows.device

    @property
    def dtype(self) -> torch.dtype:
        """That of the numbers."""
        return self.groups[0].dtype

    @property
    def specs(self) -> tuple[RNNSpec | RNNInterface, ...]:
        """What is known of the RNNs of each group."""
        return tuple(group.specs[0] for group in self.groups)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: slice | Tensor) -> RNNs:
        """Select RNNs by a slice, an index tensor or a mask ``(B,)``.

        ``RNNWeights`` where those that are left have one spec.
        """
        chosen, start = self.rows[rows], 0
        if chosen.ndim != 1:
            raise ValueError("RNNs are selected by a slice, an index tensor or a mask (B,)")
        parts, places = [], []
        for group in self.groups:
            own = (chosen >= start) & (chosen < start + len(group))
            parts.append(group[chosen[own] - start])
            places.append(own.nonzero()[:, 0])
            start += len(group)
        return concatenate(parts, places)

    def to(self, *args: Any, **kwargs: Any) -> MixedRNNs:
        """Move or cast, with the arguments of ``torch.Tensor.to``."""
        there = torch.empty(0, device=self.rows.device).to(*args, **kwargs)
        groups = tuple(group.to(*args, **kwargs) for group in self.groups)
        return MixedRNNs(groups, self.rows.to(there.device))

    def split(self, values: Tensor) -> tuple[Tensor, ...]:
        """Return the rows of ``values (B, ...)`` that belong to the RNNs of each group."""
        ordered = values.index_select(0, self._order.to(values.device))
        return torch.split(ordered, [*map(len, self.groups)])

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """Put what belongs to the RNNs of each group in the order of the batch, ``(B, ...)``."""
        values = torch.cat([*parts])
        return values.index_select(0, self.rows.to(values.device))

    @cached_property
    def _order(self) -> Tensor:
        """Where in the batch the RNNs of the groups are, one group after the other."""
        return self.rows.argsort()


RNNs: TypeAlias = RNNWeights | MixedRNNs | BlackBox
"""A batch of RNNs with inputs and outputs of the same sizes."""


def change_groups(rnns: RNNs, function: Callable[[RNNWeights, Tensor], RNNWeights]) -> RNNs:
    """Change the weights of each spec; the function is told which of the batch they are, ``(b,)``.

    Black boxes stay as they are.
    """
    if isinstance(rnns, MixedRNNs):
        parts = zip(rnns.groups, rnns.split(torch.arange(len(rnns))), strict=True)
        changed = (g if isinstance(g, BlackBox) else function(g, place) for g, place in parts)
        return MixedRNNs(tuple(changed), rnns.rows)
    return rnns if isinstance(rnns, BlackBox) else function(rnns, torch.arange(len(rnns)))


def concatenate(batches: Sequence[RNNs], places: Sequence[Tensor] | None = None) -> RNNs:
    """Join batches of RNNs: ``RNNWeights`` where all have one spec, else ``MixedRNNs``.

    Of copies of one black box alone it is that ``BlackBox``.

    Args:
        batches: one after the other, unless ``places`` say otherwise.
        places: where in the result the RNNs of each batch are: int64 ``(b,)`` for each.

    Raises:
        ValueError: for no batches, inputs or outputs of different sizes, or places that are not
            all of ``0..B-1``.
    """
    sizes = [len(batch) for batch in batches]
    places = torch.arange(sum(sizes)).split(sizes) if places is None else places
    weights: dict[RNNSpec, list[tuple[RNNWeights, Tensor]]] = {}
    boxes: dict[int, list[tuple[BlackBox, Tensor]]] = {}
    for batch, place in zip(batches, places, strict=True):
        for group, own in _by_group(batch, place):
            if isinstance(group, BlackBox):
                boxes.setdefault(id(group.rnn), []).append((group, own))
            else:
                weights.setdefault(group.spec, []).append((group, own))
    groups: list[Group] = [RNNWeights.cat([g for g, _ in parts]) for parts in weights.values()]
    groups += [BlackBox.cat([g for g, _ in parts]) for parts in boxes.values()]
    order = [place for parts in weights.values() for _, place in parts]
    order += [place for parts in boxes.values() for _, place in parts]
    where = torch.cat(order) if order else torch.arange(0)
    _check_numbers("places", where, sum(sizes))
    kept = tuple(group for group in groups if len(group)) or tuple(groups[:1])
    rows = where.argsort().to(kept[0].device if kept else None)
    return kept[0][rows] if len(kept) == 1 else MixedRNNs(kept, rows)


def _by_group(batch: RNNs, place: Tensor) -> list[tuple[Group, Tensor]]:
    if isinstance(batch, MixedRNNs):
        return list(zip(batch.groups, batch.split(place), strict=True))
    return [(batch, place)]


def _check_numbers(what: str, given: Tensor, count: int) -> None:
    if given.is_meta:
        return
    numbers = torch.arange(count, device=given.device)
    if given.dtype != torch.int64 or not torch.equal(given.sort().values, numbers):
        raise ValueError(
            f"{what} must hold each of 0..{count - 1} once, as int64, not "
            f"{given.dtype} {tuple(given.shape)}"
        )
