"""From a file to one RNN: candidates are found, and what is known of them settles which it is."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from wsrl.rnn.formats.choosing import allowed, choose
from wsrl.rnn.formats.containers import read_container
from wsrl.rnn.formats.content import (
    Candidate,
    Content,
    OpenChoiceError,
    Recogniser,
    Said,
    listed,
)
from wsrl.rnn.formats.equinox_cells import EQUINOX_CELLS
from wsrl.rnn.formats.flax_cells import FLAX_CELLS
from wsrl.rnn.formats.keras_layers import KERAS_LAYERS
from wsrl.rnn.formats.named_matrices import NAMED_MATRICES
from wsrl.rnn.formats.onnx_graph import ONNX_GRAPH
from wsrl.rnn.formats.projects import PROJECTS
from wsrl.rnn.formats.reference import Reference
from wsrl.rnn.formats.torch_modules import TORCH_MODULES
from wsrl.rnn.usable import check_finite, check_usable
from wsrl.rnn.weights import RNNWeights

RECOGNISERS: tuple[Recogniser, ...] = (
    NAMED_MATRICES,
    *PROJECTS,
    FLAX_CELLS,
    EQUINOX_CELLS,
    KERAS_LAYERS,
    ONNX_GRAPH,
    TORCH_MODULES,
)
"""Every origin that is known; the first that knows what a file holds reads it. Of those that read a
kind of file the last says what is wrong with one that nobody knows."""


FINAL = "output_activation"
"""An option of every file: what ends the RNN, which is recorded and not applied."""


class Reading(NamedTuple):
    """One RNN, and what was taken for granted.

    Attributes:
        weights: ``(1, N)``, on the CPU, float32 or, where the file has it, float64.
        notes: what the file does not say and was assumed, and what in it was not read.
    """

    weights: RNNWeights
    notes: tuple[str, ...]


def read_rnn(
    path: str | Path,
    *,
    reference: str | Path | None = None,
    cell: str | None = None,
    ignore: str | Iterable[str] = (),
    **said: Any,
) -> RNNWeights:
    """Read one RNN from a file of ``torch.save``, safetensors or another library.

    What the file is, its content says, not its name. Nothing in it is run. What a file does not say
    (tanh or ReLU, for one) is never guessed: the error names the option that settles it.

    Args:
        path: the file.
        reference: a safetensors file with ``inputs (S, T, I)`` and ``outputs (S, T, O)``, made by
            the RNN's own code before any last nonlinearity. The weights that were read must give
            the same outputs; where the file leaves something open, they settle it.
        cell: a registered cell (``list_cells``), with or without its options.
        ignore: keys (or one), or modules with all their keys, that are no part of the RNN.
        said: more that the file does not say, as ``docs/howto/files.md`` lists it.

    Returns:
        The weights ``(1, N)``.

    Raises:
        OSError: where there is no file, or it must not be read.
        OpenChoiceError: a ``ValueError``; the file can be several RNNs.
        ValueError: for a file that is damaged or holds no RNN that can be read, options that do not
            fit it, numbers that are not finite, outputs that differ from the reference's, or
            weights that ``check_usable`` refuses.

    >>> import tempfile, wsrl
    >>> model = torch.nn.ModuleDict({"rnn": torch.nn.GRU(3, 8), "fc": torch.nn.Linear(8, 2)})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     torch.save(model.state_dict(), f"{folder}/model.pt")
    ...     print(wsrl.read_rnn(f"{folder}/model.pt").spec)
    gru 1x8, 3 inputs, 2 outputs
    """
    weights = read(path, reference=reference, cell=cell, ignore=ignore, said=said).weights
    try:
        check_finite(weights)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return weights


def read(
    path: str | Path,
    *,
    reference: str | Path | None = None,
    cell: str | None = None,
    ignore: str | Iterable[str] = (),
    said: Said | None = None,
) -> Reading:
    """Read one RNN as ``read_rnn`` does, and return with it what was assumed."""
    content = read_container(path)
    known = None if reference is None else Reference.read(reference)
    try:
        return read_content(content, reference=known, cell=cell, ignore=ignore, said=said)
    except OpenChoiceError as error:
        raise error.of(str(path)) from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def read_content(
    content: Content,
    *,
    reference: Reference | None = None,
    cell: str | None = None,
    ignore: str | Iterable[str] = (),
    said: Said | None = None,
) -> Reading:
    """Read one RNN from what a file holds; raises as ``read_rnn``."""
    options = dict(said or {}) | ({} if cell is None else {"cell": cell})
    final = options.pop(FINAL, None)
    content = _without(content, (ignore,) if isinstance(ignore, str) else tuple(ignore))
    candidates = allowed(_candidates(content, options), options)
    chosen, notes = choose(candidates, reference, options)
    dtype = torch.float64 if chosen.weights.flat.dtype == torch.float64 else torch.float32
    spec = chosen.weights.spec
    spec = spec if final is None else replace(spec, output_activation=str(final))
    weights = RNNWeights(chosen.weights.flat.detach().to("cpu", dtype), spec)
    check_usable(weights)
    return Reading(weights, (*chosen.assumed, *notes, *content.notes))


def read_weights(
    weights: RNNWeights, *, reference: Reference | None = None, cell: str | None = None
) -> Reading:
    """Return the weights of one RNN, if they agree with what is known of it; or ``ValueError``."""
    if len(weights) != 1:
        raise ValueError(f"expected the weights of one RNN, not of {len(weights)}")
    given = [Candidate(weights.to("cpu"))]
    chosen, notes = choose(allowed(given, {} if cell is None else {"cell": cell}), reference, {})
    check_usable(chosen.weights)
    return Reading(chosen.weights, notes)


def _without(content: Content, ignore: tuple[str, ...]) -> Content:
    """Leave out the keys that are no part of the RNN; each must be there. Widen half precision."""
    left = dict(content.tensors)
    for name in ignore:
        keys = [
            key
            for key in content.tensors
            if key == name or key.startswith((f"{name}.", f"{name}/"))
        ]
        if not keys:
            raise ValueError(f"no key {name!r} to ignore; there are {listed(content.tensors)}")
        for key in keys:
            left.pop(key, None)
    wide = {
        key: value.float() if value.is_floating_point() and value.dtype.itemsize < 4 else value
        for key, value in left.items()
    }
    return replace(content, tensors=wide)


def _candidates(content: Content, said: Said) -> list[Candidate]:
    """Ask the recognisers of such files; check that what the user says means something to one."""
    reason = f"no RNN is known in files of {content.kind}"
    for recogniser in RECOGNISERS:
        if content.kind not in recogniser.kinds:
            continue
        found = _asked(recogniser, content, said)
        if isinstance(found, str):
            reason = found
            continue
        open_ones = {name for one in found for name in one.choices}
        options = {"cell", FINAL, *recogniser.options, *open_ones}
        if unknown := [name for name in said if name not in options]:
            raise ValueError(
                f"of this file cannot be said: {', '.join(unknown)}; what can be is "
                f"{', '.join(sorted(options))}"
            )
        return found
    hint = ". Of a leaky or an Elman RNN you can say which tensor is which: docs/howto/files.md"
    raise ValueError(reason + (hint if content.kind in NAMED_MATRICES.kinds else ""))


def _asked(recogniser: Recogniser, content: Content, said: Said) -> list[Candidate] | str:
    """Ask a recogniser. What it meets need not have the shapes and types of its origin."""
    try:
        return recogniser.find(content, said)
    except (RuntimeError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        line = (str(error).splitlines() or [""])[0][:200]
        raise ValueError(
            f"it looks like a file of {recogniser.name}, but its tensors or settings have other "
            f"shapes or types ({type(error).__name__}: {line})"
        ) from error
