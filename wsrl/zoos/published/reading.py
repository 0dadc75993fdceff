"""Read published zoos as they are.

A folder holds one file a column, whose first axis is the snapshot, and maybe ``args.json``.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wsrl.problems import Column, Problem, create_problem
from wsrl.problems.columns import DTYPES
from wsrl.rnn import RNNSpec
from wsrl.safe_files import read_regular
from wsrl.strict_json import LARGEST_JSON, parse_json
from wsrl.validation import check_arguments
from wsrl.zoos.manifest import MANIFEST, Manifest, ZooError
from wsrl.zoos.published.kinds import KINDS, LARGE, Kind
from wsrl.zoos.published.npy import Header, read_header
from wsrl.zoos.soundness import check_labels, failed_runs, output_error
from wsrl.zoos.store import Zoo
from wsrl.zoos.tensors import DiskTensor

ARGUMENTS = "args.json"
SIZES = {"rnn_hidden_size": "hidden_size", "rnn_num_layers": "num_layers"}
"""Sizes of the RNNs: our name by that in ``args.json``."""

PUBLISHED_CELL, PUBLISHED_LAYERS = "lstm", 2
"""Of all published zoos; their files do not name them."""

CHECKED_SNAPSHOTS, CHECKED_SEQUENCES = 64, 4
"""Outputs of so many snapshots, spread over the zoo, and sequences of each are recomputed."""

_CHUNK = 256  # rows held at once


@dataclass(frozen=True)
class PublishedHints:
    """What cannot be found in a published zoo's files, or only in its ``args.json``.

    Args:
        hidden_size: neurons of a layer.
        num_layers: layers of the RNNs; 2 by default.
        max_n: languages: ``k`` goes up to ``max_n - 1``.
        min_difference: languages: the smallest difference that was drawn.
        max_difference: languages: the largest difference that was drawn.
        tile_size: images: pixels of a tile's side.
        source: images: where they are from, as ``wsrl zoo build`` names it.
    """

    hidden_size: int | None = None
    num_layers: int | None = None
    max_n: int | None = None
    min_difference: int | None = None
    max_difference: int | None = None
    tile_size: int | None = None
    source: str | None = None

    def over(self, arguments: Mapping[str, Any], kind: Kind) -> dict[str, Any]:
        """Return what these hints and ``args.json`` say, by our names, hints first."""
        names = SIZES | kind.arguments
        said = {ours: arguments[name] for name, ours in names.items() if name in arguments}
        told = {name: value for name, value in asdict(self).items() if value is not None}
        if strange := sorted(told.keys() - names.values()):
            raise ValueError(f"a zoo of {kind.problem} does not have: {', '.join(strange)}")
        if any(arguments.get(name, value) != value for name, value in kind.constants.items()):
            raise ValueError(f"expected {kind.constants}")
        check_arguments(PublishedHints, said | told)
        return {name: value for name, value in (said | told).items() if value is not None}


def is_published(folder: Path) -> bool:
    """Whether a folder holds a published zoo, or at least one of its files."""
    names = {name for kind in KINDS for name in kind.files}
    return not (folder / MANIFEST).exists() and any(
        (folder / f"{name}.npy").is_file() for name in names
    )


def open_published(
    folder: str | Path, include_failed: bool = False, hints: PublishedHints | None = None
) -> Zoo:
    """Open a published zoo without importing it; ``hints`` are what its files do not say.

    Its large columns are read from the files when they are asked for. ``check`` checks the labels
    of all rows, and recomputes outputs on a sample.
    """
    folder = Path(folder)
    kind = _find_kind(folder)
    headers = {name: read_header(folder / f"{name}.npy", e) for name, e in kind.files.items()}
    if len({header.shape[0] for header in headers.values()}) > 1:
        lengths = sorted(f"{name}.npy {header.shape[0]}" for name, header in headers.items())
        raise ZooError(f"files in {folder} of other numbers of snapshots: {', '.join(lengths)}")
    labels, large = _columns(folder, kind, headers)
    columns: dict[str, Tensor | DiskTensor] = {**labels, **large}
    try:
        path = folder / ARGUMENTS
        text = read_regular(path, LARGEST_JSON).decode() if path.is_file() else None
        arguments = {} if text is None else parse_json(text.encode())
        given = (hints or PublishedHints()).over(arguments, kind)
        sizes = (given.pop("hidden_size", None), given.pop("num_layers", PUBLISHED_LAYERS))
        settings = kind.settings(labels, large["sequences"].shape, given) | given
        problem = create_problem(kind.problem, settings)  # its shapes are compared below
        spec = find_spec(problem, large["weights"].shape[1], *sizes)
    except ValueError as error:
        hint = f"{ARGUMENTS} or options of `wsrl zoo import` say what the arrays do not"
        raise ZooError(f"{folder}: {error} ({hint})") from error
    steps = labels["step"].unique().tolist()
    names = {dtype: name for name, dtype in DTYPES.items()}
    manifest = Manifest.of(
        problem,
        spec,
        {"runs": len(labels["run"].unique()), "snapshots": steps},
        {name: Column(names[c.dtype], tuple(c.shape[1:])) for name, c in columns.items()},
        failed=failed_runs(_are_finite(large["weights"], labels), labels),
        origin="official",
        source={
            "kind": kind.problem,
            "headers": {name: header.text for name, header in headers.items()},
            "arguments": text,
        },
        snapshot_updates="n + 1",
    )
    check = partial(_check, labels, Zoo(folder, manifest, [columns]))
    zoo = Zoo(folder, manifest, [columns], check, include_failed)
    _ = zoo.problem  # which compares the shapes of rows
    return zoo


def _check(labels: Mapping[str, Tensor], sound: Zoo) -> None:
    check_labels(sound.path, labels)
    if not len(sound):
        raise ZooError(f"the zoo at {sound.path} holds no sound snapshot")
    rows = torch.linspace(0, len(sound) - 1, min(CHECKED_SNAPSHOTS, len(sound))).long().unique()
    output_error(sound, rows, min(CHECKED_SEQUENCES, sound.sequences_stored))


def find_spec(
    problem: Problem, length: int, hidden_size: int | None, num_layers: int = PUBLISHED_LAYERS
) -> RNNSpec:
    """Return the spec of LSTMs with so many parameters."""
    sizes = count(1) if hidden_size is None else [hidden_size]
    specs = (problem.spec(PUBLISHED_CELL, size, num_layers) for size in sizes)
    spec = next(s for s in specs if s.num_parameters >= length or hidden_size)
    if spec.num_parameters != length:
        hint = f"{spec} has {spec.num_parameters}. Give --num_layers, --hidden_size"
        raise ZooError(f"parameters.npy holds {length} parameters, which fit no LSTM: {hint}")
    return spec


def _find_kind(folder: Path) -> Kind:
    for kind in KINDS:
        if any((folder / f"{mark}.npy").is_file() for mark in kind.marks):
            return kind
    marks = [f"{mark}.npy" for kind in KINDS for mark in kind.marks]
    raise ZooError(f"no published zoo at {folder}: expected one of {', '.join(marks)}")


def _columns(
    folder: Path, kind: Kind, headers: Mapping[str, Header]
) -> tuple[dict[str, Tensor], dict[str, DiskTensor]]:
    """Return the labels, in memory, and the large columns, on the disk."""
    files = {}
    for name, (text, stored, shape) in headers.items():
        held = _held_as(name, stored.str[1:])
        files[name] = DiskTensor(folder / f"{name}.npy", len(text), stored, shape, held)
    large = {column: files.pop(name) for column, name in LARGE.items()}
    labels = kind.labels({n: file[torch.arange(len(file))] for n, file in files.items()})
    return labels, large


def _held_as(name: str, stored: str) -> torch.dtype:
    """Return the dtype in which a file's numbers are held: of labels the largest there is."""
    if name == "parameters":
        return torch.float32
    if stored[0] != "f":
        small = name == "sequences" and stored in ("i1", "u1", "i2")
        return torch.int16 if small else torch.int64
    return DTYPES[f"F{8 * int(stored[1:])}"] if name in LARGE.values() else torch.float64


def _are_finite(weights: DiskTensor, labels: Mapping[str, Tensor]) -> Tensor:
    """Say of which rows parameters, task and measurements are finite, ``(n,)``."""
    chunks = torch.arange(len(weights)).split(_CHUNK)
    finite = torch.cat([weights[rows].isfinite().all(1) for rows in chunks])
    for label in labels.values():
        finite &= label.isfinite().view(len(label), -1).all(1)
    return finite
