"""``ZooDataModule``: a zoo's splits as batches for Lightning."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from lightning import LightningDataModule
from numpy.typing import NDArray
from pydantic import Field

from wsrl.data.batch import ZooBatch
from wsrl.data.loaders import EvaluationLoader, TrainingLoader, ZooReader
from wsrl.data.order import Indices
from wsrl.data.splits import SPLITS, OodCriterion, keep_rows, split_problem, unique_tasks
from wsrl.data.staging import open_staged, stage_zoo
from wsrl.problems import InputKind, Problem
from wsrl.resources import check_fits
from wsrl.rnn import RNNSpec
from wsrl.validation import check_arguments, check_size
from wsrl.zoos import open_zoo

_LARGEST_BATCH = 1 << 24  # RNNs: their weights alone would be many GB
_Seed = Annotated[int, Field(ge=0, lt=1 << 32)]


class ZooDataModule(LightningDataModule):
    """Batches of trained RNNs, split by task as published.

    Zoos of one problem are one data set, whatever the cells and sizes of their RNNs: a task is in
    one split, whichever zoos have it.

    Which RNNs, sequences and permutations make up training step ``n`` is a function of ``seed`` and
    ``n``: a run resumed in the middle of an epoch, or on another number of processes, reads the
    same data. The manifest is read at once, the splits when they are first needed.

    Args:
        zoo: the zoo's folder; a folder of zoos; or a list of folders.
        batch_size: RNNs of a training step, over all processes.
        sequences_per_rnn: ``S``, stored sequences read of every RNN.
        steps_per_epoch: training steps between two validations.
        eval_batch_size: RNNs of a batch in evaluation, on each process; at least 2, since they are
            evaluated in pairs.
        split_seed: fixes which task is in which split.
        seed: fixes order, sequences and permutations of training, and the sequences of evaluation.
        ood_criterion: what makes a task out of distribution: a large ``published`` measure of the
            zoo's problem; ``official``, the same, and all tasks in the very splits in which the
            official code has them; ``inverse``, a small measure; or ``random`` values.
        test_fraction: share of all tasks taken from training as an in-distribution ``test`` split.
        ood_to_train: move half of the OOD tasks to training (the published downstream protocol).
        permute: reorder hidden neurons at random in training, with all their couplings.
        in_memory: hold the zoo on the trainer's device instead of reading it from the disk.
        stage_to: a folder on each node's own disk, to which the first process of a node copies the
            zoo, and from where all then read; ``~`` and variables such as ``$TMPDIR`` are expanded.
            A copy that is there and whole is used again. Left out, the zoo is read where it is.
        split_by: ``task``, as published; or ``nothing``, for zoos of too few tasks: every split is
            then the whole zoo, and metrics measure how well it is memorised.
        draw: of several zoos, how many RNNs of each are in a batch: in ``proportion`` to the RNNs
            they have in training, or ``evenly``.
        min_performance: leave RNNs of a lower performance out of all splits; 0 leaves none out.

    Raises:
        ZooError: when a folder holds no finished, readable zoo, and where zoos are not of one
            problem.
        ValueError: for sizes out of range, seeds out of range, more sequences than are stored, or
            settings of splits that the official ones do not have.
    """

    def __init__(
        self,
        zoo: list[str] | str,
        batch_size: Annotated[int, Field(ge=1, le=_LARGEST_BATCH)] = 64,
        sequences_per_rnn: int = 1,
        steps_per_epoch: Annotated[int, Field(ge=1, lt=1 << 63)] = 1000,
        eval_batch_size: Annotated[int, Field(ge=2, le=_LARGEST_BATCH)] = 256,
        split_seed: _Seed = 1,
        seed: _Seed = 0,
        ood_criterion: OodCriterion = "published",
        test_fraction: float = 0.0,
        ood_to_train: bool = False,
        permute: bool = False,
        in_memory: bool = False,
        split_by: Literal["task", "nothing"] = "task",
        stage_to: str | None = None,
        draw: Literal["proportion", "evenly"] = "proportion",
        min_performance: Annotated[float, Field(ge=0)] = 0.0,
    ) -> None:
        given = {name: value for name, value in locals().items() if name in _RECORDED}
        super().__init__()
        given["zoo"] = absolute(zoo)
        check_arguments(ZooDataModule, given)
        if ood_criterion == "official" and (test_fraction or split_seed != 1):
            raise ValueError(
                f"ood_criterion official has no test split and its own seed 1, but given are "
                f"test_fraction {test_fraction} and split_seed {split_seed}: leave these out"
            )
        self.zoo = self._original = open_zoo(zoo)
        stored = self.zoo.sequences_stored
        check_size("sequences_per_rnn", sequences_per_rnn, 1, stored)
        drawn = batch_size * (8 + 4 * stored)  # by every process, of all
        check_fits(f"batch_size {batch_size}", drawn, "choose a smaller one")
        # Not among the hyper-parameters: where a copy is says nothing about a run.
        self.stage_to = stage_to
        self.save_hyperparameters(given)
        self._rows: dict[str, Indices] = {}
        self._labelled: str | None = None
        self._reader: ZooReader | None = None

    @property
    def spec(self) -> dict[str, Any]:
        """The spec of the RNNs as plain values; of RNNs of several specs their interface."""
        return common_spec(self.zoo.specs)

    @property
    def problem(self) -> Problem:
        """What the zoo's RNNs were trained on."""
        return self.zoo.problem

    @property
    def output_kind(self) -> str:
        """``categorical`` where the RNNs' outputs are logits, else ``real``."""
        return self.problem.output_kind

    @property
    def targets(self) -> dict[str, dict[str, Any]]:
        """What can be predicted of this zoo's RNNs, by name, as plain values."""
        return {name: target.to_dict() for name, target in self.zoo.targets.items()}

    @property
    def encoder_defaults(self) -> dict[str, Any]:
        """Values that suit the zoo's problem, for options of encoders that are left open."""
        return suited_options(self.problem.input_kind)

    def eval_splits(self, stage: str) -> list[str]:
        """Name the splits of a stage's evaluation loaders, in their order."""
        held_out = ["validation", "ood"]
        tested = [*held_out, "test"] if self.hparams["test_fraction"] else held_out
        rows_once = ["train", *tested] if self.hparams["split_by"] == "task" else ["train"]
        stages = {"fit": held_out, "validate": held_out, "test": tested, "predict": rows_once}
        return stages[stage]

    def rows(self, split: str) -> Indices:
        """Return the zoo's rows in one split, sorted (``ValueError``: there is no such split)."""
        if not self._rows:
            self._rows = self._split()
        if split not in self._rows:
            known = ", ".join(self._rows)
            raise ValueError(f"no split {split!r}, but {known} (test needs a test_fraction)")
        return self._rows[split]

    def keep_labelled(self, target: str) -> int:
        """Leave RNNs out of all splits that have no value of a property, as it is NaN.

        Returns:
            How many of the zoo's RNNs are left out.
        """
        self._labelled, self._rows = target, {}
        return int((~self._has_value()).sum())

    def read_target(self, name: str, split: str) -> torch.Tensor:
        """Return a property of a split's RNNs, ``(n, parts)``: class indices or float32."""
        target = self.zoo.targets[name]
        column = self.zoo.read(target.column, torch.from_numpy(self.rows(split)))
        return target.of({target.column: column})

    def prepare_data(self) -> None:
        """Compare the shards with their checksums, once a node before any work; or copy them."""
        if self.stage_to is None:
            self.zoo.check()
        else:
            stage_zoo(self._original, self.stage_to)

    def setup(self, stage: str) -> None:
        """Open the copy, if one is wanted, and split the zoo: errors come before any work."""
        if self.stage_to is not None and self.zoo is self._original:
            self.zoo = open_staged(self._original, self.stage_to)
        self.rows(self.eval_splits(stage)[0])

    def train_dataloader(self) -> TrainingLoader:
        """Return the training stream of this process."""
        return TrainingLoader(
            rows=self.rows("train"),
            batch_size=self.hparams["batch_size"],
            steps_per_epoch=self.hparams["steps_per_epoch"],
            permute=self.hparams["permute"],
            evenly=self.hparams["draw"] == "evenly",
            progress=self._progress,
            **self._common(),
        )

    def val_dataloader(self) -> list[EvaluationLoader]:
        """Return a loader for each split of ``eval_splits("validate")``."""
        return self._eval_loaders("validate")

    def test_dataloader(self) -> list[EvaluationLoader]:
        """Return a loader for each split of ``eval_splits("test")``."""
        return self._eval_loaders("test")

    def predict_dataloader(self) -> list[EvaluationLoader]:
        """Return a loader for each split of ``eval_splits("predict")``: the whole zoo."""
        return self._eval_loaders("predict")

    def transfer_batch_to_device(
        self, batch: ZooBatch, device: torch.device, dataloader_idx: int
    ) -> ZooBatch:
        """Move a batch to the device, with floating point values of the module's precision."""
        dtype = self.trainer.lightning_module.dtype if self.trainer else None
        return batch.to(device, dtype if isinstance(dtype, torch.dtype) else None)

    def _split(self) -> dict[str, Indices]:
        splits, least = self._split_tasks(), self.hparams["min_performance"]
        if least > 0:
            kept = (self.zoo.read("performance") >= least).numpy()
            advice = f"has a performance of at least {least}: choose a lower min_performance"
            splits = keep_rows(splits, kept, advice)
        if self._labelled is not None:
            advice = f"has a value of {self._labelled!r}: choose another target"
            splits = keep_rows(splits, self._has_value(), f"{advice}, or another split_seed")
        return splits

    def _has_value(self) -> NDArray[np.bool_]:
        """Say of every RNN of the zoo whether it has a value of the property that is kept."""
        assert self._labelled is not None
        values = self.zoo.read(self.zoo.targets[self._labelled].column)
        known: NDArray[np.bool_] = ~values.isnan().reshape(len(values), -1).any(1).numpy()
        return known

    def _split_tasks(self) -> dict[str, Indices]:
        if self.hparams["split_by"] == "nothing":
            return {split: np.arange(len(self.zoo)) for split in SPLITS}
        tasks, index = unique_tasks(self.zoo.read("task").numpy())
        names = ("ood_criterion", "split_seed", "test_fraction", "ood_to_train")
        splits = split_problem(self.problem, tasks, *(self.hparams[name] for name in names))
        return {name: np.flatnonzero(np.isin(index, chosen)) for name, chosen in splits.items()}

    def _eval_loaders(self, stage: str) -> list[EvaluationLoader]:
        size, common = self.hparams["eval_batch_size"], self._common()
        return [
            EvaluationLoader(rows=self.rows(split), batch_size=size, **common)
            for split in self.eval_splits(stage)
        ]

    def _common(self) -> dict[str, Any]:
        """Return the arguments of every loader; there is one reader."""
        device = None
        if self.hparams["in_memory"]:
            device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        if self._reader is None or self._reader.hold_on != device:
            self._reader = ZooReader(self.zoo, device)
        return {
            "reader": self._reader,
            "sequences": self.hparams["sequences_per_rnn"],
            "seed": self.hparams["seed"],
            "rank": self.trainer.global_rank if self.trainer else 0,
            "world_size": self.trainer.world_size if self.trainer else 1,
        }

    def _progress(self) -> tuple[int, int]:
        """Batches completed in all and in this epoch; ``global_step`` counts optimiser steps."""
        if self.trainer is None:
            return 0, 0
        batches = self.trainer.fit_loop.epoch_loop.batch_progress
        return batches.total.completed, batches.current.completed


