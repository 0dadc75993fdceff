"""One RNN out of ``torch.nn`` modules: taken only where running the modules shows that it is all.

A module may do more than its recurrent layer and its readout: an activation between them, an
initial state, a residual connection. What it computes is therefore compared with what the weights
that were read compute, on short sequences: what begins only after 17 steps, or with inputs
beyond 30, is not seen.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from wsrl.rnn.cells import get_cell, list_cells
from wsrl.rnn.module_trials import Trial, run_trial
from wsrl.rnn.spec import RNNSpec
from wsrl.rnn.weights import RNNWeights

_HARMLESS = (
    *(nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d),
    *(nn.AlphaDropout, nn.FeatureAlphaDropout),
)


def read_modules(modules: Sequence[nn.Module]) -> RNNWeights:
    """Read one RNN out of modules, ``(1, N)``; see ``RNNWeights.from_module``.

    Copies of the modules are run in eval mode, on the CPU and in float64 where that is possible,
    otherwise where and as they are.
    """
    chain = _Chain(modules)
    parts = _find_parts(chain)
    place = parts.linear.weight
    for device, dtype in ((torch.device("cpu"), torch.float64), (place.device, place.dtype)):
        trial = run_trial(chain, parts.weights_of, parts.spec, parts.rnn.batch_first, device, dtype)
        if trial.ran:
            break
    if trial.flat is None:
        raise ValueError(_refusal(chain, parts, trial))
    return RNNWeights(trial.flat[None].to(place.device, place.dtype), parts.spec)


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


@dataclass(frozen=True)
class _Parts:
    """The recurrent layer and the readout of a chain, their paths in it, and what they are."""

    rnn: nn.RNNBase
    rnn_path: str
    linear: nn.Linear
    linear_path: str
    spec: RNNSpec

    def weights_of(self, chain: nn.Module) -> Tensor:
        """Return the weights of a copy of the chain, ``(N,)``, as its last run used them."""
        paths = {"rnn": self.rnn_path, "linear": self.linear_path}
        both = nn.ModuleDict({name: chain.get_submodule(path) for name, path in paths.items()})
        # Attributes, not parameters: hooks and parametrisations set the weight that acts.
        values: list[Tensor] = [
            operator.attrgetter(tensor.name)(both) for tensor in self.spec.tensors
        ]
        return torch.cat([value.detach().reshape(-1) for value in values])


def _find_parts(chain: _Chain) -> _Parts:
    inside = list(chain.named_modules())
    rnns = [(path, child) for path, child in inside if isinstance(child, nn.RNNBase)]
    linears = [(path, child) for path, child in inside if isinstance(child, nn.Linear)]
    if len(rnns) != 1 or len(linears) != 1:
        raise ValueError(
            "expected exactly one nn.LSTM, nn.GRU or nn.RNN and one nn.Linear as its readout, "
            f"found {len(rnns)} and {len(linears)}"
        )
    ((rnn_path, rnn),), ((linear_path, linear),) = rnns, linears
    own = {id(value) for part in (rnn, linear) for value in part.parameters()}
    if others := [_shown(name) for name, v in chain.named_parameters() if id(v) not in own]:
        raise ValueError(f"parameters outside of the RNN and its readout: {', '.join(others)}")
    return _Parts(rnn, rnn_path, linear, linear_path, _spec_of(rnn, linear))


def _spec_of(rnn: nn.RNNBase, linear: nn.Linear) -> RNNSpec:
    forms = {name: get_cell(name).torch_form for name in list_cells()}
    cells = [name for name, form in forms.items() if form is not None and form.reads(rnn)]
    if not cells:
        raise ValueError(f"no registered cell is {rnn}; the cells are {', '.join(forms)}")
    if rnn.bidirectional:
        raise ValueError("a bidirectional RNN is not supported: it reads ahead")
    if rnn.proj_size:
        raise ValueError(f"an LSTM with projections is not supported (proj_size={rnn.proj_size})")
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


def _refusal(chain: _Chain, parts: _Parts, trial: Trial) -> str:
    kind = ", ".join(type(part).__name__ for part in chain.parts)
    inside = (f"{parts.rnn_path}.", f"{parts.linear_path}.")
    beside = [
        f"{_shown(path)} ({type(child).__name__})"
        for path, child in chain.named_modules()
        if next(child.children(), None) is None and not isinstance(child, _HARMLESS)
        if not f"{path}.".startswith(inside)
    ]
    buffers = [name for name, _ in chain.named_buffers() if not name.startswith(inside)]
    beside += [f"{_shown(name)} (buffer)" for name in buffers]
    besides = f". Besides them it has {', '.join(beside[:8])}" if beside else ""
    return (
        f"{kind} is not taken for its {type(parts.rnn).__name__} and its readout: {trial.seen}"
        f"{besides}. Where these two alone are meant, give RNNWeights.from_module(rnn, linear)"
    )


def _shown(path: str) -> str:
    """Return a path in a chain as it is in the user's module."""
    inner = path.removeprefix("parts.")
    return inner.partition(".")[2] or inner
