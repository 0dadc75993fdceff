"""The problem that a manifest names, which may be from anybody."""

from __future__ import annotations

from pathlib import Path

from wsrl.zoos.manifest import MANIFEST, Manifest, ZooError
from wsrl.zoos.problems import Problem, create_problem

_SHAPED = ("task", "performance", "sequences", "outputs")


def problem_of(folder: Path, manifest: Manifest) -> Problem:
    """Make the problem that a manifest names, and check that it is the zoo's.

    Raises:
        ZooError: for an unknown problem, settings that it does not have or that are no part of a
            zoo, or another shape of rows than the problem's.
    """
    path, settings = folder / MANIFEST, manifest.problem_settings
    try:
        problem = create_problem(manifest.problem, settings)
        known, columns = problem.settings(), problem.columns()
    except Exception as error:  # a constructor that was not meant for such values raises anything
        raise ZooError(f"{path}: {str(error)[:500] or type(error).__name__}") from error
    if strange := sorted(settings.keys() - known.keys()):
        raise ZooError(
            f"{path}: settings that no zoo of {manifest.problem} has: {', '.join(strange)}"
        )
    for name in _SHAPED:
        held, wanted = manifest.columns[name].shape, columns[name].shape
        if held != wanted:
            raise ZooError(f"{path}: column {name} is {held}, but its problem says {wanted}")
    sizes = (problem.input_size, problem.output_size)
    spec = manifest.rnn_spec
    if sizes != (spec.input_size, spec.output_size):
        raise ZooError(f"{path}: the problem has {sizes} inputs and outputs, the RNNs are ({spec})")
    return problem
