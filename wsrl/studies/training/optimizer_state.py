"""The state of an optimiser in a file, checked against the parameters that it is for.

PyTorch's fused optimisers take for granted that a state has as many numbers as its parameter: with
fewer they write beyond its memory.
"""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer, SparseAdam

from wsrl.recorded import is_plain
from wsrl.torch_files import tensors_in


def check_optimizer_state(optimizer: Optimizer, saved: Any, began: bool) -> None:
    """Check the state of an optimiser against the parameters that it is for.

    Tensors must be dense and without overlap. For the optimisers of ``torch.optim``, and for those
    derived from them, names and shapes must be those that one step of such an optimiser makes.

    Args:
        optimizer: will load the state.
        saved: what ``optimizer.state_dict()`` once returned.
        began: whether steps had been made.

    Raises:
        ValueError: saying what does not fit.
        TypeError: the same, from an optimiser that refuses its options.
    """
    if type(optimizer).load_state_dict is not Optimizer.load_state_dict:
        return  # in a format of its own, which it reads itself
    if not isinstance(saved, dict) or not {"state", "param_groups"} <= saved.keys():
        raise ValueError("it has no state and param_groups")
    states, groups = saved["state"], saved["param_groups"]
    own = optimizer.state_dict()["param_groups"]
    if not isinstance(groups, list) or len(groups) != len(own):
        raise ValueError(f"it does not have {len(own)} param_groups")
    for group, wanted in zip(groups, own, strict=True):
        _check_group(group, wanted)
    known = {index for group in own for index in group["params"]}
    if not isinstance(states, dict) or not states.keys() <= known:
        raise ValueError(f"its state is not by parameter, 0 to {len(known) - 1}")
    if not all(isinstance(state, dict) for state in states.values()):
        raise ValueError("the state of a parameter is not by name")
    for group, here in zip(groups, optimizer.param_groups, strict=True):
        if not here["params"]:
            continue
        _check_options(optimizer, group, here["params"][0])
        parameters = dict(zip(group["params"], here["params"], strict=True))
        examples = {index: _example(optimizer, group, each) for index, each in parameters.items()}
        if began and any(examples.values()) and not any(map(states.get, parameters)):
            raise ValueError("it is empty after the first step")
        exact = type(optimizer) is _torch_class(optimizer)
        for index, parameter in parameters.items():
            if state := states.get(index):
                _check_state(state, parameter, examples[index], exact)


_SIZES = (5, 7, 3, 2)
"""Of the axes of a parameter that an optimiser is tried on: no state has them by chance."""


def _torch_class(optimizer: Optimizer) -> type[Optimizer] | None:
    """Return the class of ``torch.optim`` that an optimiser is of, or is derived from."""
    classes = type(optimizer).__mro__
    found = next(c for c in classes if f"{c.__module__}.".startswith("torch.optim."))
    # What LBFGS keeps changes its kind; SparseAdam takes no gradients like those tried here.
    return None if found in (Optimizer, LBFGS, SparseAdam) else found


def _check_options(optimizer: Optimizer, group: Mapping[str, Any], parameter: Tensor) -> None:
    """Check that a group lacks no option, but those that PyTorch adds to older groups."""
    cls = _torch_class(optimizer)
    if cls is None:
        return
    make: Callable[..., Optimizer] = cls
    tried = make([nn.Parameter(parameter.new_ones(_small(parameter)))])
    wanted = tried.param_groups[0].keys()
    tried.load_state_dict({"state": {}, "param_groups": [{**group, "params": [0]}]})
    if lacking := sorted(wanted - tried.param_groups[0].keys()):
        raise ValueError(f"a group of it lacks {', '.join(lacking)}")


def _example(
    optimizer: Optimizer, group: Mapping[str, Any], parameter: Tensor
) -> dict[str, Any] | None:
    """Return the state that one step with a group's options makes for a small parameter.

    Returns:
        ``None`` where that is not known: for others' optimisers.

    Raises:
        ValueError: where no step can be made with these options.
    """
    cls = _torch_class(optimizer)
    if cls is None:
        return None
    names = inspect.signature(cls).parameters.keys() - {"params"}
    options = {name: value for name, value in group.items() if name in names}
    small = nn.Parameter(parameter.new_ones(_small(parameter)))
    small.grad = torch.ones_like(small)
    try:
        tried = cls([small], **options)
        with torch.enable_grad():
            tried.step(lambda: 0.0)
    except Exception as error:  # options can be wrong in any way
        reason = (str(error).splitlines() or [""])[0]
        raise ValueError(f"with its options no step can be made: {reason:.200}") from error
    return dict(tried.state[small])


