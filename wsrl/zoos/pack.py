"""Make a zoo of RNNs that were trained elsewhere."""

import math
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from wsrl.hints import Hints
from wsrl.problems.columns import Column
from wsrl.problems.packed import PackedRNNs
from wsrl.resources import check_fits
from wsrl.rnn import RNNSpec, RNNWeights, run_population
from wsrl.rnn.formats import Reading
from wsrl.zoos.folder import check_collection
from wsrl.zoos.making import Making, make_zoos
from wsrl.zoos.manifest import Manifest
from wsrl.zoos.packing.inputs import Given, Inputs, make_inputs
from wsrl.zoos.packing.labels import Labels, make_labels
from wsrl.zoos.packing.models import Group, Model, Models, find_models, survey_models
from wsrl.zoos.packing.table import Table
from wsrl.zoos.settings import folder_name
from wsrl.zoos.shards import write_finished
from wsrl.zoos.soundness import failed_runs
from wsrl.zoos.tensors import digest

_SHARD_BYTES = 1 << 27
_CHUNK = 1 << 24  # numbers of a layer that are computed at once


def pack_zoo(
    models: str | Path | Iterable[Model | tuple[str, Model]],
    out: str | Path,
    output_kind: str,
    inputs: str | Path | Given,
    table: str | Path | Table | None = None,
    *,
    length: int | None = None,
    sequences_stored: int | None = None,
    seed: int = 0,
    file_column: str = "file",
    categorical: Collection[str] = (),
    real: Collection[str] = (),
    angle: Collection[str] = (),
    leave_out: Collection[str] = (),
    run: str | None = None,
    step: str | None = None,
    performance: str | None = None,
    task: Sequence[str] = (),
    separator: str | None = None,
    decimal: str | None = None,
    shard_rows: int = 256,
    cell: str | None = None,
    reference: str | None = None,
    ignore: Sequence[str] = (),
    said: Mapping[str, Any] | None = None,
    workers: int = 1,
    cluster: str | None = None,
    say: Callable[[str], object] = warnings.warn,
) -> list[Manifest]:
    """Make a zoo of a user's RNNs, or go on with one whose making was interrupted.

    The RNNs are ``nn.LSTM``, ``nn.GRU`` or ``nn.RNN`` with one linear readout. Where they have
    several specs, those of each become a zoo in a folder of its own: one data set, which
    ``open_zoo`` opens by the folder of all. They are run on sequences, and their outputs are stored
    with them. Every column of the table without a meaning of its own becomes a target that can be
    predicted: numbers a real one, everything else a class. A column of which most entries are
    numbers, but not all, is refused until ``categorical`` or ``real`` says what it is; so is a
    column with a missing entry (empty, ``NA``, ``none``, ...). RNNs with parameters that are not
    finite are counted as failed, and with them their runs.

    Args:
        models: a folder with state dicts in it or in folders below (``*.pt``, ``*.pth``,
            ``*.safetensors`` that are not hidden; in the order of their names, such as
            ``seed0/model.pt``, read a shard at a time), or state dicts, modules, ``RNNWeights`` of
            one or ``(name, any of these)`` pairs (held in memory as flat vectors). A module is run
            and compared with the weights that were read (``RNNWeights.from_module``).
        out: the zoo's folder, or that of all zoos; new, empty, or holding these very zoos.
        output_kind: ``categorical`` (the readout's values are logits) or ``real``.
        inputs: what the RNNs are run on. Drawn for each of them: ``normal`` (standard),
            ``uniform`` (0 to 1) or ``one_hot`` (tokens, all as likely). Or given, as values or a
            ``.npy`` or ``.safetensors`` file: ``(S, T, I)`` for all RNNs, or ``(n, S, T, I)``.
        table: what is known of the RNNs: a file of separated columns (``.csv``, ``.tsv``,
            ``.txt``; UTF-8 or UTF-16), a Parquet file (needs pyarrow), a DataFrame, or values by
            column. Columns without any value are left out, and so is an index without a name. With
            no table, only the zoo's outputs can be learnt.
        length: steps ``T`` of drawn sequences.
        sequences_stored: drawn sequences ``S`` of every RNN; 100 by default.
        seed: of drawn sequences.
        file_column: the column that names the files (or the models, where these have names), with
            or without suffix; paths that end in these names will do.
        categorical: columns that are classes, whatever they hold; ``NA`` and its like are then
            classes of these names.
        real: columns that are numbers, even where they are strings or have leading zeros.
        angle: columns that are angles in degrees, where 360 is 0.
        leave_out: columns that are left out.
        run: the column of the training run that an RNN is a snapshot of; by default ``run`` if
            there is one, else every RNN is a run of its own.
        step: the column of the training step; by default ``step`` if there is one, else all are 0.
        performance: the column of the performance; by default ``performance`` if there is one.
        task: the columns that make up a task, by which the zoo is split; by default every run is
            a task of its own. If the first is numeric, its largest values are out of distribution.
        separator: of the columns of a text file; by default the one of comma, semicolon, tab and
            ``|`` that splits the first line into the most parts.
        decimal: the decimal sign in a text file, ``.`` or ``,``; by default a comma where commas do
            not separate columns and a column's numbers have no other sense.
        shard_rows: RNNs of a shard, at most.
        cell: of the RNNs; needed for state dicts of an ``nn.RNN``, which do not say whether it is
            ``tanh``.
        reference: the name of a file beside each model's, with outputs to compare with, as
            ``wsrl.read_rnn`` takes it; ``{stem}`` in it is the model's file name without ending.
        ignore: keys of the files, or modules, that are no part of the RNNs.
        said: more that the files do not say, as ``wsrl.read_rnn`` takes it.
        workers: processes that pack shards at once. The zoo is the same for any number.
        cluster: have a Dask cluster pack the shards, as of ``build_zoo``. All its machines must see
            the folders of the zoo and of the models, and a file of sequences.
        say: told which columns are left out, and from which nothing can be learned.

    Returns:
        The manifest of the finished zoo, or those of several.

    Raises:
        ValueError: for models, a table or sequences that do not fit, naming what does not.
        ZooError: where the folder holds something else, or a file of the zoo is damaged.
        ImportError: for a Parquet table where pyarrow is not installed.
    """
    if shard_rows < 1:
        raise ValueError(f"shard_rows must be at least 1, not {shard_rows}")
    hints = Hints(cell, reference, list(ignore), dict(said or {}))
    found = find_models(models, hints)
    labels = make_labels(
        table,
        found,
        say,
        file_column=file_column,
        kinds={"categorical": categorical, "real": real, "angle": angle},
        meanings={"run": run, "step": step, "performance": performance},
        task=task,
        leave_out=leave_out,
        separator=separator,
        decimal=decimal,
    )
    assumed: list[str] = []  # said when nothing is refused any more
    groups, finite = survey_models(found, assumed.append)
    shape = groups[0].spec.interface
    sequences = make_inputs(inputs, found.names, shape.input_size, sequences_stored, length, seed)
    values = sequences.count * sequences.length * (shape.input_size + shape.output_size)
    check_fits(
        f"each of {len(found.names)} RNNs with {sequences.count} sequences of length "
        f"{sequences.length}",
        4 * values,
        "choose a smaller length, or fewer sequences_stored",
    )
    problem = PackedRNNs(
        input_size=shape.input_size,
        output_size=shape.output_size,
        output_kind=output_kind,
        length=sequences.length,
        sequences_stored=sequences.count,
        inputs=sequences.kind,
        properties=labels.properties,
        task=task,
        performance=labels.performance,
    )
    folders = _folders(Path(out), [group.spec for group in groups])
    if len(groups) > 1:
        check_collection(Path(out))
    for text in assumed:
        say(text)
    if len(groups) > 1:
        say(f"RNNs of {len(groups)} specs, a zoo for each: {', '.join(f.name for f in folders)}")
    makings = [
        _making(folder, group, found, labels, finite, sequences, problem, shard_rows)
        for folder, group in zip(folders, groups, strict=True)
    ]
    return make_zoos(makings, workers=workers, cluster=cluster, quiet=True)


