"""What leaky RNNs of many projects share: what a file leaves open of form, nonlinearity and leak.

A file holds matrices and biases. Which of three forms they are of, which nonlinearity and which
``alpha = dt / tau``, it mostly does not say; see ``wsrl.rnn.cells.rates``.
"""

import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from wsrl.rnn.cells.rates import FORMS, NONLINEARITIES
from wsrl.rnn.formats.content import Candidate, Said
from wsrl.rnn.formats.parts import Parts

ALPHAS = ("0.01", "0.02", "0.05", "0.1", "0.2", "0.25", "0.5", "1.0")
"""What a reference is tried with. What the user says may be any other."""

_OWN = "the code of the project whose names the tensors have"

OPTIONS = {
    "form": "where the leak stands: inside, rate or state",
    "nonlinearity": "relu, retanh, sigmoid, softplus or tanh",
    "alpha": "dt / tau: a number, or a list of one for each neuron",
}


@dataclass(frozen=True)
class LeakyUnits:
    """One layer of leaky units, as a file has it.

    Attributes:
        parts: the RNN; its cell and the layer's ``alpha`` are filled in.
        cell: ``leaky`` or ``low_rank``.
        options: of the cell, besides form and nonlinearity.
        form: of the project's code, where only one project names tensors so.
        nonlinearity: where the file says it.
        alpha: where the file says it: a number, or one for each neuron.
        choices: what else is open, and the values that these parts take.
        assumed: what was taken for granted.
        first: returns the first state, given the nonlinearity and ``alpha``, where it depends on
            them. A ``ValueError`` says that there is none.
    """

    parts: Parts
    cell: str = "leaky"
    options: Mapping[str, Any] = field(default_factory=dict)
    form: str | None = None
    nonlinearity: str | None = None
    alpha: Tensor | None = None
    choices: Mapping[str, str] = field(default_factory=dict)
    assumed: tuple[str, ...] = ()
    first: Callable[[str, Tensor], Tensor] | None = None

    def candidates(self, said: Said, forms: Sequence[str] = FORMS) -> list[Candidate]:
        """Return the RNNs that it can be; those of another form than the project's are unusual.

        Raises:
            ValueError: where there is none.
        """
        phis = [self.nonlinearity] if self.nonlinearity else [*NONLINEARITIES]
        found, reason = [], "no form and nonlinearity that are known here"
        for form, phi, (told, alpha) in product(
            _wanted(said, "form", forms),
            _wanted(said, "nonlinearity", phis),
            list(self._alphas(said)),
        ):
            choices = {**self.choices, "form": form, "nonlinearity": phi, **told}
            try:
                weights = self._filled(form, phi, alpha).weights()
            except ValueError as error:
                reason = str(error)
                continue
            own = form == self.form and "form" not in said
            assumed = (*self.assumed, *([f"form {form}, as in {_OWN}"] if own else []))
            found.append(Candidate(weights, choices, assumed, self.form in (None, form)))
        if not found:
            raise ValueError(reason)
        return found

    def _filled(self, form: str, phi: str, alpha: Tensor) -> Parts:
        options = {"form": form, "nonlinearity": phi, **self.options}
        if alpha.numel() > 1:
            options["leak"] = "neuron"
        cell = f"{self.cell}({', '.join(f'{name}={value!r}' for name, value in options.items())})"
        layer = {**self.parts.layers[0], "alpha": alpha}
        filled = replace(self.parts, cell=cell, layers=[layer])
        if self.first is None:
            return filled
        return replace(filled, initial=[{"h": self.first(phi, alpha)}])

    def _alphas(self, said: Said) -> Iterator[tuple[dict[str, str], Tensor]]:
        """Yield what can be chosen, and the alphas as a tensor ``(1,)`` or ``(H,)``."""
        known = None if self.alpha is None else self.alpha.float().reshape(-1)
        if known is not None and not bool(((known > 0) & (known <= 1)).all()):
            least, most = known.aminmax()
            raise ValueError(
                f"alpha = dt / tau is {least:.4g} to {most:.4g} in the file. The project's code "
                "computes with that; cells here, with an alpha above 0 and at most 1"
            )
        if "alpha" in said:
            given, size = alphas_of(said["alpha"]), self.parts.layers[0]["weight_ih"].shape[0]
            if len(given) not in (1, size):
                raise ValueError(f"alpha is one number or {size}, one a neuron, not {len(given)}")
            if known is not None and not torch.allclose(known, given.expand_as(known)):
                shown = reprlib.repr(known.tolist())
                raise ValueError(f"alpha is {shown} in the file, not {given.tolist()}")
            known = given if known is None else known
        if known is not None:
            yield {}, known
        else:
            yield from (({"alpha": value}, torch.tensor([float(value)])) for value in ALPHAS)


def alphas_of(given: Any) -> Tensor:
    """Return what the user says of ``alpha``, ``(1,)`` or ``(H,)``.

    Raises:
        ValueError: unless it is a number, or a list of numbers, above 0 and at most 1.

    >>> alphas_of("0.5"), alphas_of([0.5, 1])
    (tensor([0.5000]), tensor([0.5000, 1.0000]))
    """
    try:
        single = isinstance(given, str | int | float)
        found: Tensor = torch.atleast_1d(torch.as_tensor(float(given) if single else given)).float()
    except (TypeError, ValueError, RuntimeError) as error:
        shown = reprlib.repr(given)
        raise ValueError(f"alpha is a number or a list of numbers, not {shown}") from error
    if found.ndim != 1 or not bool(((found > 0) & (found <= 1)).all()):
        raise ValueError(f"alpha = dt / tau is above 0 and at most 1, not {found.tolist()}")
    return found


def leak_of(step: Any, time_constant: Any) -> Tensor:
    """Return ``alpha = dt / tau`` of a file's two numbers; a ``ValueError`` where it is none.

    >>> leak_of(20, "100")
    tensor([0.2000])
    """
    try:
        return alphas_of(float(step) / float(time_constant))
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise ValueError(
            f"the file has dt {step!r} and tau {time_constant!r}; expected numbers with dt above "
            "0 and at most tau"
        ) from error


def _wanted(said: Said, option: str, values: Sequence[str]) -> list[str]:
    """Return the values that the user does not exclude, or all, if that leaves none."""
    return [value for value in values if str(said.get(option, value)) == value] or list(values)
