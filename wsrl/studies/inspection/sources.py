"""What is inspected, and by what: the user's RNN, the checkpoint, its heads and its zoo."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wsrl.class_paths import class_path
from wsrl.data import ZooDataModule
from wsrl.data.datamodule import absolute
from wsrl.encoders import Encoder
from wsrl.hints import Hints
from wsrl.problems import Target
from wsrl.rnn import BlackBox, RNNWeights, check_finite
from wsrl.studies.pretrained import ENCODER, list_pretrained, pretrained_folder
from wsrl.studies.training.checkpoints import CheckpointRecord
from wsrl.studies.training.runs import Run
from wsrl.tasks import PredictionModule, TaskModule
from wsrl.zoos.packing.models import read_model

OwnRNN: TypeAlias = str | Path | Mapping[str, Tensor] | nn.Module | RNNWeights | BlackBox
"""A file, a state dict, a module with one RNN and its readout, weights, or what is only asked."""

Folders: TypeAlias = str | Path | Sequence[str | Path]
"""Where a zoo is, or several."""

_Task = TypeVar("_Task", bound=TaskModule)


def find_checkpoint(given: str | Path) -> Path:
    """Return the checkpoint that a run's folder, an exported run, a name or a path stands for.

    The name is of an encoder that comes with the package (``list_pretrained``).
    """
    path = Path(given)
    if not path.exists() and str(given) in list_pretrained():
        path = pretrained_folder(str(given))
    if not (run := Run(path)).holds_a_run() and (path / ENCODER).is_dir():
        run = Run(path / ENCODER)  # an exported one
    for file in (run.checkpoint("best"), run.checkpoint("last")) if path.is_dir() else (path,):
        if file.is_file():
            return file
    known = ", ".join(list_pretrained())
    raise ValueError(f"no run and no checkpoint at {path}; encoders that come with wsrl: {known}")


def read_run(task: type[_Task], checkpoint: Path) -> tuple[CheckpointRecord, _Task]:
    """Read a run's settings, and rebuild what it trained, or refuse another task's run."""
    record = CheckpointRecord.read(checkpoint)
    if record.class_path != class_path(task):
        of = f" (its encoder is from {record.pretrained})" if record.pretrained else ""
        raise ValueError(
            f"{checkpoint} is of {record.class_path.rpartition('.')[2]}{of}, not of {task.__name__}"
        )
    return record, task.load_from_checkpoint(checkpoint, map_location="cpu").eval()


def open_data(record: CheckpointRecord, zoo: Folders | None = None) -> ZooDataModule:
    """Open the zoo that a run was trained on, maybe at another place, split as it was then."""
    recorded = record.data["zoo"]
    if isinstance(recorded, str) and not Path(recorded).is_absolute():  # of an exported run
        recorded = Run.of_checkpoint(record.path.resolve()).folder.parent / recorded
    place = absolute(recorded if zoo is None else zoo)
    folders = [place] if isinstance(place, str) else place
    for folder in folders if zoo is None else ():
        if not Path(folder).is_dir():
            where = "say where that is (--zoo DIR)"
            raise ValueError(f"{record.path} was trained on {folder}; {where}")
    return ZooDataModule(**{**record.data, "zoo": place, "in_memory": False})


def held_out_rows(data: ZooDataModule, *others: ZooDataModule) -> NDArray[np.int64]:
    """Return the validation rows; none where a run held nothing out, and learned from these too."""
    rows = data.rows("validation")
    all_seen = any(each.hparams["split_by"] == "nothing" for each in (data, *others))
    return rows[:0] if all_seen else rows


def read_rnn(
    rnn: OwnRNN, encoder: Encoder, hints: Hints | None = None
) -> tuple[RNNWeights | BlackBox, str | None, tuple[str, ...]]:
    """Read one RNN that an encoder reads, with finite weights where it shows them.

    Returns:
        The weights ``(1, N)``, float32 on the CPU, or the black box; the name of the file; and what
        was assumed.
    """
    name = str(rnn) if isinstance(rnn, str | Path) else None
    called = name or "the RNN"
    found: RNNWeights | BlackBox
    notes: tuple[str, ...] = ()
    if isinstance(rnn, BlackBox):
        found = rnn[:1]
    else:
        read, notes = read_model(rnn, hints)
        found = read.to("cpu", torch.float32)
    try:
        check_finite(found)
        encoder.check(found)
    except ValueError as error:
        raise ValueError(f"{called}: {error}") from error
    return found, name, notes


class Head(NamedTuple):
    """A prediction run."""

    path: Path
    record: CheckpointRecord
    module: PredictionModule


def find_heads(
    given: Sequence[str | Path], checkpoint: Path, encoder: Encoder, targets: dict[str, Target]
) -> list[Head]:
    """Read the prediction runs that are given, and find those in folders beside the encoder's run.

    One that is given counts more, and else the first by name. Two given for one target are refused.
    """
    heads: dict[str, Head] = {}
    for run in given:
        head = _read_head(find_checkpoint(run), encoder, checkpoint, targets)
        if (other := heads.setdefault(head.module.target, head)) is not head:
            raise ValueError(
                f"{other.path} and {head.path} both predict {head.module.target!r}; give one"
            )
    beside = Run.of_checkpoint(checkpoint.resolve()).folder.parent
    for path in sorted(beside.glob("*/checkpoints/best.ckpt")):
        # Another task's or encoder's, or damaged: nobody asked for it.
        with contextlib.suppress(ValueError, OSError):
            head = _read_head(path, encoder, checkpoint, targets)
            heads.setdefault(head.module.target, head)
    return list(heads.values())


def _read_head(path: Path, encoder: Encoder, of: Path, targets: dict[str, Target]) -> Head:
    """Read a head that reads this very encoder's embeddings, and predicts what the zoo has."""
    record, module = read_run(PredictionModule, path)
    mine, theirs = module.encoder.state_dict(), encoder.state_dict()
    same = module.encoder.config() == encoder.config() and mine.keys() == theirs.keys()
    if not same or not all(torch.equal(value, theirs[name]) for name, value in mine.items()):
        raise ValueError(
            f"{path} predicts from another encoder (from {record.pretrained or 'random weights'}, "
            f"mode {module.mode}) than that in {of}: train with --model.pretrained {of} "
            "--model.mode frozen"
        )
    target, kind = targets.get(module.target), module.kind
    if target is None or (kind.parts, kind.classes) != (target.parts, len(target.values)):
        known = ", ".join(targets)
        raise ValueError(f"{path} predicts {module.target!r}, but the zoo has {known}")
    return Head(path, record, module)
