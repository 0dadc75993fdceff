"""The state of an optimiser in a file, checked against the parameters that it is for.

PyTorch's fused optimisers take for granted that a state has as many numbers as its parameter: with
fewer they write beyond its memory.
"""

from __future__ import annotations

import copy
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
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
    for tensor in tensors_in(states):
        if tensor.layout is not torch.strided or tensor.is_meta or not is_dense(tensor):
            raise ValueError("a tensor of it is not dense")
    if (expected := _after_one_step(optimizer, groups)) is None:
        return
    for group in groups:
        kept, wanted = ([found.get(i) for i in group["params"]] for found in (states, expected))
        if began and any(wanted) and not any(kept):
            raise ValueError("it is empty after the first step")
    for index, state in states.items():
        if state:
            _check_state(state, expected.get(index, {}))


def _after_one_step(
    optimizer: Optimizer, groups: Sequence[Mapping[str, Any]]
) -> dict[int, dict[str, Any]] | None:
    """Return the states that one step makes in a copy, or ``None`` where that tells nothing."""
    classes = [c for c in type(optimizer).__mro__ if f"{c.__module__}.".startswith("torch.optim.")]
    # What LBFGS keeps changes its kind, SparseAdam takes no dense gradients; of others' optimisers
    # nothing is known.
    if classes[0] in (Optimizer, LBFGS, SparseAdam):
        return None
    tried = copy.deepcopy(optimizer)
    for group in tried.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.ones_like(parameter)
    try:
        tried.load_state_dict({"state": {}, "param_groups": copy.deepcopy(groups)})
        for group, wanted in zip(tried.param_groups, optimizer.param_groups, strict=True):
            if lacking := sorted(wanted.keys() - group.keys()):  # which PyTorch does not add
                raise ValueError(f"a group lacks {', '.join(lacking)}")
        with torch.enable_grad():
            tried.step(lambda: 0.0)
    except Exception as error:  # options can be wrong in any way
        reason = (str(error).splitlines() or [""])[0]
        raise ValueError(f"with its options no step can be made: {reason:.200}") from error
    found: dict[int, dict[str, Any]] = tried.state_dict()["state"]
    return found


def _check_group(group: Any, own: Mapping[str, Any]) -> None:
    params = group.get("params") if isinstance(group, dict) else None
    whole = isinstance(params, list) and all(type(index) is int for index in params)
    if not whole or params != own["params"]:
        raise ValueError(f"a group of it does not have {len(own['params'])} parameters")
    for name, value in group.items():
        if not (is_alike(value, own[name]) if name in own else is_plain(value)):
            raise ValueError(f"its {reprlib.repr(name)} is {reprlib.repr(value)}")


def _check_state(state: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Check the state of one parameter; an optimiser of one's own may keep more than PyTorch's."""
    if lacking := sorted(expected.keys() - state.keys()):
        raise ValueError(f"it lacks {', '.join(lacking)}")
    for name, wanted in expected.items():
        value = state[name]
        if isinstance(wanted, Tensor) and isinstance(value, Tensor):
            kinds = [(each.is_floating_point(), each.is_complex()) for each in (value, wanted)]
            if value.shape != wanted.shape or kinds[0] != kinds[1]:
                raise ValueError(
                    f"its {name} is {value.dtype} of shape {tuple(value.shape)}, its parameter "
                    f"needs {wanted.dtype} of shape {tuple(wanted.shape)}"
                )
        elif not (_is_number(wanted) and _is_number(value)) and not is_alike(value, wanted):
            raise ValueError(f"its {name} is {reprlib.repr(value)}")


def _is_number(value: Any) -> bool:
    """Whether a value is one number, as steps are counted: a plain one before PyTorch 1.12."""
    return type(value) in (int, float) or (isinstance(value, Tensor) and value.ndim == 0)


def is_dense(tensor: Tensor) -> bool:
    """Whether a tensor's numbers lie side by side in memory, in whatever order of its axes."""
    alike = torch.empty_like(tensor, device="meta")  # keeps the strides of dense tensors alone
    return tensor.numel() == 0 or alike.stride() == tensor.stride()


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
        return all(map(is_alike, saved, own)) if len(saved) == len(own) else is_plain(list(saved))
    if isinstance(own, Tensor):
        return isinstance(saved, Tensor) and saved.shape == own.shape
    if type(own) in (int, float):  # PyTorch takes some options as a tensor of one number, too
        return _is_number(saved) and not (isinstance(saved, Tensor) and saved.is_meta)
    return type(saved) is type(own)