def absolute(zoo: str | Path | Sequence[str | Path]) -> str | list[str]:
    """Return absolute paths, with which a checkpoint finds its data from any folder."""
    if isinstance(zoo, str | Path):
        return str(Path(zoo).resolve())
    return [str(Path(each).resolve()) for each in zoo]


def common_spec(specs: Sequence[RNNSpec]) -> dict[str, Any]:
    """Return the one spec as plain values, or the interface that several have in common."""
    return (specs[0] if len(specs) == 1 else specs[0].interface).to_dict()


def suited_options(kind: InputKind | None) -> dict[str, Any]:
    """Return options of probing encoders whose probing inputs are like a problem's inputs.

    >>> suited_options(InputKind("range", -1, 1, length=12))
    {'input_activation': 'tanh', 'probing_length': 12}
    """
    if kind is None:
        return {}
    known = {("range", 0.0, 1.0): "sigmoid", ("range", -1.0, 1.0): "tanh"}
    activation = known.get((kind.values, kind.low, kind.high), "identity")
    activation = "softmax" if kind.values == "tokens" else activation
    length = {} if kind.length is None else {"probing_length": kind.length}
    return {"input_activation": activation} | length


_RECORDED = inspect.signature(ZooDataModule).parameters.keys() - {"stage_to"}
