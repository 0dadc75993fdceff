"""What is inspected, and by what: the user's RNN, the checkpoint, its zoo."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wsrl.class_paths import class_path
from wsrl.data import ZooDataModule
from wsrl.rnn import RNNSpec, RNNWeights
from wsrl.studies.training.checkpoints import CheckpointRecord
from wsrl.studies.training.runs import Run
from wsrl.tasks import EmulationModule, TaskModule
from wsrl.zoos.packing.models import as_weights, read_model

OwnRNN: TypeAlias = str | Path | Mapping[str, Tensor] | nn.Module | RNNWeights
"""A file, a state dict, a module with one recurrent network and its readout, or weights."""

_Task = TypeVar("_Task", bound=TaskModule)


def find_checkpoint(given: str | Path) -> Path:
    """Return the checkpoint that a run's folder or a path stands for.

    Raises:
        ValueError: where there is none.
    """
    path = Path(given)
    if not path.is_dir():
        if not path.is_file():
            raise ValueError(f"no run and no checkpoint at {path}")
        return path
    run = Run(path)
    found = [file for word in ("best", "last") if (file := run.checkpoint(word)).is_file()]
    if not found:
        raise ValueError(f"no checkpoint in {run.checkpoints}: is {path} the folder of a run?")
    return found[0]


def read_emulation(checkpoint: Path) -> CheckpointRecord:
    """Read the settings of an emulation run.

    Raises:
        ValueError: for another kind of run.
    """
    record = CheckpointRecord.read(checkpoint)
    if record.class_path != class_path(EmulationModule):
        of = f": its encoder is from {record.pretrained}" if record.pretrained else ""
        raise ValueError(
            f"{checkpoint} is of a {record.class_path.rpartition('.')[2]}{of}; --ckpt takes the "
            "run of an EmulationModule, and --predict those of predictions"
        )
    return record


def load_module(task: type[_Task], checkpoint: Path) -> _Task:
    """Rebuild what a checkpoint holds, for evaluation on the CPU.

    Raises:
        ValueError: where its weights are not those of the model that it describes.
    """
    return task.load_from_checkpoint(checkpoint, map_location="cpu").eval()


def open_data(record: CheckpointRecord, zoo: str | Path | None = None) -> ZooDataModule:
    """Open the zoo that a run was trained on, split as it was then.

    Args:
        record: of the run.
        zoo: where the zoo is now, if it is not where it was.

    Raises:
        ValueError: where it is not there, or is one of other RNNs.
    """
    place = Path(record.data["zoo"] if zoo is None else zoo)
    if zoo is None and not place.is_dir():
        raise ValueError(
            f"the zoo that {record.path} was trained on is not at {place} any more; say where it "
            "is (--zoo DIR)"
        )
    data = ZooDataModule(**{**record.data, "zoo": str(place), "in_memory": False})
    trained_on = RNNSpec(**record.model["spec"])
    if data.zoo.spec != trained_on:
        raise ValueError(
            f"the RNNs of the zoo at {place} are ({data.zoo.spec}), but {record.path} was trained "
            f"on ({trained_on})"
        )
    return data


def held_out_rows(data: ZooDataModule, *others: ZooDataModule) -> NDArray[np.int64]:
    """Return the validation rows; none where a run held nothing out, and learned from these too."""
    rows = data.rows("validation")
    all_seen = any(each.hparams["split_by"] == "nothing" for each in (data, *others))
    return rows[:0] if all_seen else rows


def read_rnn(
    rnn: OwnRNN, spec: RNNSpec, trained: Path, cell: str | None = None
) -> tuple[RNNWeights, str | None]:
    """Read one RNN and check that an encoder can read it.

    Args:
        rnn: the RNN.
        spec: what the encoder was trained on.
        trained: the encoder's checkpoint, for the message.
        cell: needed for the state dict of an ``nn.RNN``, which does not say whether it is ``tanh``.

    Returns:
        The weights ``(1, N)``, float32 on the CPU, and the name of the file.

    Raises:
        ValueError: for what is no RNN, one of another spec, or one with weights that are not
            finite.
    """
    name = str(rnn) if isinstance(rnn, str | Path) else None
    if isinstance(rnn, RNNWeights):
        weights = rnn
    elif isinstance(rnn, str | Path):
        weights = read_model(Path(rnn), cell)
    else:
        weights = as_weights(rnn, cell)
    called = name or "the RNN"
    if weights.spec != spec:
        here, there = weights.spec.to_dict(), spec.to_dict()
        differ = [
            f"{key} {here[key]!r}, not {there[key]!r}" for key in here if here[key] != there[key]
        ]
        raise ValueError(
            f"{called} is ({weights.spec}), but the encoder in {trained} was trained on ({spec}): "
            f"{'; '.join(differ)}"
        )
    if len(weights) != 1:
        raise ValueError(f"one RNN is inspected at a time, not {len(weights)}")
    weights = weights.to("cpu", torch.float32)
    if not bool(weights.flat.isfinite().all()):
        raise ValueError(f"{called} has weights that are not finite")
    return weights, name
