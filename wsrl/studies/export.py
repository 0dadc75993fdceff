"""A run to give away: an encoder with its emulator and heads, and what is known of its zoo's RNNs.

Its folder holds ``encoder`` and maybe heads, each a run with its best checkpoint alone, without
the optimizer's state; ``zoo``, a catalogue; and the measures that inspections compare RNNs with.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from wsrl.studies.inspection.reference import keep_reference, load_reference
from wsrl.studies.inspection.sources import (
    Folders,
    find_checkpoint,
    find_heads,
    open_data,
    read_run,
)
from wsrl.studies.pretrained import ENCODER
from wsrl.studies.training.checkpoints import CheckpointRecord
from wsrl.studies.training.runs import Run
from wsrl.tasks import EmulationModule
from wsrl.torch_files import read_torch_file
from wsrl.zoos.catalogue import write_catalogue

ZOO = "zoo"
"""The catalogue, in the folder of an exported run."""

_KEPT = ("state_dict", "hyper_parameters", "datamodule_hyper_parameters", "wsrl", "global_step")
_LIGHTNING = ("epoch", "pytorch-lightning_version", "hparams_name", "datamodule_hparams_name")


def export_run(run: str | Path, out: str | Path, zoo: Folders | None = None) -> None:
    """Write an emulation run, and the prediction runs beside it, to a folder to give away.

    ``wsrl inspect FILE --ckpt OUT`` needs nothing else. Paths of this machine are not kept.

    Args:
        run: the folder of an emulation run, or its checkpoint.
        out: where there is no folder yet.
        zoo: its zoo's folder, or several, where it is not where the run was trained on it.

    Raises:
        ValueError: where there is no such run, or the zoo has moved.
        ZooError: for a damaged zoo, or two of one name.
        FileExistsError: where there is a folder already.
    """
    checkpoint, out = find_checkpoint(run), Path(out)
    record, module = read_run(EmulationModule, checkpoint)
    data = open_data(record, zoo)
    targets = data.zoo.targets
    heads = find_heads((), checkpoint, module.encoder, targets)
    write_catalogue([each.path for each in data.zoo.zoos], out / ZOO)
    # As the catalogue orders zoos, so that rows agree.
    whole = {each.path.resolve().name: each.path for each in data.zoo.zoos}
    ordered = open_data(record, [whole[name] for name in sorted(whole)])
    reference = load_reference(checkpoint, module, ordered)
    given = _write(checkpoint, out / ENCODER)
    for head in heads:
        _write(head.path, out / head.module.target)
    keep_reference(given, open_data(CheckpointRecord.read(given)), reference)


def _write(checkpoint: Path, folder: Path) -> Path:
    """Write what rebuilds a module; return the new checkpoint."""
    content = read_torch_file(checkpoint)
    kept: dict[str, Any] = {n: content[n] for n in (*_KEPT, *_LIGHTNING) if n in content}
    kept["datamodule_hyper_parameters"] = {**kept["datamodule_hyper_parameters"], "zoo": ZOO}
    if kept["wsrl"].get("pretrained") is not None:
        kept["wsrl"] = {**kept["wsrl"], "pretrained": ENCODER}
    path = Run(folder).checkpoint("best")
    path.parent.mkdir(parents=True)
    torch.save(kept, path)
    return path
