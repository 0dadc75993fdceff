"""One RNN out of ``torch.nn`` modules: taken only where running the modules shows that it is all.

A module may do more than its recurrent layer and its readout: an activation between them, an
initial state, a residual connection. What it computes is therefore compared with what the weights
that were read compute, on short sequences: what begins only after 17 steps, or with inputs
beyond 30, is not seen.
"""

import copy
import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from wsrl.rnn.cells import list_cells
from wsrl.rnn.formats.content import Candidate, Content
from wsrl.rnn.formats.torch_modules import MODULE, TORCH_MODULES
from wsrl.rnn.population import run_eagerly
from wsrl.rnn.weights import RNNWeights

# Sequences of a batch, and their steps: few, since chaotic RNNs amplify rounding. No two sizes are
# the same, so that axes cannot be mistaken.
SEQUENCES, LENGTHS = 3, (5, 17, 1)
SCALES = (1.0, 10.0, 0.1)
"""Standard deviations of the inputs from step to step."""

_Layout: TypeAlias = Callable[[Tensor], Tensor]
_Place: TypeAlias = tuple[torch.device, torch.dtype]


def read_modules(modules: Sequence[nn.Module]) -> RNNWeights:
    """Read one RNN out of modules, ``(1, N)``; see ``RNNWeights.from_module``."""
    chain = _Chain(modules)
    recurrent_first = chain.with_recurrent_first()
    try:
        return _read(chain)
    except ValueError:
        if [*recurrent_first.parts] == [*chain.parts]:
            raise
    return _read(recurrent_first)


def _read(chain: "_Chain") -> RNNWeights:
    candidates = _candidates(chain)
    first = next(value for value in chain.parameters() if value.is_floating_point())
    place = (first.device, first.dtype)
    try:
        weights = _trial(chain, candidates, place)
    except ValueError as error:
        kinds = ", ".join(type(part).__name__ for part in chain.parts)
        raise ValueError(
            f"{kinds} is not taken for its RNN and its readout: {error}. The readout's own values "
            "are wanted, not their softmax. Where these two alone are meant, give "
            "RNNWeights.from_module(rnn, linear); a wsrl.BlackBox asks any other"
        ) from error
    return weights.to(*place)


