"""Files of embeddings as tables: a row for each RNN, with its properties."""

import io
import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsrl.problems import Target
from wsrl.zoos import AnyZoo
from wsrl.zoos.files import write_atomically
from wsrl.zoos.tensors import read_metadata, read_tensors, write_tensors

SUFFIXES = (".safetensors", ".parquet", ".csv")

_AS_THEY_ARE = ("row", "run", "step", "performance")

SPEC_COLUMNS = ("cell", "hidden_size", "num_layers")
"""What is said of an RNN's spec."""


def check_suffix(path: Path) -> None:
    """Check that embeddings can be written to a path, before any work."""
    if path.suffix not in SUFFIXES:
        raise ValueError(f"embeddings are written to a file {', '.join(SUFFIXES)}, not {path}")
    if path.suffix == ".parquet" and find_spec("pyarrow") is None:
        raise ImportError(f"to write {path}, install pyarrow (pip install pyarrow)")


def read_embeddings(path: str | Path) -> pd.DataFrame:
    """Read what ``wsrl predict`` wrote.

    Columns are ``row`` (in the zoo, or in all zoos one after the other), ``split``, ``name`` (of
    the file, in a packed zoo), ``run``, ``step``, ``task``, ``performance``, ``cell``,
    ``hidden_size``, ``num_layers``, the properties of the zoo by name, ``predicted_<target>`` of a
    prediction, what else its kind keeps (``predicted_<target>_low``), and ``embedding_0``,
    ``embedding_1``, ... A property whose name is taken is called ``property.<name>``. A column of
    several parts is several columns, ``_0``, ``_1``, ... CSV has no types: there, what is written
    in digits is a number.

    Returns:
        A row for every RNN of every split.

    Raises:
        ValueError: for a file that holds no embeddings.
        ImportError: for a Parquet file where pyarrow is not installed.
    """
    path = Path(path)
    if not path.is_file() or path.suffix not in SUFFIXES:
        raise ValueError(f"no file of embeddings ({', '.join(SUFFIXES)}) at {path}")
    if path.suffix == ".safetensors":
        tensors, metadata = read_tensors(path), read_metadata(path)
    try:
        if path.suffix == ".safetensors":
            return _from_tensors(tensors, metadata)
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        text = dict.fromkeys(("split", "name", "task", "cell"), str)
        # Python's engine alone reads all digits of a number.
        frame = pd.read_csv(
            path, dtype=text, engine="python", keep_default_na=False, na_values=[""]
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path} holds no embeddings: {reason}") from error
    embedding = frame.columns[frame.columns.str.startswith("embedding_")]
    return frame.astype(dict.fromkeys(embedding, np.float32))


def write_embeddings(
    path: Path,
    tensors: Mapping[str, Tensor],
    splits: Sequence[str],
    source: Mapping[str, Any],
    zoo: AnyZoo,
    target: str | None = None,
) -> None:
    """Write embeddings in the format of the path's suffix.

    ``tensors`` are columns ``(n, ...)``: those of ``ZooBatch.labels``, ``split``, ``embedding``,
    and ``prediction`` of the ``target`` where there is one, with what else its kind keeps.
    ``source`` is metadata, which only safetensors has.
    """
    labels = _labels(tensors, splits, zoo, target)
    if path.suffix == ".safetensors":
        columns: dict[str, list[Any] | None] = {}
        held = dict(tensors)
        for name in map(str, labels):
            column, columns[name] = labels[name], None
            if name in (*_AS_THEY_ARE, "split"):
                continue
            values = column.to_numpy()
            if not pd.api.types.is_numeric_dtype(column) or column.dtype == bool:
                values, known = pd.factorize(column)
                columns[name] = known.tolist()
            held[f"column.{name}"] = torch.from_numpy(values.copy())
        write_tensors(path, held, {**source, "splits": list(splits), "columns": columns})
        return
    frame, content = _with_embeddings([labels], tensors), io.BytesIO()
    write = frame.to_parquet if path.suffix == ".parquet" else frame.to_csv
    write(content, index=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content.getvalue())


def _labels(
    tensors: Mapping[str, Tensor], splits: Sequence[str], zoo: AnyZoo, target: str | None
) -> pd.DataFrame:
    """Return the properties and predictions of every RNN."""
    rows = tensors["row"]
    known = {name: tensors[name].numpy() for name in _AS_THEY_ARE}
    known["split"] = np.array([splits[index] for index in tensors["split"].tolist()])
    known["name"] = np.array(zoo.names(rows))
    known["task"] = np.array([zoo.problem.task_name(task) for task in tensors["task"].tolist()])
    specs = zoo.spec_of(rows)
    known |= {name: np.array([getattr(spec, name) for spec in specs]) for name in SPEC_COLUMNS}
    order = ["row", "split", "name", "run", "step", "task", "performance", *SPEC_COLUMNS]
    found = [pd.DataFrame(known)[order]]
    targets = zoo.targets
    for name, each in targets.items():
        if name in ("step", "performance"):
            continue
        column = zoo.read(each.column, rows).reshape(len(rows), -1)
        values = column[:, each.first : each.first + each.parts]  # in the zoo's precision
        if each.kind == "classes":
            values = each.of({each.column: column})
        taken = name in order or re.match(r"embedding_|predicted_|property\.", name)
        found.append(_parts(f"property.{name}" if taken else name, _decoded(each, values)))
    if "prediction" in tensors and target in targets:
        predicted = _decoded(targets[target], tensors["prediction"])
        found.append(_parts(f"predicted_{target}", predicted))
        found += [
            _parts(f"predicted_{target}_{name}", column.reshape(len(rows), -1))
            for name, column in tensors.items()
            if name not in (*known, "prediction", "embedding")  # but of the kind of target
        ]
    return pd.concat(found, axis=1)


def _decoded(target: Target, values: Tensor) -> NDArray[Any]:
    """Return classes by their names, and other values as they are, ``(n, parts)``."""
    if not target.values:
        return values.numpy()
    names = list(target.labels or target.values)
    if len({type(name) for name in names}) > 1:
        names = [str(name) for name in names]
    named: NDArray[Any] = np.array(names)[values.numpy()]
    return named


def _parts(name: str, values: Any) -> pd.DataFrame:
    """Return ``(n, parts)`` as columns."""
    values = np.asarray(values)
    single = values.shape[1] == 1 and name != "embedding"
    names = [name] if single else [f"{name}_{part}" for part in range(values.shape[1])]
    return pd.DataFrame(values, columns=names)


def _from_tensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> pd.DataFrame:
    if len({len(t) for t in tensors.values()}) > 1 or any(t.is_complex() for t in tensors.values()):
        raise ValueError("expected real numbers, a row for each RNN")
    columns = metadata.get("columns")
    if columns is None:  # written before there were names
        columns = dict.fromkeys(name for name in tensors if name != "embedding")
    found = []
    for name, known in columns.items():
        values = tensors[f"column.{name}" if f"column.{name}" in tensors else name].numpy()
        if name == "split":
            known = metadata["splits"]
        values = values if known is None else np.array(known)[values]
        found.append(_parts(name, values.reshape(len(values), -1)))
    return _with_embeddings(found, tensors)


def _with_embeddings(labels: Sequence[pd.DataFrame], tensors: Mapping[str, Tensor]) -> pd.DataFrame:
    embedding = tensors.get("embedding")  # other packages' tasks may write none
    found = [] if embedding is None else [_parts("embedding", embedding)]
    return pd.concat([*labels, *found], axis=1)
