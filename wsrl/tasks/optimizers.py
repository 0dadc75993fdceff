"""Optimisers and schedules as plain values, so that a checkpoint can rebuild its module."""

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, ReduceLROnPlateau

from wsrl.class_paths import class_path, find_class
from wsrl.recorded import is_plain

Config: TypeAlias = dict[str, Any]
"""``{"class_path": ..., "init_args": {...}}``; without ``init_args``, the defaults."""

if TYPE_CHECKING:
    OptimizerLike: TypeAlias = Config | Callable[[Iterable[nn.Parameter]], Optimizer]
    SchedulerLike: TypeAlias = Config | Callable[[Optimizer], LRScheduler]
else:  # the command line gives the descriptions, which jsonargparse is to leave as they are
    OptimizerLike = SchedulerLike = Config


def describe_optimizer(given: OptimizerLike | None) -> Config | None:
    """Describe an optimiser, given its class, a ``functools.partial`` of it or its description.

    Raises:
        TypeError: for another callable: it could not go into a checkpoint.
        ValueError: for another class, or options that it does not take.

    >>> describe_optimizer(partial(torch.optim.SGD, lr=0.1))
    {'class_path': 'torch.optim.sgd.SGD', 'init_args': {'lr': 0.1}}
    """
    return _describe(given, "optimizer", Optimizer, [nn.Parameter(torch.zeros(1))])


def describe_scheduler(given: SchedulerLike | None) -> Config | None:
    """Describe a schedule of the learning rate; as ``describe_optimizer``."""
    of = torch.optim.SGD([nn.Parameter(torch.zeros(1))])
    return _describe(given, "lr_scheduler", LRScheduler, of)


def build(config: Config, of: Iterable[Tensor] | Optimizer) -> Any:
    """Build an optimiser of these parameters, or a schedule of this optimiser."""
    base = LRScheduler if isinstance(of, Optimizer) else Optimizer
    cls: Callable[..., Any] = find_class(config["class_path"], base)
    try:
        return cls(of, **config["init_args"])
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise ValueError(f"{config['class_path']} cannot be made: {error}") from error


def warn_of_rise(schedule: LRScheduler | ReduceLROnPlateau, steps: int) -> None:
    """Warn where training of so many steps goes on beyond a cosine's end: the rate rises again."""
    if isinstance(schedule, CosineAnnealingLR) and steps > schedule.T_max:
        rank_zero_warn(
            f"the learning rate falls until step {schedule.T_max} and rises again until {steps}: "
            f"with --lr_scheduler.T_max {steps} it falls to the end"
        )


def _describe(given: Any, what: str, base: type, of: Any) -> Config | None:
    """Describe what the command line or Python gives; one is built, to see that its options fit."""
    if given is None:
        return None
    cls: Any = given
    options: Any = {}
    if isinstance(given, dict) and isinstance(given.get("class_path"), str):
        cls, options = find_class(given["class_path"], base), given.get("init_args") or {}
    elif isinstance(given, partial) and not given.args:
        cls, options = given.func, given.keywords
    if not isinstance(cls, type) or not issubclass(cls, base):
        raise TypeError(
            f"{what} must be a subclass of {class_path(base)}, functools.partial of one with named "
            f"options, or a dictionary of class_path and init_args; given: {given!r:.200}"
        )
    if not isinstance(options, dict) or not is_plain(options):
        raise ValueError(f"the options of {what} must be plain values, not {options!r:.200}")
    known = inspect.signature(cls).parameters
    own = {n: v for n, v in options.items() if n not in known or known[n].default != v}
    config = {"class_path": class_path(cls), "init_args": own}
    build(config, of)
    return config
