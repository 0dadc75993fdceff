"""Read published zoos as they are.

A folder holds one file a column, whose first axis is the snapshot, and maybe ``args.json``. Its
snapshot ``n`` was taken after ``n + 1`` updates.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wsrl.problems import Column
from wsrl.problems.base import DTYPES
from wsrl.safe_files import read_regular
from wsrl.strict_json import LARGEST_JSON, parse_json
from wsrl.zoos.disk_tensors import DiskTensor
from wsrl.zoos.manifest import MANIFEST, Manifest, ZooError
from wsrl.zoos.published.hints import ARGUMENTS, PublishedHints, find_specs, make_problem
from wsrl.zoos.published.kinds import KINDS, LARGE, Kind
from wsrl.zoos.published.npy import Array, NpyFile
from wsrl.zoos.soundness import check_labels, output_error
from wsrl.zoos.store import Zoo

CHECKED_SNAPSHOTS, CHECKED_SEQUENCES = 64, 4
"""Outputs of so many snapshots, spread over the zoo, and sequences of each are recomputed."""

_CHUNK = 256  # rows held at once
_OWN = ("weights", "run", "step")  # columns that every zoo has


@dataclass(frozen=True)
class Publication:
    """A published zoo: its files, and the manifest that describes it as one of ours.

    Attributes:
        folder: where it is.
        kind: which of the two it is.
        files: by name without ``.npy``.
        manifest: without shards.
    """

    folder: Path
    kind: Kind
    files: Mapping[str, NpyFile]
    manifest: Manifest

    def __len__(self) -> int:
        return self.files["parameters"].shape[0]

    def columns(self, start: int, stop: int) -> dict[str, Tensor]:
        """Return copies of some rows of every column."""
        return self.kind.columns({name: f.rows(start, stop) for name, f in self.files.items()})

    def open(self, include_failed: bool = False) -> Zoo:
        """Return the zoo; its large columns are read from the disk when they are asked for."""
        columns: dict[str, Tensor | DiskTensor] = dict(self.kind.labels(self._labels()))
        for name, source in LARGE.items():
            file, dtype = self.files[source], self.manifest.columns[name].torch_dtype
            columns[name] = file.tensor(dtype)
        return Zoo(self.folder, self.manifest, [columns], self.check, include_failed)

    def check(self) -> float:
        """Check the labels of all rows, and the outputs of a sample of them.

        Returns:
            The largest error of an output.

        Raises:
            ZooError: where labels make no sense, stored outputs do not follow from the weights, or
                no snapshot is sound.
        """
        labels = self.kind.labels(self._labels())
        check_labels(self.folder, labels)
        failed = {int(run): step for run, step in self.manifest.failed.items()}
        pairs = zip(labels["run"].tolist(), labels["step"].tolist(), strict=True)
        sound = [row for row, (run, step) in enumerate(pairs) if step < failed.get(run, step + 1)]
        if not sound:
            raise ZooError(f"the zoo at {self.folder} holds no sound snapshot")
        picks = torch.linspace(0, len(sound) - 1, min(CHECKED_SNAPSHOTS, len(sound))).long()
        rows = [self.columns(sound[pick], sound[pick] + 1) for pick in picks.unique().tolist()]
        sample = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
        zoo = Zoo(self.folder, replace(self.manifest, failed={}), [sample], lambda: None)
        return output_error(
            zoo, torch.arange(len(rows)), min(CHECKED_SEQUENCES, zoo.sequences_stored)
        )

    def _labels(self) -> dict[str, Array]:
        small = self.files.keys() - LARGE.values()
        return {name: self.files[name].rows(0, len(self)) for name in small}


def is_published(folder: Path) -> bool:
    """Whether a folder holds a published zoo, or at least one of its files."""
    names = {name for kind in KINDS for name in kind.files}
    return not (folder / MANIFEST).exists() and any(
        (folder / f"{name}.npy").is_file() for name in names
    )


def open_published(
    folder: str | Path, include_failed: bool = False, hints: PublishedHints | None = None
) -> Zoo:
    """Open a published zoo without importing it.

    Its large columns are read from the files when they are asked for (all at once from a file in
    Fortran order, whose rows lie scattered). ``check`` recomputes outputs on a sample.

    Args:
        folder: the folder of its files.
        include_failed: keep the snapshots of runs that failed in training.
        hints: what the files do not say.

    Raises:
        ZooError: for files that are missing, damaged or do not fit one another, and for what can
            be found neither in them nor in ``hints``.
    """
    return read_publication(Path(folder), hints or PublishedHints()).open(include_failed)


def read_publication(folder: Path, hints: PublishedHints) -> Publication:
    """Find out what a published zoo is.

    Raises:
        ZooError: as ``open_published``.
    """
    kind = _find_kind(folder)
    files = {
        name: NpyFile.open(folder / f"{name}.npy", expected)
        for name, expected in kind.files.items()
    }
    _check_lengths(folder, files)
    text = _read_arguments(folder)
    arguments = parse_json(text.encode()) if text else {}
    arrays = {name: file.map() for name, file in files.items()}
    try:
        given = hints.over(arguments, kind)
        sizes = (given.pop("hidden_size", None), given.pop("num_layers", None))
        problem = make_problem(kind, arrays, given)
        specs = find_specs(problem, files["parameters"].shape[1], *sizes)
    except ValueError as error:
        raise ZooError(f"{folder}: {error} (options: those of `wsrl zoo import`)") from error
    labels = kind.labels(arrays)
    first = kind.columns({name: file.rows(0, 1) for name, file in files.items()})
    rest: dict[str, Any] = {
        "build": {
            "runs": len(labels["run"].unique()),
            "snapshots": labels["step"].unique().tolist(),
        },
        "columns": {name: _column(c) for name, c in first.items() if name not in _OWN},
        "failed": _failed(files["parameters"], labels),
        "origin": "official",
        "source": {
            "kind": kind.problem,
            "headers": {name: file.header.text for name, file in files.items()},
            "arguments": text,
        },
        "snapshot_updates": "n + 1",
    }
    manifests = [Manifest.of(problem, spec, **rest) for spec in specs]
    return _only_one([Publication(folder, kind, files, manifest) for manifest in manifests])


def _find_kind(folder: Path) -> Kind:
    if not folder.is_dir():
        raise ZooError(f"no zoo at {folder}: there is no such folder")
    found = [
        kind for kind in KINDS if any((folder / f"{mark}.npy").is_file() for mark in kind.marks)
    ]
    if len(found) != 1:
        marks = "; ".join(
            f"{kind.problem}: {', '.join(f'{mark}.npy' for mark in kind.marks)}" for kind in KINDS
        )
        raise ZooError(
            f"{folder} holds {'no' if not found else 'more than one'} published zoo: expected the "
            f"files of one kind ({marks})"
        )
    return found[0]


def _check_lengths(folder: Path, files: Mapping[str, NpyFile]) -> None:
    lengths = {f"{name}.npy": file.shape[0] for name, file in files.items()}
    if len(set(lengths.values())) > 1:
        held = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ZooError(
            f"the files in {folder} disagree in their first axis, the number of snapshots: {held}"
        )


def _read_arguments(folder: Path) -> str | None:
    path = folder / ARGUMENTS
    if not path.is_file():
        return None
    try:
        text = read_regular(path, LARGEST_JSON).decode()
        content = parse_json(text.encode())
    except ValueError as error:
        raise ZooError(
            f"{path} is damaged ({error}): expected JSON, options and their values"
        ) from error
    if content.get("one_hot_input", 1) != 1:
        raise ZooError(f"{path} has one_hot_input {content['one_hot_input']!r}: expected 1")
    return text


def _column(tensor: Tensor) -> Column:
    names = {dtype: name for name, dtype in DTYPES.items()}
    return Column(names[tensor.dtype], tuple(tensor.shape[1:]))


def _failed(parameters: NpyFile, columns: Mapping[str, Tensor]) -> dict[str, int]:
    """Runs with a parameter, task or measurement that is not finite, and the first step of one."""
    finite = torch.cat(
        [
            torch.from_numpy(np.isfinite(parameters.rows(start, start + _CHUNK))).all(1)
            for start in range(0, parameters.shape[0], _CHUNK)
        ]
    )
    for name, column in columns.items():
        if column.is_floating_point() and (column.ndim == 1 or name == "task"):
            finite &= column.isfinite().view(len(column), -1).all(1)
    failed: dict[str, int] = {}
    for run, step in torch.stack([columns["run"], columns["step"]], 1)[~finite].tolist():
        failed[str(run)] = min(step, failed.get(str(run), step))
    return failed


def _only_one(candidates: list[Publication]) -> Publication:
    """Choose the one whose outputs follow from its weights."""
    if len(candidates) == 1:
        return candidates[0]
    fitting = []
    for candidate in candidates:
        with suppress(ZooError):
            candidate.check()
            fitting.append(candidate)
    if len(fitting) != 1:
        specs = "; ".join(str(candidate.manifest.rnn_spec) for candidate in candidates)
        raise ZooError(
            f"the parameters in {candidates[0].folder} fit several specs ({specs}), and the "
            f"outputs {'all' if fitting else 'none'} of them: give --num_layers"
        )
    return fitting[0]