def _small(parameter: Tensor) -> tuple[int, ...]:
    return (*_SIZES, *[1] * parameter.ndim)[: parameter.ndim]


def _check_group(group: Any, own: Mapping[str, Any]) -> None:
    params = group.get("params") if isinstance(group, dict) else None
    whole = isinstance(params, list) and all(type(index) is int for index in params)
    if not whole or params != own["params"]:
        raise ValueError(f"a group of it does not have {len(own['params'])} parameters")
    for name, value in group.items():
        if not (is_alike(value, own[name]) if name in own else is_plain(value)):
            raise ValueError(f"its {reprlib.repr(name)} is {reprlib.repr(value)}")


def _check_state(
    state: dict[str, Any], parameter: Tensor, example: Mapping[str, Any] | None, exact: bool
) -> None:
    """Check the state of one parameter; ``exact`` says that it has no other names."""
    for tensor in tensors_in(state):
        if tensor.layout is not torch.strided or tensor.is_meta or not is_dense(tensor):
            raise ValueError("a tensor of it is not dense")
    if example is None:
        return
    if lacking := sorted(example.keys() - state.keys()):
        raise ValueError(f"it lacks {', '.join(lacking)}")
    for name, value in state.items():
        if name not in example:
            if exact and value is not None:
                raise ValueError(f"it has an unknown {reprlib.repr(name)}")
        elif isinstance(example[name], Tensor):
            _check_tensor(name, value, example[name], parameter)
        elif not is_alike(value, example[name]):
            raise ValueError(f"its {name} is {reprlib.repr(value)}")


def _check_tensor(name: str, value: Any, example: Tensor, parameter: Tensor) -> None:
    """Check a tensor of a state: of its parameter's shape, or one number, as the example has it."""
    if not isinstance(value, Tensor):
        if example.ndim == 0 and type(value) in (int, float):  # as written by PyTorch before 1.12
            return
        raise ValueError(f"its {name} is {reprlib.repr(value)}")
    kinds = [(each.is_floating_point(), each.is_complex()) for each in (value, example)]
    if kinds[0] != kinds[1]:
        raise ValueError(f"its {name} is of {value.dtype}")
    shapes = {_small(parameter): parameter.shape, (): parameter.shape[:0]}
    wanted = shapes.get(tuple(example.shape), value.shape)
    if value.shape != wanted:
        raise ValueError(
            f"its {name} has shape {tuple(value.shape)}, its parameter needs {tuple(wanted)}"
        )


def is_dense(tensor: Tensor) -> bool:
    """Whether a tensor's numbers lie side by side in memory, in whatever order of its axes."""
    expected = 1
    axes = zip(tensor.stride(), tensor.shape, strict=True)
    for stride, size in sorted(axis for axis in axes if axis[1] != 1):
        if stride != expected:
            return tensor.numel() == 0
        expected *= size
    return True


def is_alike(saved: Any, own: Any) -> bool:
    """Whether a plain value is of the kind of another: numbers, text, and the same inside."""
    if own is None:
        return isinstance(saved, Tensor) or is_plain(saved)
    if saved is None:
        return True
    if isinstance(own, dict):
        same = isinstance(saved, dict)
        return same and all(is_alike(saved[name], own[name]) for name in own if name in saved)
    if isinstance(own, list | tuple):
        if not isinstance(saved, list | tuple):
            return False
        if len(saved) != len(own):
            return is_plain(list(saved))
        return all(map(is_alike, saved, own))
    if isinstance(own, Tensor):
        return isinstance(saved, Tensor) and saved.shape == own.shape
    if type(own) in (int, float):  # PyTorch takes some options as a tensor of one number, too
        one = isinstance(saved, Tensor) and saved.ndim == 0 and not saved.is_meta
        return one or type(saved) in (int, float)
    return type(saved) is type(own)
