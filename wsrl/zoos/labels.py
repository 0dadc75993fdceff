"""Labels that a zoo was given afterwards: properties of its RNNs, in a file of their own."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from wsrl.problems.columns import Target
from wsrl.problems.packed import property_column, property_target
from wsrl.safe_files import check_inside
from wsrl.zoos.files import remove_leftovers
from wsrl.zoos.manifest import ZooError
from wsrl.zoos.tensors import read_metadata, read_tensors, write_tensors

LABELS = "labels.safetensors"


@dataclass(frozen=True)
class Labels:
    """Labels of ``n`` RNNs of a zoo.

    Attributes:
        columns: by name, ``(n,)``.
        targets: what can be predicted from them, by name.
    """

    columns: Mapping[str, Tensor]
    targets: Mapping[str, Target]

    @classmethod
    def read(cls, folder: Path, runs: Tensor, steps: Tensor) -> "Labels":
        """Read the labels of the RNNs of these runs and steps ``(n,)``; none where some have none.

        Raises:
            ZooError: for a damaged file.
        """
        path = folder / LABELS
        if not path.is_file():
            return cls({}, {})
        try:
            check_inside(folder, LABELS)
            tensors, known = read_tensors(path), read_metadata(path)["properties"]
            labelled = pd.MultiIndex.from_arrays([tensors["run"].numpy(), tensors["step"].numpy()])
            wanted = pd.MultiIndex.from_arrays([runs.numpy(), steps.numpy()])
            places = torch.from_numpy(labelled.get_indexer(wanted))
            if (places < 0).any():
                return cls({}, {})
            names = {property_column(one["name"]): one for one in known}
            columns = {name: tensors[name][places] for name in names}
            targets = {one["name"]: property_target(one) for one in known}
        except (ValueError, LookupError, TypeError) as error:
            reason = str(error).partition("\n")[0]
            raise ZooError(f"{path} holds no labels: {reason}. Write them again") from error
        return cls(columns, targets)

    @staticmethod
    def copy(folder: Path, to: Path) -> None:
        """Copy the labels of a zoo, where it has some."""
        if (folder / LABELS).is_file():
            shutil.copyfile(folder / LABELS, to / LABELS)


def write_labels(
    folder: Path,
    columns: Mapping[str, Tensor],
    properties: Sequence[Mapping[str, Any]],
    runs: Tensor,
    steps: Tensor,
) -> None:
    """Write labels beside those that are there, or in the place of those of the same names."""
    check_inside(folder, LABELS)
    remove_leftovers(folder, LABELS)
    kept: list[Any] = []
    tensors = dict[str, Tensor]()
    if Labels.read(folder, runs, steps).columns:
        new = {one["name"] for one in properties}
        kept = [o for o in read_metadata(folder / LABELS)["properties"] if o["name"] not in new]
        before = Labels.read(folder, runs, steps).columns
        tensors = {name: before[name] for name in (property_column(o["name"]) for o in kept)}
    about = {"properties": [*kept, *properties]}
    write_tensors(folder / LABELS, {**tensors, **columns, "run": runs, "step": steps}, about)
