"""A user's models, read one by one: from files, or out of memory."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from wsrl.rnn import RNNSpec, RNNWeights, weights_from_state_dict
from wsrl.torch_files import read_torch_file
from wsrl.zoos.tensors import read_tensors

Model: TypeAlias = Mapping[str, Tensor] | nn.Module
"""A state dict, or a module that holds one ``nn.LSTM``, ``nn.GRU`` or ``nn.RNN`` and a readout."""

SUFFIXES = (".pt", ".pth", ".safetensors")


@dataclass(frozen=True)
class Models:
    """Models by name, in the order of the zoo's rows.

    Attributes:
        names: of each.
        from_files: whether the names are those of files.
        read: returns the model at a position, ``(1, N)`` float32.
    """

    names: list[str]
    from_files: bool
    read: Callable[[int], RNNWeights]

    def rows(self, rows: Iterable[int]) -> RNNWeights:
        """Return several models."""
        return RNNWeights.cat([self.read(row) for row in rows])


@dataclass(frozen=True)
class Survey:
    """What a first look at all models finds.

    Attributes:
        spec: of all.
        finite: ``(n,)``, whether all parameters of each are finite.
        digest: SHA-256 of names and parameters.
    """

    spec: RNNSpec
    finite: Tensor
    digest: str


def find_models(models: str | Path | Iterable[Model | tuple[str, Model]]) -> Models:
    """Find the models in a folder (by name), or take them as they come.

    A folder's files are read when they are needed; other models are kept as flat vectors.

    Raises:
        ValueError: where there are none, two have one name, or one is no such model.
    """
    if isinstance(models, str | Path):
        return _in_folder(Path(models))
    names, flat = [], []
    for position, item in enumerate(models):
        name, model = item if isinstance(item, tuple) else (position, item)
        name = str(name)
        names.append(name)
        flat.append(_named(name, partial(as_weights, model)).to("cpu", torch.float32))
    if not names:
        raise ValueError("no models were given")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"models of one name: {', '.join(twice)}")
    return Models(names, False, flat.__getitem__)


def read_model(file: Path, cell: str | None = None) -> RNNWeights:
    """Return the model of one file, ``(1, N)``, on the CPU and in the file's precision.

    Args:
        file: a state dict: ``.pt``, ``.pth`` (read with ``weights_only=True``) or ``.safetensors``.
        cell: where it is known; a state dict does not tell a linear RNN from one with tanh.

    Raises:
        ValueError: where it is no state dict of an RNN with a readout, or of another cell.
    """
    if file.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{file}: expected a state dict, *{', *'.join(SUFFIXES)}")
    if not file.is_file():
        raise ValueError(f"no file at {file}")
    return _named(str(file), partial(_read, file, cell))


def survey_models(models: Models) -> Survey:
    """Read every model once.

    Raises:
        ValueError: naming the first that is no RNN with a readout, or of another spec.
    """
    digest, finite = hashlib.sha256(), []
    spec = models.read(0).spec
    for row, name in enumerate(models.names):
        weights = models.read(row)
        if weights.spec != spec:
            raise ValueError(
                f"the RNNs of a zoo have one spec: {models.names[0]} is {spec}, "
                f"but {name} is {weights.spec}"
            )
        digest.update(name.encode())
        digest.update(weights.flat.numpy().tobytes())
        finite.append(bool(weights.flat.isfinite().all()))
    return Survey(spec, torch.tensor(finite), digest.hexdigest())


def _in_folder(folder: Path) -> Models:
    if not folder.is_dir():
        raise ValueError(f"no folder of state dicts at {folder}")
    found = [file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES]
    files = sorted(file for file in found if file.is_file())
    if not files:
        raise ValueError(f"no state dicts in {folder}: expected files *{', *'.join(SUFFIXES)}")
    names = [file.name for file in files]
    return Models(names, True, lambda row: read_model(files[row]).to("cpu", torch.float32))


def _named(name: str, read: Callable[[], RNNWeights]) -> RNNWeights:
    try:
        return read()
    except ValueError as error:
        named = str(error).startswith(f"{name} ")  # some errors name the file themselves
        raise ValueError(str(error) if named else f"{name}: {error}") from error


def _read(file: Path, cell: str | None = None) -> RNNWeights:
    if file.suffix.lower() == ".safetensors":
        return as_weights(read_tensors(file), cell)
    try:
        content = read_torch_file(file, "a state dict")
    except ValueError as error:
        raise ValueError(
            f"{error}. A state dict is written with torch.save(model.state_dict(), path)"
        ) from error
    return as_weights(content, cell)


def as_weights(model: Any, cell: str | None = None) -> RNNWeights:
    """Return one model out of memory, ``(1, N)``, on the CPU and in its precision.

    Args:
        model: a state dict or a module.
        cell: as of ``read_model``; a module says itself.

    Raises:
        ValueError: where it is no RNN with a readout.
    """
    if isinstance(model, nn.Module):
        weights = RNNWeights.from_module(model)
    else:
        _check_state_dict(model)
        weights = weights_from_state_dict(model, cell)
    return weights.to("cpu")


def _check_state_dict(model: Any) -> None:
    if not isinstance(model, Mapping):
        raise ValueError(f"expected a state dict or an nn.Module, not a {type(model).__name__}")
    if other := [str(key) for key, value in model.items() if not isinstance(value, Tensor)]:
        raise ValueError(
            f"no state dict, which holds tensors alone: {_some(other)} is something else. Of a "
            "training checkpoint, save the model's state_dict() on its own"
        )
    if unnamed := [repr(key) for key in model if not isinstance(key, str)]:
        raise ValueError(f"no state dict, whose keys are names: {_some(unnamed)}")
    if empty := [
        key for key, value in model.items() if value.is_meta or value.layout != torch.strided
    ]:
        raise ValueError(f"weights must be dense tensors that hold numbers: {_some(empty)}")


def _some(names: Sequence[str], count: int = 5) -> str:
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more
