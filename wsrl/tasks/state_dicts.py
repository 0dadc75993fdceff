"""Weights that are loaded into a module: what does not fit is one line that names it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from torch import Tensor, nn

from wsrl.class_paths import class_path
from wsrl.encoders import Encoder

_Result = TypeVar("_Result")


class WeightsError(ValueError):
    """Weights of another model than the one that they are loaded into."""


def load_checked(
    module: nn.Module, state: Mapping[str, Any], load: Callable[[], _Result]
) -> _Result:
    """Load weights into a module.

    Args:
        module: the module.
        state: the weights by name.
        load: loads them as PyTorch does, which takes the first number of a vector for a scalar, and
            the real part of complex numbers.

    Raises:
        WeightsError: naming the encoder, and the weights that are missing, unknown or of another
            shape.
    """
    own = module.state_dict()
    both = [
        (name, own[name], value)
        for name, value in state.items()
        if isinstance(own.get(name), Tensor) and isinstance(value, Tensor)
    ]
    shapes = [
        f"{name} of shape {tuple(found.shape)} instead of {tuple(mine.shape)}"
        for name, mine, found in both
        if mine.shape != found.shape
    ]
    kinds = [
        f"{name} of {found.dtype} instead of {mine.dtype}"
        for name, mine, found in both
        if found.is_complex() and not mine.is_complex()
    ]
    missing = [f"{name} is missing" for name in own if name not in state]
    unknown = [f"{name} is unknown" for name in state if name not in own]
    if shapes or kinds:
        raise WeightsError(_describe(module, [*shapes, *kinds, *missing, *unknown]))
    try:
        return load()
    except RuntimeError as error:
        reasons = [*missing, *unknown] or [" ".join(str(error).split())[:200]]
        raise WeightsError(_describe(module, reasons)) from error


def not_finite(module: nn.Module) -> str | None:
    """Name the first trained parameter of a module that is not finite, if there is one."""
    for name, parameter in module.named_parameters():
        if parameter.requires_grad and not bool(parameter.isfinite().all()):
            return name
    return None


def _describe(module: nn.Module, reasons: Iterable[str]) -> str:
    encoder, of = dict(module.named_children()).get("encoder"), ""
    if isinstance(encoder, Encoder):
        of = f" with the encoder {class_path(type(encoder))}"
    first, *others = reasons
    shown = ", ".join([first, *others[:4]])
    more = f" and {len(others) - 4} more" if len(others) > 4 else ""
    what = class_path(type(module)) if isinstance(module, Encoder) else type(module).__name__
    return f"its weights are of another model than {what}{of} is now: {shown}{more}"