def _folders(out: Path, specs: Sequence[RNNSpec]) -> list[Path]:
    """Return the folder of each zoo: ``out`` for one alone, else folders in it."""
    if len(specs) == 1:
        return [out]
    with_layers = len({spec.num_layers for spec in specs}) > 1
    names: list[str] = []
    for spec in specs:
        name = folder_name(spec.cell, spec.hidden_size, spec.num_layers if with_layers else None)
        alike = sum(other == name or other.startswith(f"{name}-v") for other in names)
        names.append(f"{name}-v{alike + 1}" if alike else name)  # as of other readouts
    return [out / name for name in names]


def _making(
    folder: Path,
    group: Group,
    found: Models,
    labels: Labels,
    finite: Tensor,
    sequences: Inputs,
    problem: PackedRNNs,
    shard_rows: int,
) -> Making:
    """Say how the zoo of one spec is made."""
    spec, rows = group.spec, torch.tensor(group.rows)
    names = [found.names[row] for row in group.rows]
    columns = {name: column[rows] for name, column in labels.columns.items()}
    stored = sequences.count * sequences.length * (spec.input_size + spec.output_size)
    size = min(shard_rows, max(1, _SHARD_BYTES // (4 * (stored + spec.num_parameters))))
    build = {
        "runs": len(columns["run"].unique()),
        "snapshots": columns["step"].unique().tolist(),
        "shard_rows": size,
    }
    source: dict[str, Any] = {
        "models_sha256": group.sha256,
        "labels_sha256": digest(columns, {}),
        **sequences.source,
        "run_names": labels.runs,
    }
    if labels.runs != names:
        source["names"] = names
    task = columns["task"]
    manifest = Manifest.of(
        problem,
        spec,
        build,
        problem.columns()
        | {"task": Column("F64" if task.is_floating_point() else "I64", (task.shape[1],))},
        origin="packed",
        source=source,
        failed=failed_runs(finite[rows], columns),
    )
    known = {name: column.numpy() for name, column in columns.items()}
    shards = []
    for start in range(0, len(names), size):
        part = slice(start, start + size)
        own = group.rows[part]
        read = [found.read[row] for row in own]
        some = {name: column[part] for name, column in known.items()}
        shards.append((names[part], read, sequences.of(own), some))
    return Making(folder, manifest, [len(own) for own, *_ in shards], pack_shard, shards)


def pack_shard(
    folder: Path,
    index: int,
    names: Sequence[str],
    models: Sequence[Callable[[], Reading]],
    inputs: Callable[[], Tensor],
    labels: Mapping[str, NDArray[Any]],
) -> None:
    """Write one shard: labels, weights, sequences, and the outputs on them."""
    weights = RNNWeights.cat([read().weights.to(dtype=torch.float32) for read in models])
    sequences = inputs().expand(len(names), -1, -1, -1)
    outputs = _outputs(weights, sequences)
    wrong = weights.flat.isfinite().all(1) & ~outputs.isfinite().flatten(1).all(1)
    if wrong.any():
        name = names[int(wrong.nonzero()[0])]
        raise ValueError(f"the outputs of {name} are not finite, although its parameters are")
    columns = {name: torch.from_numpy(label) for name, label in labels.items()}
    columns |= {"weights": weights.flat, "sequences": sequences, "outputs": outputs}
    write_finished(folder, index, columns, {}, [])


@torch.no_grad()
def _outputs(weights: RNNWeights, sequences: Tensor) -> Tensor:
    """Run ``n`` RNNs on ``(n, S, T, I)``, some at a time: ``(n, S, T, O)``."""
    layer = weights.spec.gates * weights.spec.hidden_size
    rows = max(1, _CHUNK // (math.prod(sequences.shape[1:3]) * layer))
    parts = [
        run_population(weights[start : start + rows], sequences[start : start + rows])[0]
        for start in range(0, len(weights), rows)
    ]
    return torch.cat(parts)