class _Chain(nn.Module):
    """Modules one after the other; of a tuple, as an RNN returns it, the first goes on."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        # torch.compile wraps a module: the one inside is run, without compiling it.
        own = [dict(module.named_children()).get("_orig_mod", module) for module in modules]
        if len(own) == 1 and isinstance(own[0], nn.ModuleDict | nn.ModuleList):
            own = list(own[0].children())  # these compute nothing themselves
        self.parts = nn.ModuleList(own)

    def with_recurrent_first(self) -> "_Chain":
        """Return a chain of the same modules; a pair may be given in any order."""
        own = sorted(self.parts, key=lambda part: not any(map(_is_recurrent, part.modules())))
        return _Chain(own)

    def forward(self, value: Any, *others: Any) -> Any:
        for part in self.parts:
            value = part(value, *others)
            value = value[0] if isinstance(value, tuple | list) and value else value
        return value


def _is_recurrent(module: nn.Module) -> bool:
    return isinstance(module, nn.RNNBase | nn.RNNCellBase)


def _candidates(model: nn.Module) -> list[Candidate]:
    """Return what a model can be, by the weights that act in it; as files are recognised."""
    found = TORCH_MODULES.find(Content(_acting(model), {}, MODULE), {})
    if isinstance(found, str):
        raise ValueError(
            "expected an nn.LSTM, nn.GRU or nn.RNN, or a cell of these, and an nn.Linear as its "
            f"readout: {found}"
        )
    known = [module for module in model.modules() if isinstance(module, nn.RNNBase)]
    forms = [(one, one.weights.spec.kind.torch_form) for one in found]
    left = [one for one, form in forms if not known or (form and all(map(form.reads, known)))]
    if not left:
        raise ValueError(
            f"no registered cell is {known[0]}; the cells are {', '.join(list_cells())}"
        )
    return left


def _acting(model: nn.Module) -> dict[str, Tensor]:
    """Return weights by key as they act: attributes, which hooks and parametrisations set."""
    found = {}
    for key in model.state_dict():
        name = re.sub(r"parametrizations\.([^.]+)\..*", r"\1", key)
        path, _, last = name.rpartition(".")
        owner, plain = model.get_submodule(path), re.sub(r"_(g|v|u|orig|mask)$", "", last)
        last = plain if isinstance(getattr(owner, plain, None), Tensor) else last
        if isinstance(value := getattr(owner, last, None), Tensor):
            found[f"{path}.{last}".lstrip(".")] = value.detach()
    return found


def _trial(chain: _Chain, candidates: list[Candidate], place: _Place) -> RNNWeights:
    """Return the weights that modules use, if they compute what the modules do.

    They are run on the CPU in float64 if they can be, else where and as they are. One sequence
    without a batch is only for modules that take no batch: fewer faults would show.
    """
    batches: list[_Layout] = [lambda values: values, lambda values: values.transpose(0, 1)]
    single: list[_Layout] = [lambda values: values[0]]
    places = ((torch.device("cpu"), torch.float64), place)
    sizes = list(dict.fromkeys(one.weights.spec.input_size for one in candidates))
    errors = []
    for own, layouts, tokens in product(places, (batches, single), (False, True)):
        gaps = {}
        for layout, others, size in product(layouts, ((), (None,)), sizes):
            try:
                weights, gap, seen = _run(chain, size, own, tokens, layout, others)
            except Exception as error:  # somebody's code, handed what it may not be made for
                line = (str(error).splitlines() or [""])[0]
                errors.append(f"{type(error).__name__}: {line[:200].rstrip('.')}")
                continue
            if gap <= torch.finfo(own[1]).eps ** 0.5:  # half of the digits agree
                return weights
            gaps[gap] = seen
        if gaps:
            raise ValueError(gaps[min(gaps)])
    raise ValueError(f"it runs on sequences neither of vectors nor of tokens ({errors[0]})")


def _run(
    chain: _Chain,
    size: int,
    place: _Place,
    tokens: bool,
    layout: _Layout,
    others: tuple[None, ...],
) -> tuple[RNNWeights, float, str]:
    """Run a copy of the modules, and the weights that it can have used, on the same sequences.

    One copy is run on all: a module that keeps a state differs, too. Returns the weights that
    differ least, and their largest difference, in units of the outputs' size and to read.
    """
    generator = torch.Generator().manual_seed(0)
    model, gaps = _copy_of(chain).eval().to(*place), dict[int, list[tuple[float, str]]]()
    for length in LENGTHS:
        inputs = _inputs(length, size, tokens, generator).to(*place)
        given = layout(inputs.argmax(-1) if tokens else inputs)
        with _alone(*place):
            outputs = model(given, *others)
            read = [one.weights.to(*place) for one in _candidates(model)]
            for index, weights in enumerate(read):
                if weights.spec.input_size == size:
                    wanted = run_eagerly(weights, inputs[None])[0][0]
                    wanted = wanted[:1] if layout(inputs).ndim == 2 else wanted
                    gaps.setdefault(index, []).append(_difference(outputs, wanted))
    worst = {index: max(found, key=lambda gap: gap[0]) for index, found in gaps.items()}
    best = min(worst, key=lambda index: worst[index][0])
    return read[best], *worst[best]


def _inputs(length: int, size: int, tokens: bool, generator: torch.Generator) -> Tensor:
    """Draw sequences ``(S, T, I)``: one-hot, or from step to step of another scale."""
    if tokens:
        return torch.eye(size)[torch.randint(size, (SEQUENCES, length), generator=generator)]
    scale = torch.tensor(SCALES)[torch.arange(SEQUENCES * length) % len(SCALES)]
    values = torch.randn(SEQUENCES, length, size, generator=generator)
    return values * scale.view(SEQUENCES, length, 1)


def _difference(outputs: Any, wanted: Tensor) -> tuple[float, str]:
    """Compare what a module returned with all, or the last, of ``(S, T, O)``, in any order."""
    if not isinstance(outputs, Tensor):
        return math.inf, f"it returns a {type(outputs).__name__}, not a tensor"
    gaps = []
    for order in (wanted, wanted.transpose(0, 1), wanted.transpose(1, 2), wanted[:, -1]):
        if order.numel() == outputs.numel():
            found = outputs.reshape(order.shape)
            same = (found == order) | (found.isnan() & order.isnan())
            apart = (found - order).abs().masked_fill(same, 0).nan_to_num(math.inf)
            gaps.append(float(apart.max()))
    if not gaps:
        return math.inf, (
            f"its outputs are {tuple(outputs.shape)} where those of the RNN and its readout are "
            f"(S, T, O) = {tuple(wanted.shape)}"
        )
    size = float(wanted.nan_to_num(0, 0, 0).abs().max()) or 1.0
    return min(gaps) / size, f"its outputs differ by {min(gaps):.2g} (theirs reach {size:.2g})"


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
    """Run without gradients or autocast, with a default dtype (for first states by ``zeros``)."""
    before = torch.get_default_dtype()
    cuda = [device] if device.type == "cuda" else []
    autocast = torch.autocast(device.type, enabled=False)
    with torch.no_grad(), autocast, torch.random.fork_rng(devices=cuda):
        torch.set_default_dtype(dtype)
        try:
            yield
        finally:
            torch.set_default_dtype(before)
