"""A user's models, read one by one: from files, or out of memory."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wsrl.rnn import RNNSpec, RNNWeights, read_state_dict
from wsrl.torch_files import read_torch_file
from wsrl.zoos.packing.columns import some
from wsrl.zoos.tensors import read_tensors

Model: TypeAlias = Mapping[str, Tensor] | nn.Module | RNNWeights
"""A state dict, a module that is one ``nn.LSTM``, ``nn.GRU`` or ``nn.RNN`` and a readout, or the
weights of one RNN."""

SUFFIXES = (".pt", ".pth", ".safetensors")


@dataclass(frozen=True)
class Models:
    """Models by name, in the order of the zoo's rows."""

    names: list[str]
    from_files: bool
    read: Sequence[Callable[[], RNNWeights]]  # (1, N) each; another process can call it, too

    def __post_init__(self) -> None:
        if not self.names:
            raise ValueError("no models were given")
        if twice := [name for name, count in Counter(self.names).items() if count > 1]:
            raise ValueError(f"models of one name: {some(twice)}")
        if strange := [ascii(n) for n in self.names if n.encode("utf-8", "ignore").decode() != n]:
            raise ValueError(f"names of models that are no UTF-8: {some(strange)}. Rename them")


def find_models(
    models: str | Path | Iterable[Model | tuple[str, Model]], cell: str | None = None
) -> Models:
    """Find the models in a folder (by name), or take them as they come, with or without names.

    A folder's files are read when they are needed; other models are kept as flat vectors.
    """
    if isinstance(models, str | Path):
        folder = Path(models)
        if not folder.is_dir():
            raise ValueError(f"no folder of state dicts at {folder}")
        files = model_files(folder)
        if not files:
            raise ValueError(f"no state dicts in {folder}: expected files *{', *'.join(SUFFIXES)}")
        if strange := [ascii(str(f.relative_to(folder))) for f in files if not f.is_file()]:
            raise ValueError(f"{folder} holds what is no regular file: {some(strange)}. Move it")
        names = [file.relative_to(folder).as_posix() for file in files]
        return Models(names, True, [partial(read_model, file, cell) for file in files])
    names, read = [], []
    for position, item in enumerate(models):
        name, model = item if isinstance(item, tuple) else (position, item)
        names.append(str(name))
        weights = _named(names[-1], partial(as_weights, model, cell))
        read.append(partial(_of_array, weights.flat.detach().float().numpy(), weights.spec))
    return Models(names, False, read)


def model_files(folder: Path) -> list[Path]:
    """Return what may be state dicts in a folder and below, by name, but what is hidden.

    macOS, for one, leaves ``._model.pt`` beside ``model.pt``. It may be no regular file.
    """
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part[0] == "." for part in path.relative_to(folder).parts)
        and not path.is_dir()
    )


def read_model(file: Path, cell: str | None = None) -> RNNWeights:
    """Return the model of one file, ``(1, N)``, on the CPU and in the file's precision.

    The file is a state dict. A ``cell`` is needed for an ``nn.RNN``: it does not say which it is. A
    ``ValueError`` of one line says that it is none of an RNN with a readout, or of another cell.
    """
    if file.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{file}: expected a state dict, *{', *'.join(SUFFIXES)}")
    if not file.is_file():
        raise ValueError(f"{file} is no regular file" if file.exists() else f"no file at {file}")
    kind = "a state dict, written by torch.save(model.state_dict(), path)"
    read: Callable[[Path], Any] = partial(read_torch_file, kind=kind)
    if file.suffix.lower() == ".safetensors":
        read = read_tensors
    return _named(str(file), lambda: as_weights(read(file), cell))


def as_weights(model: Any, cell: str | None = None) -> RNNWeights:
    """Return state dict, module or weights as weights ``(1, N)`` on the CPU, of the ``cell``."""
    if isinstance(model, nn.Module):
        weights = RNNWeights.from_module(model)
    elif isinstance(model, RNNWeights):
        if len(model) != 1:
            raise ValueError(f"expected the weights of one RNN, not of {len(model)}")
        weights = model
    else:
        _check_state_dict(model)
        weights = read_state_dict(model, cell)
    if cell is not None and weights.spec.cell != cell:
        raise ValueError(f"the cell is {weights.spec.cell}, not {cell!r}")
    return weights.to("cpu")


@dataclass
class Group:
    """The models of one spec."""

    spec: RNNSpec
    rows: list[int]  # which of all models they are
    sha256: str = ""


def survey_models(models: Models) -> tuple[list[Group], Tensor]:
    """Read every model once: return those of each spec, and which of all are finite ``(n,)``.

    Models with other inputs or outputs than the first has are a ``ValueError``.
    """
    groups: dict[RNNSpec, Group] = {}
    digests, finite = defaultdict[RNNSpec, Any](hashlib.sha256), []
    for row, (name, read) in enumerate(zip(models.names, models.read, strict=True)):
        weights = read().to(dtype=torch.float32)
        groups.setdefault(weights.spec, Group(weights.spec, [])).rows.append(row)
        first = next(iter(groups))
        if weights.spec.interface != first.interface:
            raise ValueError(
                f"RNNs of one data set have as many inputs and outputs: {models.names[0]} is "
                f"{first}, but {name} is {weights.spec}"
            )
        digests[weights.spec].update(name.encode())
        digests[weights.spec].update(weights.flat.numpy().tobytes())
        finite.append(bool(weights.flat.isfinite().all()))
    for spec, group in groups.items():
        group.sha256 = digests[spec].hexdigest()
    return list(groups.values()), torch.tensor(finite)


def _of_array(flat: NDArray[Any], spec: RNNSpec) -> RNNWeights:
    """Return weights of an array: PyTorch would send the whole tensor of which it is a part."""
    return RNNWeights(torch.from_numpy(flat), spec)


def _named(name: str, read: Callable[[], RNNWeights]) -> RNNWeights:
    try:
        return read()
    except ValueError as error:
        named = str(error).startswith(f"{name} ")  # some errors name the file themselves
        raise ValueError(str(error) if named else f"{name}: {error}") from error


def _check_state_dict(model: Any) -> None:
    if not isinstance(model, Mapping):
        kind = type(model).__name__
        raise ValueError(f"expected a state dict, an nn.Module or RNNWeights, not a {kind}")
    for key, value in model.items():
        if not isinstance(value, Tensor) or not isinstance(key, str):
            raise ValueError(
                f"no state dict, which holds tensors by name: {some([key])} is something else. Of "
                "a training checkpoint, save the model's state_dict() on its own"
            )
        if value.is_meta or value.layout != torch.strided:
            raise ValueError(f"weights must be dense tensors that hold numbers: {some([key])}")
