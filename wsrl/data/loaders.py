"""The loaders that Lightning iterates: batches come ready-made, so no ``DataLoader`` is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from wsrl.data import order
from wsrl.data.batch import ZooBatch
from wsrl.data.order import Indices, RowOrder, deal_pairs
from wsrl.data.reader import ZooReader


class TrainingLoader:
    """An endless stream of batches, cut into epochs; step ``n`` is a function of the seed and n.

    The batch of a step is drawn for all processes together and each takes its slice.

    Args:
        reader: gathers the batches.
        rows: ``(R,)``, the rows to train on.
        batch_size: RNNs of a step over all processes.
        sequences: stored sequences read of every RNN.
        steps_per_epoch: length of an epoch.
        seed: of everything drawn.
        permute: reorder the hidden neurons of every RNN at random (its function stays).
        progress: tells, when an iteration begins, how many batches were read in all and how many
            in the epoch that is running: a resumed run goes on in the middle of its epoch.
        rank: of this process.
        world_size: number of processes.

    Raises:
        ValueError: when ``batch_size`` cannot be dealt out evenly.
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
        progress: Callable[[], tuple[int, int]] = lambda: (0, 0),
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if batch_size % world_size:
            raise ValueError(
                f"batch_size is the number of RNNs a step over all processes: {batch_size} cannot "
                f"be dealt out evenly to {world_size}; choose a multiple of {world_size}"
            )
        self._reader, self._order = reader, RowOrder(rows, batch_size, seed)
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
        stored = self._reader.zoo.sequences_stored
        picks = order.training_picks(self._seed, step, self._batch_size, stored, self._sequences)
        batch = self._reader.read(rows, picks[self._slice])
        if self._permute:
            spec = batch.weights.spec
            drawn = order.step_permutations(self._seed, step, self._batch_size, spec)
            batch.weights = batch.weights.permute([layer[self._slice] for layer in drawn])
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

    Rows come in pairs, one after the other in a batch (an odd last row follows the last pair). The
    other one of a pair is the same whatever the number of processes and the size of the batches.
    All processes make the same number of batches, some of them empty where there are too few pairs,
    as of a split smaller than the number of processes. A batch takes rows from all over the split,
    so that the first few (``limit_val_batches``) stand for it.

    Args:
        reader: gathers the batches.
        rows: ``(R,)``, the rows of the split.
        batch_size: RNNs of a batch at most, as in ``deal_pairs``.
        sequences: stored sequences read of every RNN.
        seed: chooses the sequences, with the row.
        rank: of this process.
        world_size: number of processes.
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
        dealt = deal_pairs(len(rows), batch_size, rank, world_size)
        self._reader, self._batches = reader, [rows[positions] for positions in dealt]
        self._sequences, self._seed = sequences, seed

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[ZooBatch]:
        stored = self._reader.zoo.sequences_stored
        for rows in self._batches:
            picks = order.fixed_picks(self._seed, rows, stored, self._sequences)
            yield self._reader.read(torch.from_numpy(rows), picks)
