"""What a published zoo's RNNs are and were trained on, as far as it is found or given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from wsrl.problems import Problem, create_problem
from wsrl.rnn import RNNSpec
from wsrl.zoos.manifest import ZooError
from wsrl.zoos.npy import Array
from wsrl.zoos.official_kinds import Kind

ARGUMENTS = "args.json"

PUBLISHED_CELL = "lstm"
"""The cell of all published zoos; their files do not name it."""

_LAYERS = range(1, 5)  # tried where their number is not known


@dataclass(frozen=True)
class OfficialHints:
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


def given_sizes(
    arguments: Mapping[str, Any], hints: OfficialHints
) -> tuple[int | None, int | None]:
    """Return hidden size and layers that hints or ``args.json`` say, hints first.

    Raises:
        ZooError: for sizes that are no whole numbers of at least 1.
    """
    sizes = []
    for ours, theirs in (("hidden_size", "rnn_hidden_size"), ("num_layers", "rnn_num_layers")):
        hint = getattr(hints, ours)
        size = arguments.get(theirs) if hint is None else hint
        if size is not None and (type(size) is not int or size < 1):
            raise ZooError(f"{ours} must be a whole number of at least 1, not {size!r}")
        sizes.append(size)
    return sizes[0], sizes[1]


def given_settings(
    kind: Kind, arguments: Mapping[str, Any], hints: OfficialHints
) -> dict[str, Any]:
    """Return the options of the problem that ``args.json`` or hints say, hints first.

    Raises:
        ZooError: for a hint that means nothing here.
    """
    said = {ours: arguments[name] for name, ours in kind.arguments.items() if name in arguments}
    told = {name: value for name, value in asdict(hints).items() if value is not None}
    told = {name: told[name] for name in told if name not in ("hidden_size", "num_layers")}
    strange = sorted(told.keys() - kind.arguments.values())
    if strange:
        raise ZooError(f"options that a zoo of {kind.problem} does not have: {', '.join(strange)}")
    for name, value in (said | told).items():
        wanted = str if name in ("source", "interpolation") else int
        if type(value) is not wanted:
            raise ZooError(f"{name} is {value!r} in {ARGUMENTS}: expected {wanted.__name__}")
    return said | told


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
