"""The loaders that Lightning iterates: batches come ready-made, so no ``DataLoader`` is needed."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from wsrl.data import order
from wsrl.data.batch import ZooBatch
from wsrl.data.order import EvenOrder, Indices, RowOrder, deal_pairs
from wsrl.rnn import change_groups
from wsrl.zoos import AnyZoo


class ZooReader:
    """Gathers snapshots and some of their sequences by index, without a loop over samples.

    Labels, which are small, are read at once. With a device ``hold_on`` every other column is kept
    there, too, and batches are gathered on it; else the large ones stay on the disk.
    """

    def __init__(self, zoo: AnyZoo, hold_on: torch.device | None = None) -> None:
        self.zoo, self.hold_on = zoo, hold_on
        self.targets = zoo.targets
        self._small = {"run", "step", "task", "performance"}
        self._small |= {target.column for target in self.targets.values()}
        large = () if hold_on is None else ("sequences", "outputs")
        self._weights = None if hold_on is None else zoo.read_weights().to(hold_on)
        self._held = {n: zoo.read(n).to(hold_on or "cpu") for n in sorted({*self._small, *large})}

    def read(self, rows: Tensor, picks: Tensor) -> ZooBatch:
        """Gather snapshots ``rows (B,)``, of each the stored sequences ``picks (B, S)``."""
        if self._weights is None:
            weights = self.zoo.read_weights(rows)
            sequences, outputs = self.zoo.read_sequences(rows, picks)
        else:
            rows, picks = rows.to(self.hold_on), picks.to(self.hold_on)
            weights, at = self._weights[rows], (rows[:, None], picks)
            sequences, outputs = self._held["sequences"][at], self._held["outputs"][at]
        columns = {name: self._held[name][rows] for name in self._small}
        return ZooBatch(
            weights=weights,
            inputs=self.zoo.problem.encode(sequences),
            outputs=outputs.float(),
            targets={name: target.of(columns) for name, target in self.targets.items()},
            task=columns["task"].float(),
            performance=columns["performance"].float(),
            run=columns["run"],
            step=columns["step"],
            row=rows,
        )


class TrainingLoader:
    """An endless stream of batches, cut into epochs; step ``n`` is a function of the seed and n.

    The batch of a step is drawn for all processes together and each takes its slice. ``progress``
    tells, when an iteration begins, how many batches were read in all and in the epoch that is
    running: a resumed run goes on in the middle of its epoch. ``evenly``: draw as many RNNs of each
    zoo of a collection, not in proportion to their sizes.

    Raises:
        ValueError: when ``batch_size`` (over all processes) cannot be dealt out evenly.
    """

    def __init__(
        self,
        reader: ZooReader,
        rows: Indices,
        batch_size: int,
        sequences: int,
        steps_per_epoch: int,
        seed: int,
        permute: bool = False,
        evenly: bool = False,
        progress: Callable[[], tuple[int, int]] = lambda: (0, 0),
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if batch_size % world_size:
            raise ValueError(
                f"batch_size {batch_size}, of all processes, is no multiple of {world_size}"
            )
        self._reader, self._order = reader, _order_of(reader.zoo, rows, batch_size, seed, evenly)
        self._batch_size, self._sequences, self._seed = batch_size, sequences, seed
        self._steps_per_epoch, self._permute, self._progress = steps_per_epoch, permute, progress
        share = batch_size // world_size
        self._slice = slice(rank * share, (rank + 1) * share)

    def __len__(self) -> int:
        return self._steps_per_epoch

    def __iter__(self) -> Iterator[ZooBatch]:
        # A generator: Lightning asks for the iterator before it has restored its progress, and
        # for the first batch afterwards.
        done, done_in_epoch = self._progress()
        for step in range(done, done + self._steps_per_epoch - done_in_epoch):
            yield self.batch(step)

    def batch(self, step: int) -> ZooBatch:
        """Return this process's share of step ``n``, counted from 0 over all epochs."""
        rows = torch.from_numpy(self._order.of_step(step)[self._slice])
        drawn = (self._seed, step, self._batch_size)
        picks = order.training_picks(*drawn, self._reader.zoo.sequences_stored, self._sequences)
        batch = self._reader.read(rows, picks[self._slice])
        if self._permute:
            draws = order.permutation_draws(*drawn, self._reader.zoo.specs)
            own = [draw[self._slice] for draw in draws]
            batch.weights = change_groups(
                batch.weights, lambda group, at: order.permuted(group, [draw[at] for draw in own])
            )
        return batch

    def state_dict(self) -> dict[str, int]:
        """Return nothing: where to go on follows from the trainer's own progress.

        Its presence tells Lightning that this loader can be resumed in the middle of an epoch.
        """
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Accept what ``state_dict`` returned."""


class EvaluationLoader:
    """Reads every row exactly once over all processes, always with the same sequences.

    Rows come in pairs, dealt out by ``deal_pairs``: in as many batches to each process, some of
    them empty where there are too few.
    """

    def __init__(
        self,
        reader: ZooReader,
        rows: Indices,
        batch_size: int,
        sequences: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        dealt, rows = (
            deal_pairs(len(rows), batch_size, rank, world_size),
            _by_task(reader.zoo, rows),
        )
        self._reader, self._batches = reader, [rows[positions] for positions in dealt]
        self._sequences, self._seed = sequences, seed

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[ZooBatch]:
        stored = self._reader.zoo.sequences_stored
        for rows in self._batches:
            picks = order.fixed_picks(self._seed, rows, stored, self._sequences)
            yield self._reader.read(torch.from_numpy(rows), picks)


def _by_task(zoo: AnyZoo, rows: Indices) -> Indices:
    """Return rows of several zoos in the order of their tasks, which zoos share.

    So RNNs of a pair, half a split apart, have different tasks. Of one zoo rows stay as they are.
    """
    if len(zoo.zoos) == 1:
        return rows
    tasks = zoo.read("task", torch.from_numpy(rows)).flatten(1).numpy()
    return rows[np.lexsort(tasks.T)]


def _order_of(
    zoo: AnyZoo, rows: Indices, batch_size: int, seed: int, evenly: bool
) -> RowOrder | EvenOrder:
    if not evenly or len(zoo.zoos) == 1:
        return RowOrder(rows, batch_size, seed)
    owners = zoo.zoo_of(torch.from_numpy(rows)).numpy()
    return EvenOrder([rows[owners == index] for index in range(len(zoo.zoos))], batch_size, seed)
