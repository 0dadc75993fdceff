"""Weights that are loaded into a module: what does not fit is one line that names it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from wsrl.class_paths import class_path
from wsrl.encoders import Encoder


class WeightsError(ValueError):
    """Weights of another model than the one that they are loaded into."""


@contextmanager
def checked_load(module: nn.Module, state: Mapping[str, Any]) -> Iterator[None]:
    """Have weights loaded in the body, as PyTorch does, if they are those of a module.

    PyTorch takes the first number of a vector for a scalar, and the real part of complex numbers. A
    ``WeightsError`` names the encoder, and weights that are missing, unknown or of another shape.
    """
    own, wrong = module.state_dict(), []
    for name, found in state.items():
        mine = own.get(name)
        if isinstance(mine, Tensor) and isinstance(found, Tensor):
            kinds = [f"{value.dtype} and shape {tuple(value.shape)}" for value in (found, mine)]
            if mine.shape != found.shape or found.is_complex() > mine.is_complex():
                wrong.append(f"{name} of {kinds[0]} instead of {kinds[1]}")
    names = [f"{name} is missing" for name in own if name not in state]
    names += [f"{name} is unknown" for name in state if name not in own]
    if wrong:
        raise WeightsError(_describe(module, wrong + names))
    try:
        yield
    except RuntimeError as error:
        reasons = names or [" ".join(str(error).split())[:200]]
        raise WeightsError(_describe(module, reasons)) from error


def not_finite(module: nn.Module) -> str | None:
    """Name the first trained parameter of a module that is not finite, if there is one."""
    for name, parameter in module.named_parameters():
        if parameter.requires_grad and not bool(parameter.isfinite().all()):
            return name
    return None


def _describe(module: nn.Module, reasons: list[str]) -> str:
    encoder = dict(module.named_children()).get("encoder", module)
    of = f" with the encoder {class_path(type(encoder))}" if isinstance(encoder, Encoder) else ""
    more = f" and {len(reasons) - 5} more" if len(reasons) > 5 else ""
    return (
        f"its weights are of another model than {type(module).__name__}{of} is now: "
        f"{', '.join(reasons[:5])}{more}"
    )
