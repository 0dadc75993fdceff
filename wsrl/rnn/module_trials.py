"""Whether modules compute what weights do: both are run on the same random sequences."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from wsrl.rnn.population import run_eagerly
from wsrl.rnn.spec import RNNSpec
from wsrl.rnn.weights import RNNWeights

LENGTHS = (5, 17, 1)
"""Steps of the sequences that a module is run on; short, since chaotic RNNs amplify rounding."""

SEQUENCES = 3
"""Sequences of a batch; no length is the same, so that axes cannot be mistaken."""

SCALES = (1.0, 10.0, 0.1)
"""Standard deviations of the inputs from step to step."""

_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "": lambda outputs: outputs,
    "softmax": lambda logits: logits.softmax(-1),
    "log_softmax": lambda logits: logits.log_softmax(-1),
    "sigmoid": torch.sigmoid,
}


@dataclass
class Trial:
    """What came of running a module.

    Attributes:
        ran: whether it could be run on sequences at all.
        flat: the weights ``(N,)``, where they compute what the module does.
        seen: the difference otherwise, to read.
    """

    ran: bool = False
    flat: Tensor | None = None
    seen: str = ""


_Layout = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class _Way:
    """A way to hand sequences over to modules.

    Attributes:
        layout: puts sequences ``(S, T, ...)`` into the order that the modules take.
        tokens: whether they take the numbers of one-hot vectors, rather than vectors.
        others: further arguments.
    """

    layout: _Layout
    tokens: bool
    others: tuple[None, ...]


def _ways(batch_first: bool) -> list[list[_Way]]:
    """Return ways in groups: one is for modules that no way of the groups before it can run.

    So one sequence alone is only for modules that take no batches: fewer faults would show.
    """
    batched: list[_Layout] = [lambda values: values, lambda values: values.transpose(0, 1)]
    layouts = (batched if batch_first else batched[::-1], [lambda values: values[0]])
    return [
        [_Way(layout, tokens, others) for layout, others in product(group, ((), (None,)))]
        for group, tokens in product(layouts, (False, True))
    ]


def run_trial(
    modules: nn.Module,
    read: Callable[[nn.Module], Tensor],
    spec: RNNSpec,
    batch_first: bool,
    device: torch.device,
    dtype: torch.dtype,
) -> Trial:
    """Run copies of modules in all ways that they may be meant for, until one fits.

    Args:
        modules: take sequences and return outputs, maybe first in a tuple.
        read: returns the weights ``(N,)`` that a copy of the modules used in its last run.
        spec: of the weights.
        batch_first: whether ``(S, T, I)`` is the more likely layout.
        device: where to run.
        dtype: of weights and inputs.
    """
    compare = partial(_compare, modules, read, spec, device, dtype)
    trial, smallest, errors = Trial(), math.inf, []
    for group in _ways(batch_first):
        for way in group:
            try:
                flat, gaps, seen = compare(way)
            except Exception as error:  # somebody's code, handed what it may not be made for
                errors.append(_one_line(error))
                continue
            close = [name for name, gap in gaps.items() if gap <= torch.finfo(dtype).eps ** 0.5]
            if "" in close:  # half of the digits agree
                return Trial(True, flat)
            if close:
                seen = f"its outputs are the {close[0]} of its readout's, and logits are wanted"
                return Trial(True, None, seen)
            if not trial.ran or gaps[""] < smallest:
                smallest, trial = gaps[""], Trial(True, None, seen)
        if trial.ran:
            return trial
    return Trial(seen=f"it runs on sequences neither of vectors nor of tokens ({errors[0]})")


def _compare(
    modules: nn.Module,
    read: Callable[[nn.Module], Tensor],
    spec: RNNSpec,
    device: torch.device,
    dtype: torch.dtype,
    way: _Way,
) -> tuple[Tensor, dict[str, float], str]:
    """Run a copy of the modules, and the weights that it used, on the same sequences.

    One copy is run on all sequences: a module that keeps a state from run to run differs, too.

    Returns:
        The weights, the largest difference in units of the outputs' size (by what is done to the
        weights' outputs: nothing or an activation), and the difference to read.
    """
    generator = torch.Generator().manual_seed(0)
    model = _copy_of(modules).eval().to(device, dtype)
    largest, said = dict.fromkeys(_FUNCTIONS, -1.0), ""
    for length in LENGTHS:
        inputs = _inputs(length, spec.input_size, way.tokens, generator).to(device, dtype)
        with _alone(device, dtype):
            outputs = model(way.layout(inputs.argmax(-1) if way.tokens else inputs), *way.others)
            flat = read(model)
            wanted = run_eagerly(RNNWeights(flat[None], spec), inputs[None])[0][0]
        if way.layout(inputs).ndim == 2:
            wanted = wanted[:1]
        for name, function in _FUNCTIONS.items():
            gap, seen = _difference(outputs, function(wanted))
            if gap > largest[name]:
                largest[name], said = gap, said if name else seen
    return flat, largest, said


def _inputs(length: int, size: int, tokens: bool, generator: torch.Generator) -> Tensor:
    """Draw sequences ``(S, T, I)``: one-hot, or from step to step of another scale."""
    if tokens:
        return torch.eye(size)[torch.randint(size, (SEQUENCES, length), generator=generator)]
    scale = torch.tensor(SCALES)[torch.arange(SEQUENCES * length) % len(SCALES)]
    values = torch.randn(SEQUENCES, length, size, generator=generator)
    return values * scale.view(SEQUENCES, length, 1)


def _difference(outputs: Any, wanted: Tensor) -> tuple[float, str]:
    """Compare what a module returned with outputs ``(S, T, O)``, in any order of their axes.

    All steps are accepted, or the last step alone.
    """
    if not isinstance(outputs, Tensor):
        return math.inf, f"it returns a {type(outputs).__name__}, not a tensor"
    size = float(wanted.nan_to_num(0, 0, 0).abs().max()) or 1.0
    gap = _smallest_gap(outputs, wanted)
    if gap == math.inf:
        return gap, (
            f"its outputs are {tuple(outputs.shape)} where those of the RNN and its readout are "
            f"(S, T, O) = {tuple(wanted.shape)}"
        )
    return gap / size, f"its outputs differ from theirs by {gap:.2g} (theirs reach {size:.2g})"


def _smallest_gap(outputs: Tensor, wanted: Tensor) -> float:
    gaps = [math.inf]
    for order in (wanted, wanted.transpose(0, 1), wanted.transpose(1, 2), wanted[:, -1]):
        if order.numel() == outputs.numel():
            found = outputs.reshape(order.shape)
            same = (found == order) | (found.isnan() & order.isnan())
            gaps.append(
                float((found - order).abs().masked_fill(same, 0).nan_to_num(math.inf).max())
            )
    return min(gaps)


def _copy_of(modules: nn.Module) -> nn.Module:
    """Copy modules, and the tensors that a run left in them, without autograd's graph.

    Hooks of ``weight_norm`` and pruning leave such weights, which ``deepcopy`` alone refuses.
    """
    computed: dict[int, Any] = {}
    for module in modules.modules():
        for value in vars(module).values():
            for item in value if isinstance(value, list | tuple) else [value]:
                if isinstance(item, Tensor) and not item.is_leaf:
                    computed[id(item)] = item.detach().clone()
    return copy.deepcopy(modules, computed)


@contextmanager
def _alone(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Run without gradients or autocast; random state and default dtype are restored afterwards.

    The default dtype is changed since many models make their first state by ``torch.zeros``.
    """
    before = torch.get_default_dtype()
    cuda = [device] if device.type == "cuda" else []
    with (
        torch.no_grad(),
        torch.autocast(device.type, enabled=False),
        torch.random.fork_rng(devices=cuda),
    ):
        torch.set_default_dtype(dtype)
        try:
            yield
        finally:
            torch.set_default_dtype(before)


def _one_line(error: Exception) -> str:
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200].rstrip('.')}"
