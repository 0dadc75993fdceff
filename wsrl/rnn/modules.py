"""One RNN out of ``torch.nn`` modules: taken only where running the modules shows that it is all.

A module may do more than its recurrent layer and its readout: an activation between them, an
initial state, a residual connection. What it computes is therefore compared with what the weights
that were read compute, on short sequences: what begins only after 17 steps, or with inputs
beyond 30, is not seen.
"""

import copy
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from wsrl.rnn.cells import get_cell, list_cells
from wsrl.rnn.population import run_eagerly
from wsrl.rnn.spec import RNNSpec
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
    rnn, linear = (_only_child(chain, kind) for kind in (nn.RNNBase, nn.Linear))
    own = {id(value) for part in (rnn, linear) for value in chain.get_submodule(part).parameters()}
    if others := [name for name, value in chain.named_parameters() if id(value) not in own]:
        shown = ", ".join(name.split(".", 2)[2] for name in others)
        raise ValueError(f"parameters outside of the RNN and its readout: {shown}")
    readout = chain.get_submodule(linear)
    assert isinstance(readout, nn.Linear)
    spec = _spec_of(chain.get_submodule(rnn), readout)
    place = (readout.weight.device, readout.weight.dtype)
    try:
        flat = _trial(chain, (rnn, linear), spec, place)
    except ValueError as error:
        kinds = ", ".join(type(part).__name__ for part in chain.parts)
        raise ValueError(
            f"{kinds} is not taken for its RNN and its readout: {error}. The readout's own values "
            "are wanted, not their softmax. Where these two alone are meant, give "
            "RNNWeights.from_module(rnn, linear)"
        ) from error
    return RNNWeights(flat[None].to(*place), spec)


class _Chain(nn.Module):
    """Modules one after the other; of a tuple, as an RNN returns it, the first goes on."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        # torch.compile wraps a module: the one inside is run, without compiling it.
        own = [dict(module.named_children()).get("_orig_mod", module) for module in modules]
        if len(own) == 1 and isinstance(own[0], nn.ModuleDict | nn.ModuleList):
            own = list(own[0].children())  # these compute nothing themselves
        own.sort(key=lambda module: not any(isinstance(m, nn.RNNBase) for m in module.modules()))
        self.parts = nn.ModuleList(own)

    def forward(self, value: Any, *others: Any) -> Any:
        for part in self.parts:
            value = part(value, *others)
            value = value[0] if isinstance(value, tuple | list) and value else value
        return value


def _only_child(chain: _Chain, kind: type[nn.Module]) -> str:
    found = [path for path, child in chain.named_modules() if isinstance(child, kind)]
    if len(found) != 1:
        raise ValueError(
            "expected exactly one nn.LSTM, nn.GRU or nn.RNN and one nn.Linear as its readout, "
            f"found {len(found)} of {kind.__name__}"
        )
    return str(found[0])


def _spec_of(rnn: Any, linear: nn.Linear) -> RNNSpec:
    forms = {name: get_cell(name).torch_form for name in list_cells()}
    cells = [name for name, form in forms.items() if form is not None and form.reads(rnn)]
    if not cells or rnn.bidirectional or rnn.proj_size:
        raise ValueError(
            f"no registered cell is {rnn} (bidirectional RNNs and projections are not supported); "
            f"the cells are {', '.join(forms)}"
        )
    if bool(rnn.bias) != (linear.bias is not None):
        raise ValueError(
            f"biases in all parts or in none: the RNN has bias={bool(rnn.bias)}, "
            f"the readout bias={linear.bias is not None}"
        )
    if linear.in_features != rnn.hidden_size:
        raise ValueError(
            f"the readout reads {linear.in_features} values, the RNN has {rnn.hidden_size} hidden"
        )
    sizes = (rnn.input_size, rnn.hidden_size, rnn.num_layers, linear.out_features)
    return RNNSpec(cells[0], *sizes, bool(rnn.bias))


def _trial(chain: _Chain, paths: tuple[str, str], spec: RNNSpec, place: _Place) -> Tensor:
    """Return the weights ``(N,)`` that modules use, if they compute what the modules do.

    They are run on the CPU in float64 if they can be, else where and as they are. One sequence
    without a batch is only for modules that take no batch: fewer faults would show.
    """
    batches: list[_Layout] = [lambda values: values, lambda values: values.transpose(0, 1)]
    single: list[_Layout] = [lambda values: values[0]]
    places = ((torch.device("cpu"), torch.float64), place)
    errors = []
    for own, layouts, tokens in product(places, (batches, single), (False, True)):
        gaps = {}
        for layout, others in product(layouts, ((), (None,))):
            try:
                flat, gap, seen = _run(chain, paths, spec, own, tokens, layout, others)
            except Exception as error:  # somebody's code, handed what it may not be made for
                line = (str(error).splitlines() or [""])[0]
                errors.append(f"{type(error).__name__}: {line[:200].rstrip('.')}")
                continue
            if gap <= torch.finfo(own[1]).eps ** 0.5:  # half of the digits agree
                return flat
            gaps[gap] = seen
        if gaps:
            raise ValueError(gaps[min(gaps)])
    raise ValueError(f"it runs on sequences neither of vectors nor of tokens ({errors[0]})")


def _run(
    chain: _Chain,
    paths: tuple[str, str],
    spec: RNNSpec,
    place: _Place,
    tokens: bool,
    layout: _Layout,
    others: tuple[None, ...],
) -> tuple[Tensor, float, str]:
    """Run a copy of the modules, and the weights ``(N,)`` that it used, on the same sequences.

    One copy is run on all: a module that keeps a state differs, too. Returns the weights, and the
    largest difference, in units of the outputs' size and to read.
    """
    generator = torch.Generator().manual_seed(0)
    model = _copy_of(chain).eval().to(*place)
    rnn, linear = map(model.get_submodule, paths)
    both = nn.ModuleDict({"rnn": rnn, "linear": linear})
    gaps = []
    for length in LENGTHS:
        inputs = _inputs(length, spec.input_size, tokens, generator).to(*place)
        given = layout(inputs.argmax(-1) if tokens else inputs)
        with _alone(*place):
            outputs = model(given, *others)
            # Attributes, not parameters: hooks and parametrisations set the weight that acts.
            values = [operator.attrgetter(tensor.name)(both) for tensor in spec.tensors]
            flat = torch.cat([value.detach().reshape(-1) for value in values])
            wanted = run_eagerly(RNNWeights(flat[None], spec), inputs[None])[0][0]
        gaps.append(_difference(outputs, wanted[:1] if layout(inputs).ndim == 2 else wanted))
    return flat, *max(gaps, key=lambda gap: gap[0])


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
