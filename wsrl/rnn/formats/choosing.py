"""Which of the RNNs that a file may hold it is: what the user says, and a reference, settle it."""

import math
from collections.abc import Sequence
from typing import Any

from wsrl.rnn.cells import get_cell
from wsrl.rnn.formats.content import Candidate, OpenChoiceError, Said, either, flag
from wsrl.rnn.formats.reference import Reference
from wsrl.rnn.usable import check_finite

AGREES = "outputs are those of the reference"
"""How a note of it begins."""


def allowed(candidates: Sequence[Candidate], said: Said) -> list[Candidate]:
    """Return the candidates that do not contradict what the user says."""
    left = list(candidates)
    for option, value in said.items():
        kept = [one for one in left if _agrees(one, option, value)]
        if not kept:
            values = sorted({_value(one, option) for one in left})
            raise ValueError(f"the {option} is {either(values)}, not {str(value)!r}")
        left = kept
    return left


def _value(candidate: Candidate, option: str) -> str:
    own = candidate.weights.spec.cell if option == "cell" else ""
    return candidate.choices.get(option, own)


def _agrees(candidate: Candidate, option: str, value: Any) -> bool:
    if option != "cell":
        return candidate.choices.get(option, str(value)) == str(value)
    kind, said = candidate.weights.spec.kind, get_cell(str(value))
    return str(kind) == str(said) if "(" in str(value) else kind.name == said.name


def choose(
    candidates: Sequence[Candidate], reference: Reference | None, said: Said
) -> tuple[Candidate, tuple[str, ...]]:
    """Return the candidate that it is, with a note of how well it fits the reference.

    Raises:
        OpenChoiceError: where several are left.
        ValueError: where none gives the reference's outputs.
    """
    if reference is not None:
        return _best(candidates, reference)
    usual = [one for one in candidates if one.usual] or list(candidates)
    unsure = {name for one in usual for name in one.unsure if name not in said}
    if len(usual) == 1 and not unsure:
        return usual[0], ()
    raise _open("the file does not tell which RNN it is", usual, unsure)


def _open(problem: str, candidates: Sequence[Candidate], unsure: set[str]) -> OpenChoiceError:
    """Return the error that names the options in which candidates differ."""
    values = {
        name: [value for one in candidates if (value := _value(one, name))]
        for one in candidates
        for name in one.choices
    }
    options = {
        name: () if all(map(_is_number, found)) else sorted(set(found))
        for name, found in values.items()
        if len(set(found)) > 1 or name in unsure
    }
    told = "; ".join(f"{n} {either(found) or 'a number'}" for n, found in options.items())
    return OpenChoiceError(f"{problem}: {told}", options)


def _is_number(value: str) -> bool:
    try:
        return math.isfinite(float(value))
    except ValueError:
        return False


def _best(
    candidates: Sequence[Candidate], reference: Reference
) -> tuple[Candidate, tuple[str, ...]]:
    """Return the candidate that gives the reference's outputs; a usual one before others."""
    fitting = [one for one in candidates if reference.fits(one.weights)]
    if not fitting:
        own = {(one.weights.spec.input_size, one.weights.spec.output_size) for one in candidates}
        sizes = " or ".join(f"{inputs} and {outputs}" for inputs, outputs in sorted(own))
        raise ValueError(
            f"the reference has {reference.inputs.shape[2]} inputs and "
            f"{reference.outputs.shape[2]} outputs, but the RNN of the file has {sizes}"
        )
    gaps = [(reference.difference(one.weights), one) for one in fitting]
    accepted = [(gap, one) for gap, one in gaps if reference.accepts(gap)]
    usual = [(gap, one) for gap, one in accepted if one.usual]
    gap, best = min(usual or accepted or gaps, key=lambda pair: pair[0])
    tried = {n: v for n, v in best.choices.items() if len({_value(one, n) for one in fitting}) > 1}
    size = f"(the largest is {reference.size:.3g})"
    if not accepted:
        check_finite(best.weights)
        nearest = ", ".join(f"{name} {value}" for name, value in tried.items())
        count = f"{len(fitting)} readings were tried, the nearest" if len(fitting) > 1 else "read"
        raise ValueError(
            f"its outputs differ from the reference's by {gap:.2g} {size}; {count} as "
            f"{nearest or best.weights.spec}. Say what the file does not"
        )
    rivals = [one for _, one in usual or accepted if reference.parts(one.weights, best.weights)]
    if rivals:
        problem = "several readings give the reference's outputs, and differ on other sequences"
        raise _open(problem, [best, *rivals], set())
    settled = [f"{flag(n).removeprefix('--')} {v}" for n, v in tried.items()]
    found = f"{AGREES}: they differ by at most {gap:.2g} {size}"
    return best, (f"{found}, as {', '.join(settled)}" if settled else found,)
