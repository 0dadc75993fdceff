"""What a manifest says, checked before anything relies on it: a zoo may be from anybody.

Everything here raises a plain ``ValueError``; who reads the file adds its name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import torch

from wsrl.rnn import RNNSpec
from wsrl.validation import short as _short
from wsrl.zoos.settings import BuildSettings

DTYPES = {
    "F16": torch.float16,
    "F32": torch.float32,
    "F64": torch.float64,
    "I16": torch.int16,
    "I64": torch.int64,
}
"""What a column can hold, by safetensors' names."""

_LIMIT = 1 << 63
_SHARD = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,200}\.safetensors")
_RUN = re.compile(r"0|[1-9][0-9]{0,17}")
_TYPES: dict[str, type] = {
    "problem": str,
    "problem_settings": dict,
    "spec": dict,
    "build": dict,
    "columns": dict,
    "versions": dict,
    "shards": list,
    "failed": dict,
    "origin": str,
    "source": dict,
    "complete": bool,
    "snapshot_updates": str,
    "schema": int,
}
_OWN = {"weights", "run", "step", "task", "performance", "sequences", "outputs"}


def check_manifest(content: Mapping[str, Any]) -> None:
    """Check the kinds and the ranges of all that a manifest says, and that it fits together.

    Args:
        content: the JSON object, without its checksum.

    Raises:
        ValueError: saying what is wrong.
    """
    for name, kind in _TYPES.items():
        if name not in content and name not in ("schema", "snapshot_updates", "origin", "source"):
            raise ValueError(f"it has no {name!r}")
        if name in content and type(content[name]) is not kind:
            raise ValueError(f"{name} must be a {kind.__name__}, not {_short(content[name])}")
    for package, version in content["versions"].items():
        if not isinstance(version, str):
            raise ValueError(f"version of {_short(package)}: expected text, not {_short(version)}")
    if content.get("schema", 1) < 1:
        raise ValueError(f"schema must be at least 1, not {content['schema']}")
    if content.get("origin", "built") not in ("built", "official", "packed"):
        raise ValueError(
            f"origin must be built, official or packed, not {_short(content['origin'])}"
        )
    if content.get("snapshot_updates", "n") not in ("n", "n + 1"):
        raise ValueError(
            f"snapshot_updates is n or n + 1, not {_short(content['snapshot_updates'])}"
        )
    check_entries(content["shards"])
    _check_columns(content["columns"])
    _check_spec(RNNSpec(**content["spec"]), content["columns"])
    _check_build(content)
    _check_failed(content["failed"], content["build"]["runs"])


def check_entries(shards: Sequence[Any]) -> None:
    """Check what is said of shards.

    Raises:
        ValueError: saying what is wrong.
    """
    for shard in shards:
        if not isinstance(shard, dict) or shard.keys() != {"file", "rows", "bytes", "sha256"}:
            raise ValueError(f"a shard needs file, rows, bytes and sha256: {_short(shard)}")
        if not isinstance(shard["file"], str) or not _SHARD.fullmatch(shard["file"]):
            raise ValueError(f"a shard outside of its folder, or no shard: {_short(shard['file'])}")
        _check_number("rows of a shard", shard["rows"], 1)
        _check_number("bytes of a shard", shard["bytes"], 1)
        if not isinstance(shard["sha256"], str) or len(shard["sha256"]) != 64:
            raise ValueError(f"a SHA-256 has 64 digits: {_short(shard['sha256'])}")
    if len({shard["file"] for shard in shards}) < len(shards):
        raise ValueError("it lists one shard twice")


def _check_columns(columns: Mapping[str, Any]) -> None:
    for name, column in columns.items():
        if not isinstance(column, dict) or column.keys() != {"dtype", "shape"}:
            raise ValueError(f"column {_short(name)} needs dtype and shape: {_short(column)}")
        if not isinstance(column["dtype"], str) or column["dtype"] not in DTYPES:
            raise ValueError(
                f"column {_short(name)} is of unknown dtype {_short(column['dtype'])}; known: "
                f"{', '.join(DTYPES)}"
            )
        if not isinstance(column["shape"], list) or len(column["shape"]) > 8:
            raise ValueError(f"shape of column {_short(name)}: {_short(column['shape'])}")
        for size in column["shape"]:
            _check_number(f"a size of column {_short(name)}", size, 1)
    if lacking := sorted(_OWN - columns.keys()):
        raise ValueError(f"it has no columns {', '.join(lacking)}")
    for name in ("run", "step"):
        if columns[name] != {"dtype": "I64", "shape": []}:
            raise ValueError(f"column {name} must hold one I64 a row, not {columns[name]}")


def _check_spec(spec: RNNSpec, columns: Mapping[str, Any]) -> None:
    """Check that the columns are of such RNNs."""
    wanted = {"dtype": "F32", "shape": [spec.num_parameters]}
    if columns["weights"] != wanted:
        raise ValueError(f"column weights is {columns['weights']}, but RNNs ({spec}) need {wanted}")
    sequences, outputs = (columns[name]["shape"] for name in ("sequences", "outputs"))
    if len(sequences) < 2 or len(outputs) != 3 or sequences[0] != outputs[0]:
        raise ValueError(f"columns sequences {sequences} and outputs {outputs} do not fit together")
    if outputs[-1] != spec.output_size:
        raise ValueError(f"column outputs is {outputs}, but the RNNs are ({spec})")


def _check_build(content: Mapping[str, Any]) -> None:
    """Check runs and snapshots, and of a finished zoo that so many are there."""
    build, rows = content["build"], sum(shard["rows"] for shard in content["shards"])
    for name in ("runs", "snapshots"):
        if name not in build:
            raise ValueError(f"build has no {name!r}")
    _check_number("runs", build["runs"], 1)
    steps = build["snapshots"]
    if not isinstance(steps, list) or not steps:
        raise ValueError(f"snapshots must be a list of steps, not {_short(steps)}")
    for step in steps:
        _check_number("a step of snapshots", step, 0)
    if steps != sorted(set(steps)):
        raise ValueError(f"snapshots must ascend: {_short(steps)}")
    count, built = len(steps), content.get("origin", "built") == "built"
    if built:
        known = {one.name: build[one.name] for one in fields(BuildSettings) if one.name in build}
        BuildSettings(**known)
        spec = content["spec"]
        if other := [name for name in spec.keys() & build.keys() if spec[name] != build[name]]:
            raise ValueError(f"build and spec differ in {', '.join(sorted(other))}")
    if content["complete"] and built and rows != build["runs"] * count:
        raise ValueError(
            f"its shards hold {rows} rows: expected {build['runs']} runs x {count} snapshots"
        )
    if content["complete"] and not rows:
        raise ValueError("it is complete, but lists no shards")
    if content["complete"] and max(build["runs"], count) > rows:
        raise ValueError(f"{build['runs']} runs and {count} steps in {rows} rows")


def _check_failed(failed: Mapping[str, Any], runs: int) -> None:
    for run, step in failed.items():
        if not _RUN.fullmatch(run):
            raise ValueError(f"a failed run is named by its number, not {_short(run)}")
        _check_number(f"step at which run {run} failed", step, 0)
    if len(failed) > runs:
        raise ValueError(f"{len(failed)} of {runs} runs failed")


def _check_number(what: str, value: Any, least: int) -> None:
    if type(value) is not int or not least <= value < _LIMIT:  # nor a bool
        raise ValueError(f"{what} must be a whole number of at least {least}, not {_short(value)}")
