"""Gathers batches out of a zoo: from the disk, or from columns held on a device."""

from __future__ import annotations

import torch
from torch import Tensor

from wsrl.data.batch import ZooBatch
from wsrl.rnn import RNNWeights
from wsrl.zoos import Zoo


class ZooReader:
    """Reads snapshots and some of their sequences by index, without a loop over samples.

    Args:
        zoo: where from. Its labels, which are small, are read at once.
        hold_on: the device on which every needed column is kept from now on, so that batches are
            gathered there; ``None`` leaves the large ones on the disk and gathers on the CPU.
    """

    def __init__(self, zoo: Zoo, hold_on: torch.device | None = None) -> None:
        self.zoo = zoo
        self.hold_on = hold_on
        self.targets = zoo.problem.targets(zoo.steps)
        self._small = {"run", "step", "task", "performance"}
        self._small |= {target.column for target in self.targets.values()}
        large = () if hold_on is None else ("weights", "sequences", "outputs")
        names = sorted({*self._small, *large})
        self._held = {name: zoo.read(name).to(hold_on or "cpu") for name in names}

    def read(self, rows: Tensor, picks: Tensor) -> ZooBatch:
        """Gather snapshots.

        Args:
            rows: ``(B,)`` int64, indices in the zoo.
            picks: ``(B, S)`` int64, which stored sequences of each.
        """
        if self.hold_on is not None:
            rows, picks = rows.to(self.hold_on), picks.to(self.hold_on)
        columns = {name: self._column(name, rows) for name in self._small}
        sequences, outputs = self._sequences(rows, picks)
        return ZooBatch(
            weights=RNNWeights(self._column("weights", rows), self.zoo.spec),
            inputs=self.zoo.problem.encode(sequences),
            outputs=outputs.float(),
            targets={name: target.of(columns) for name, target in self.targets.items()},
            task=columns["task"].float(),
            performance=columns["performance"].float(),
            run=columns["run"],
            step=columns["step"],
            row=rows,
        )

    def _column(self, name: str, rows: Tensor) -> Tensor:
        return self._held[name][rows] if name in self._held else self.zoo.read(name, rows)

    def _sequences(self, rows: Tensor, picks: Tensor) -> tuple[Tensor, Tensor]:
        if self.hold_on is not None:
            at = (rows[:, None], picks)
            return self._held["sequences"][at], self._held["outputs"][at]
        return self.zoo.read_sequences(rows, picks)
