"""The training state in a checkpoint, checked before a trainer loads it.

Lightning does not: without an optimiser's state, training would silently begin again. PyTorch's
fused optimisers take for granted that a state has as many numbers as its parameter: with fewer they
write beyond its memory.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import LBFGS, Optimizer, SparseAdam

from wsrl.recorded import is_plain
from wsrl.torch_files import tensors_in


class TrainingStateCheck(Callback):
    """Refuses a checkpoint whose training state is not one of this model and its optimisers.

    Lightning loads callbacks first, and optimisers, schedulers and counters after ``on_fit_start``.
    """

    def __init__(self) -> None:
        self._checkpoint: dict[str, Any] = {}
        self._steps: int | None = None

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the state that is to be loaded."""
        self._checkpoint = checkpoint

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check it."""
        checkpoint, self._checkpoint = self._checkpoint, {}
        # Strategies that share out the optimisers read their states in formats of their own.
        if trainer.ckpt_path is None or not trainer.strategy.lightning_restore_optimizer:
            return
        try:
            check_training_state(trainer, checkpoint)
        except ValueError as error:
            raise ValueError(f"{_damaged(trainer)}: {error}") from error
        self._steps = checkpoint["global_step"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check that the counters say what the checkpoint says."""
        steps, self._steps = self._steps, None
        if steps is not None and trainer.global_step != steps:
            counted = trainer.global_step
            raise ValueError(f"{_damaged(trainer)}: of step {steps}, its loops count {counted}")


def _damaged(trainer: Trainer) -> str:
    return f"{trainer.ckpt_path} is damaged or not to be trusted, training cannot go on from it"


def check_training_state(trainer: Trainer, checkpoint: Mapping[str, Any]) -> None:
    """Check what a trainer is about to load, against its optimisers, schedulers and loops."""
    wanted = ("callbacks", "loops", "optimizer_states", "lr_schedulers", "global_step")
    if lacking := [name for name in wanted if name not in checkpoint]:
        raise ValueError(f"it holds no {', '.join(lacking)}")
    schedulers: list[Any] = [config.scheduler for config in trainer.lr_scheduler_configs]
    for name, own in (("optimizer_states", trainer.optimizers), ("lr_schedulers", schedulers)):
        saved = checkpoint[name]
        if not isinstance(saved, list) or len(saved) != len(own):
            raise ValueError(f"its {name} are not a list of {len(own)}")
    for optimizer, saved in zip(trainer.optimizers, checkpoint["optimizer_states"], strict=True):
        try:
            check_optimizer_state(optimizer, saved, began=checkpoint["global_step"] > 0)
        except (ValueError, TypeError) as error:
            raise ValueError(f"its optimiser's state does not fit the model ({error})") from error
    for scheduler, saved in zip(schedulers, checkpoint["lr_schedulers"], strict=True):
        _check_scheduler(scheduler, saved)
    loops, loop = checkpoint["loops"], trainer.fit_loop.state_dict()
    if not is_plain(loops) or not _fits(loops, {"fit_loop": loop}, whole=True):
        raise ValueError("its loops are no counters of training")


def check_optimizer_state(optimizer: Optimizer, saved: Any, began: bool) -> None:
    """Check what ``optimizer.state_dict()`` once returned against the parameters that it is for.

    Tensors must be dense. Of optimisers of ``torch.optim``, and those derived from them, names and
    shapes must be those that one step makes; there must be some if steps had been made (``began``).
    """
    if type(optimizer).load_state_dict is not Optimizer.load_state_dict:
        return  # in a format of its own, which it reads itself
    own = optimizer.state_dict()["param_groups"]
    held = saved if isinstance(saved, dict) else {}
    states, groups = held.get("state"), held.get("param_groups")
    if not isinstance(states, dict) or not isinstance(groups, list) or len(groups) != len(own):
        raise ValueError(f"it has no state and {len(own)} param_groups")
    if not _fits(groups, own):
        raise ValueError("the options of its param_groups are of another kind")
    params = [group.get("params") for group in groups]
    more = [group[name] for group in groups for name in group if name not in own[0]]
    if not is_plain([params, more]) or params != [group["params"] for group in own]:
        raise ValueError("its param_groups have other parameters")
    known = {index for group in own for index in group["params"]}
    if not states.keys() <= known or not all(isinstance(each, dict) for each in states.values()):
        raise ValueError(f"its state is not by parameter, 0 to {len(known) - 1}, and by name")
    if not all(map(is_dense, tensors_in(states))):
        raise ValueError("a tensor of it is not dense")
    if (expected := _after_one_step(optimizer, groups)) is None:
        return
    for group in groups:
        kept, wanted = ([found.get(i) for i in group["params"]] for found in (states, expected))
        if began and any(wanted) and not any(kept):
            raise ValueError("it is empty after the first step")
    for index, state in states.items():
        # An optimiser of one's own may keep more than PyTorch's.
        for name, wanted in expected.get(index, {}).items() if state else ():
            if name not in state or not _fits(state[name], wanted):
                raise ValueError(f"the {name} of parameter {index} is missing or does not fit")


def _after_one_step(
    optimizer: Optimizer, groups: Sequence[Mapping[str, Any]]
) -> dict[int, dict[str, Any]] | None:
    """Return the states that one step makes in a copy, or ``None`` for unknown optimisers."""
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


def _check_scheduler(scheduler: Any, saved: Any) -> None:
    """Check a scheduler's state, every entry of which becomes an attribute of the scheduler."""
    own = scheduler.state_dict()
    if not _fits(saved, own) or not own.keys() & {"last_epoch"} <= saved.keys():
        raise ValueError("its lr_schedulers hold no state of such a scheduler")
    if any(not isinstance(n, str) or hasattr(type(scheduler), n) for n in saved.keys() - own):
        raise ValueError("its lr_schedulers would replace methods")


def is_dense(tensor: Tensor) -> bool:
    """Whether a tensor's numbers lie side by side in memory, in whatever order of its axes."""
    if tensor.layout is not torch.strided or tensor.is_meta:
        return False
    alike = torch.empty_like(tensor, device="meta")  # keeps the strides of dense tensors alone
    return tensor.numel() == 0 or alike.stride() == tensor.stride()


def _is_number(value: Any) -> bool:
    """Whether a value is one number, as steps are counted: a plain one before PyTorch 1.12."""
    known = isinstance(value, Tensor) and value.ndim == 0 and not value.is_meta
    return type(value) in (int, float) or known


def _fits(saved: Any, own: Any, whole: bool = False) -> bool:
    """Whether a value is of the kind of another, the same inside; if ``whole``, with all names."""
    if isinstance(own, dict):
        return isinstance(saved, dict) and all(
            _fits(saved[name], own[name], whole) if name in saved else not whole for name in own
        )
    if own is None:
        return isinstance(saved, Tensor) or is_plain(saved)
    if saved is None:
        return not whole
    if isinstance(own, list | tuple):
        if not isinstance(saved, list | tuple):
            return False
        return all(map(_fits, saved, own)) if len(saved) == len(own) else is_plain(list(saved))
    if isinstance(own, Tensor) and isinstance(saved, Tensor):
        kinds = [(each.is_floating_point(), each.is_complex()) for each in (saved, own)]
        return saved.shape == own.shape and kinds[0] == kinds[1]
    if _is_number(own):  # PyTorch takes some options as a tensor of one number, too
        return _is_number(saved)
    return type(saved) is type(own)
