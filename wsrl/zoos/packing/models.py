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

from wsrl.hints import Hints
from wsrl.rnn import RNNSpec, RNNWeights
from wsrl.rnn.formats import (
    AGREES,
    Reading,
    Reference,
    content_of,
    read,
    read_content,
    read_weights,
)
from wsrl.rnn.modules import read_modules
from wsrl.zoos.packing.columns import some

Model: TypeAlias = Mapping[str, Tensor] | nn.Module | RNNWeights
"""A state dict, a module that is one ``nn.LSTM``, ``nn.GRU`` or ``nn.RNN`` and a readout, or the
weights of one RNN."""

OF_MODELS = (
    *(".pt", ".pth", ".ckpt", ".pth.tar", ".safetensors"),
    *(".keras", ".weights.h5", ".msgpack", ".eqx", ".onnx"),
)
SUFFIXES = (*OF_MODELS, ".npz", ".mat", ".h5", ".index")
"""Of files that are looked for in folders: the last four, which may be something else, where there
is no other. A file that is named may have any name."""


@dataclass(frozen=True)
class Models:
    """Models by name, in the order of the zoo's rows."""

    names: list[str]
    from_files: bool
    read: Sequence[Callable[[], Reading]]  # (1, N) each; another process can call it, too

    def __post_init__(self) -> None:
        if not self.names:
            raise ValueError("no models were given")
        if twice := [name for name, count in Counter(self.names).items() if count > 1]:
            raise ValueError(f"models of one name: {some(twice)}")
        if strange := [ascii(n) for n in self.names if n.encode("utf-8", "ignore").decode() != n]:
            raise ValueError(f"names of models that are no UTF-8: {some(strange)}. Rename them")


def find_models(
    models: str | Path | Iterable[Model | tuple[str, Model]], hints: Hints | None = None
) -> Models:
    """Find the models in a folder (by name), or take them as they come, with or without names.

    A folder's files are read when they are needed; other models are kept as flat vectors.
    """
    hints = hints or Hints()
    if isinstance(models, str | Path):
        folder = Path(models)
        if not folder.is_dir():
            raise ValueError(f"no folder of state dicts at {folder}")
        files = model_files(folder)
        references = {hints.beside(file).reference for file in files}
        files = [file for file in files if str(file) not in references]
        if not files:
            raise ValueError(f"no state dicts in {folder}: expected files *{', *'.join(SUFFIXES)}")
        if strange := [ascii(str(f.relative_to(folder))) for f in files if not f.is_file()]:
            raise ValueError(f"{folder} holds what is no regular file: {some(strange)}. Move it")
        names = [file.relative_to(folder).as_posix() for file in files]
        read = [partial(read_model, file, hints.beside(file)) for file in files]
        return Models(names, True, read)
    names, kept = [], []
    for position, item in enumerate(models):
        name, model = item if isinstance(item, tuple) else (position, item)
        names.append(str(name))
        weights = _named(names[-1], partial(read_model, model, hints)).weights
        kept.append(partial(_of_array, weights.flat.detach().float().numpy(), weights.spec))
    return Models(names, False, kept)


def model_files(folder: Path) -> list[Path]:
    """Return what may be models in a folder and below, by name, but what is hidden.

    macOS, for one, leaves ``._model.pt`` beside ``model.pt``. It may be no regular file.
    """
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.name.lower().endswith(SUFFIXES)
        and not any(part[0] == "." for part in path.relative_to(folder).parts)
        and not path.is_dir()
    )
    return [path for path in found if path.name.lower().endswith(OF_MODELS)] or found


def read_model(model: str | Path | Model, hints: Hints | None = None) -> Reading:
    """Return one model, ``(1, N)``, on the CPU and in its precision, and what was assumed.

    A ``ValueError`` of one line says why a file is none of an RNN with a readout, or that it is
    another one than the user says.
    """
    hints = hints or Hints()
    if isinstance(model, str | Path):
        return read(model, **vars(hints))
    reference = None if hints.reference is None else Reference.read(hints.reference)
    if isinstance(model, nn.Module | RNNWeights):
        weights = model if isinstance(model, RNNWeights) else read_modules([model])
        return read_weights(weights, reference=reference, cell=hints.cell)
    _check_state_dict(model)
    options: dict[str, Any] = vars(hints) | {"reference": reference}
    return read_content(content_of(model, "memory"), **options)


_TOLD = 8  # notes of what was assumed


@dataclass
class Group:
    """The models of one spec."""

    spec: RNNSpec
    rows: list[int]  # which of all models they are
    sha256: str = ""


def survey_models(models: Models, say: Callable[[str], object]) -> tuple[list[Group], Tensor]:
    """Read every model once: return those of each spec, and which of all are finite ``(n,)``.

    ``say`` is told what was assumed of files, and which models are not finite. A ``ValueError``
    names models with other inputs or outputs than the first has, and those of a spec of which none
    is finite.
    """
    groups: dict[RNNSpec, Group] = {}
    digests, finite = defaultdict[RNNSpec, Any](hashlib.sha256), []
    assumed: Counter[str] = Counter()
    for row, (name, read_one) in enumerate(zip(models.names, models.read, strict=True)):
        weights, notes = read_one()
        weights = weights.to(dtype=torch.float32)
        assumed.update(AGREES if note.startswith(AGREES) else note for note in notes)
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
    failed = [name for name, good in zip(models.names, finite, strict=True) if not good]
    for spec, group in groups.items():
        group.sha256 = digests[spec].hexdigest()
        if not any(finite[row] for row in group.rows):
            names = some([models.names[row] for row in group.rows])
            raise ValueError(
                f"every model ({spec}) has parameters that are not finite: leave out {names}"
            )
    if failed:
        say(f"parameters that are not finite, counted as failed and left out: {some(failed)}")
    if assumed:
        count = len(models.names)
        told = [
            text if found == count else f"{text} ({found} of {count})"
            for text, found in assumed.most_common(_TOLD)
        ]
        more = f"; and {len(assumed) - _TOLD} notes more" if len(assumed) > _TOLD else ""
        say(f"taken for granted of the files: {'; '.join(told)}{more}")
    return list(groups.values()), torch.tensor(finite)


def _of_array(flat: NDArray[Any], spec: RNNSpec) -> Reading:
    """Return weights of an array: PyTorch would send the whole tensor of which it is a part."""
    return Reading(RNNWeights(torch.from_numpy(flat), spec), ())


def _named(name: str, read: Callable[[], Reading]) -> Reading:
    try:
        return read()
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _check_state_dict(model: Any) -> None:
    if not isinstance(model, Mapping):
        kind = type(model).__name__
        raise ValueError(f"expected a state dict, an nn.Module or RNNWeights, not a {kind}")
