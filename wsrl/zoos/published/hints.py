"""What a published zoo's RNNs are and were trained on, as far as it is found or given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from wsrl.problems import Problem, create_problem
from wsrl.rnn import RNNSpec
from wsrl.validation import check_arguments
from wsrl.zoos.manifest import ZooError
from wsrl.zoos.published.kinds import Kind
from wsrl.zoos.published.npy import Array

ARGUMENTS = "args.json"

SIZES = {"rnn_hidden_size": "hidden_size", "rnn_num_layers": "num_layers"}
"""Sizes of the RNNs: our name by that in ``args.json``."""

PUBLISHED_CELL = "lstm"
"""The cell of all published zoos; their files do not name it."""

_LAYERS = range(1, 5)  # tried where their number is not known


@dataclass(frozen=True)
class PublishedHints:
    """What cannot be found in a published zoo's files, or only in its ``args.json``.

    Args:
        hidden_size: neurons of a layer.
        num_layers: layers of the RNNs.
        max_n: languages: ``k`` goes up to ``max_n - 1``.
        min_difference: languages: the smallest difference that was drawn.
        max_difference: languages: the largest difference that was drawn.
        tile_size: images: pixels of a tile's side.
        source: images: where they are from, as ``wsrl zoo build`` names it.
        interpolation: images: how they were rotated.
    """

    hidden_size: int | None = None
    num_layers: int | None = None
    max_n: int | None = None
    min_difference: int | None = None
    max_difference: int | None = None
    tile_size: int | None = None
    source: str | None = None
    interpolation: str | None = None

    def over(self, arguments: Mapping[str, Any], kind: Kind) -> dict[str, Any]:
        """Return what these hints and ``args.json`` say, by our names, hints first.

        Raises:
            ValueError: for a hint that means nothing here, or a value of another type.
        """
        names = SIZES | kind.arguments
        said = {ours: arguments[name] for name, ours in names.items() if name in arguments}
        told = {name: value for name, value in asdict(self).items() if value is not None}
        if strange := sorted(told.keys() - names.values()):
            raise ZooError(
                f"options that a zoo of {kind.problem} does not have: {', '.join(strange)}"
            )
        check_arguments(PublishedHints, said | told)
        return {name: value for name, value in (said | told).items() if value is not None}


def make_problem(kind: Kind, arrays: Mapping[str, Array], given: Mapping[str, Any]) -> Problem:
    """Make the problem of a published zoo, as its arrays and what is given say.

    Raises:
        ZooError: where they do not fit, or something cannot be found.
    """
    try:
        problem = create_problem(kind.problem, kind.settings(arrays, given))
    except ZooError:
        raise
    except ValueError as error:
        raise ZooError(f"the arrays fit no {kind.problem}: {error}") from error
    settings = problem.settings()
    for theirs, ours in kind.arguments.items():
        if ours in given and given[ours] != settings[ours]:
            raise ZooError(
                f"{theirs} is {given[ours]!r} as given (args.json or an option), but the arrays "
                f"hold {settings[ours]!r}"
            )
    for name, column in (("sequences", "sequences"), ("logits", "outputs")):
        found_shape, wanted = arrays[name].shape[1:], problem.columns()[column].shape
        if found_shape != wanted:
            raise ZooError(
                f"{name}.npy holds rows of {found_shape}: expected {wanted}, for {kind.problem} of "
                f"{problem.input_size} inputs and {problem.output_size} outputs"
            )
    return problem


def find_specs(
    problem: Problem, length: int, hidden_size: int | None = None, num_layers: int | None = None
) -> list[RNNSpec]:
    """Return the specs of LSTMs with so many parameters.

    Args:
        problem: says how many inputs and outputs they have.
        length: how many parameters.
        hidden_size: neurons of a layer, where known.
        num_layers: layers, where known; else 1 to 4 are tried.

    Raises:
        ZooError: where there is none; it names those that come near.
    """
    specs = []
    for layers in _LAYERS if num_layers is None else [num_layers]:
        if hidden_size is not None:
            specs.append(problem.spec(PUBLISHED_CELL, hidden_size, layers))
            continue
        below = 1
        while problem.spec(PUBLISHED_CELL, below + 1, layers).num_parameters <= length:
            below += 1
        specs += [problem.spec(PUBLISHED_CELL, size, layers) for size in (below, below + 1)]
    found = [spec for spec in specs if spec.num_parameters == length]
    if not found:
        near = sorted(specs, key=lambda spec: abs(spec.num_parameters - length))[:3]
        raise ZooError(
            f"parameters.npy holds {length} parameters a snapshot, which fit no LSTM with "
            f"{problem.input_size} inputs and {problem.output_size} outputs"
            + (f", {num_layers} layers (as given or in args.json)" if num_layers else "")
            + (f", hidden size {hidden_size} (likewise)" if hidden_size else "")
            + ". Near are: "
            + "; ".join(f"{spec} with {spec.num_parameters}" for spec in near)
        )
    return found
