"""Run many RNNs at once, each with its own weights, in batched matrix products."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor

from wsrl.rnn.backends import (
    Backend,
    cell_of_kernels,
    check_backend,
    choose_backend,
    for_kernels,
    kernels_of,
)
from wsrl.rnn.black_box import BlackBox
from wsrl.rnn.cells import Tensors, project
from wsrl.rnn.ends import Ends
from wsrl.rnn.kernels import cpu, functions
from wsrl.rnn.mixed import MixedRNNs, RNNs
from wsrl.rnn.weights import RNNWeights

State: TypeAlias = tuple[Any, ...]
"""A population's state: a tensor ``(L, B, S, H)`` for each part, ``(h, c)`` of LSTMs; of RNNs of
several specs the state of each group. Only those who know the spec need to know."""

_Made = TypeVar("_Made")

Run: TypeAlias = Callable[[Tensor, State | Tensor | None], tuple[Tensor, State]]

# The core's weights as PyTorch takes them: what ``Cell.prepare`` makes of each layer's tensors, the
# readout ``(B, H, O)`` and its bias ``(B, O)``.
Ready: TypeAlias = tuple[list[Tensors], Tensor, Tensor | None]

CORES_PER_RNN = 4  # of PyTorch, about as fast as a kernel on one


def run_population(
    weights: RNNs,
    inputs: Tensor,
    state: State | Tensor | None = None,
    backend: Backend = "auto",
) -> tuple[Tensor, State]:
    """Run ``B`` RNNs with ``B`` different weights, each on its own ``S`` sequences.

    The values, and the gradients to inputs, state and weights, are those of ``torch.nn``. Gradients
    of kernels cannot be differentiated in turn; those of ``eager`` can.

    Args:
        weights: the RNNs; those of each spec run together.
        inputs: ``(B, S, T, I)``.
        state: the state to start from, as it was returned, or for RNNs of one spec a tensor
            ``(L, B, S, H)`` for each part; by default the RNNs' own first states, or zero.
        backend: ``eager`` (PyTorch), ``cpu`` (compiled kernels; float32 on the CPU), ``triton``
            (kernels for GPUs; float32, up to 64 neurons a layer), or ``auto``, the kernels where
            they can be had and are faster. A cell that a backend has no kernels for runs in
            PyTorch.

    Returns:
        The outputs ``(B, S, T, O)`` (the readout's values, before any output activation) and the
        state after the last step.

    >>> from wsrl.rnn import RNNSpec
    >>> spec = RNNSpec("gru", input_size=3, hidden_size=8, num_layers=1, output_size=2)
    >>> weights = RNNWeights(torch.randn(5, spec.num_parameters), spec)
    >>> outputs, state = run_population(weights, torch.randn(5, 4, 10, 3))
    >>> outputs.shape, state[0].shape
    (torch.Size([5, 4, 10, 2]), torch.Size([1, 5, 4, 8]))

    Raises:
        ValueError: for shapes that do not fit the spec, dtypes that differ, or a backend that
            cannot run this.
    """
    if isinstance(weights, MixedRNNs):
        runs = [partial(run_population, group, backend=backend) for group in weights.groups]
        return _run_groups(weights, runs, inputs, state)
    if isinstance(weights, BlackBox):
        check_inputs(weights, inputs)
        return weights.run(inputs, state)
    start = check_run(weights, inputs, state)
    chosen = _choose(backend, weights, inputs, start)
    if chosen == "eager":
        return run_eagerly(weights, inputs, start)
    return _run_kernels(kernels_of(chosen), weights, for_kernels(weights), inputs, start)


class PreparedPopulation:
    """RNNs that are run many times, as where each input depends on the outputs before.

    Runs as ``run_population`` does, with the same gradients. What depends on the weights alone is
    computed once, of a copy: later changes in place have no effect.
    """

    def __init__(self, weights: RNNs, backend: Backend = "auto") -> None:
        self._run: Run
        if isinstance(weights, MixedRNNs):
            runs = [PreparedPopulation(group, backend) for group in weights.groups]
            self._run = partial(_run_groups, weights, runs)
        elif isinstance(weights, BlackBox):
            self._run = partial(run_population, weights)
        else:
            self._run = _PreparedWeights(weights, backend)

    def __call__(self, inputs: Tensor, state: State | Tensor | None = None) -> tuple[Tensor, State]:
        """Run as ``run_population``, whose arguments, results and errors these are."""
        return self._run(inputs, state)


class _PreparedWeights:
    """``PreparedPopulation`` of RNNs of one spec."""

    def __init__(self, weights: RNNWeights, backend: Backend) -> None:
        check_backend(backend, cell_of_kernels(weights.spec))
        self.weights, self.backend = RNNWeights(weights.flat.clone(), weights.spec), backend
        self._packed: cpu.Packed | None = None
        self._kept: dict[tuple[Any, bool], Any] = {}

    def __call__(self, inputs: Tensor, state: State | Tensor | None = None) -> tuple[Tensor, State]:
        weights = self.weights
        start = check_run(weights, inputs, state)
        chosen = _choose(self.backend, weights, inputs, start)
        if chosen == "eager":
            return run_eagerly(weights, inputs, start, self._made(make_ready))
        core, kernels = self._made(for_kernels), kernels_of(chosen)
        if chosen == "cpu":
            if self._packed is None:
                self._packed = cpu.Packed(core.spec, core.flat.detach().contiguous())
            kernels = self._packed
        return _run_kernels(kernels, weights, core, inputs, start)

    def _made(self, make: Callable[[RNNWeights], _Made]) -> _Made:
        """Return what is made of the weights; kept where no graph, used once, is wanted."""
        wanted = torch.is_grad_enabled() and self.weights.flat.requires_grad
        if wanted or torch.compiler.is_compiling():  # which drops repeated work itself
            return make(self.weights)
        key = make, torch.is_inference_mode_enabled()
        if key not in self._kept:
            self._kept[key] = make(self.weights)
        made: _Made = self._kept[key]
        return made


def _run_groups(
    rnns: MixedRNNs, runs: Sequence[Run], inputs: Tensor, state: State | Tensor | None
) -> tuple[Tensor, State]:
    """Run the RNNs of each group, on their rows of ``inputs (B, S, T, I)``."""
    check_inputs(rnns, inputs)
    states = (None,) * len(runs) if state is None else state
    if isinstance(states, Tensor) or len(states) != len(runs):
        raise ValueError(
            f"the state of RNNs of {len(runs)} specs is one for each, as it was returned"
        )
    results = [run(*own) for run, *own in zip(runs, rnns.split(inputs), states, strict=True)]
    return rnns.join([outputs for outputs, _ in results]), tuple(last for _, last in results)


def make_ready(weights: RNNWeights) -> Ready:
    """Do what depends on the core's weights alone; differentiable."""
    spec, tensors = weights.spec, weights.tensors()
    layers = [spec.kind.prepare(layer) for layer in weights.layers()]
    return layers, tensors["linear.weight"].mT, tensors.get("linear.bias")


def run_with_noise(weights: RNNWeights, inputs: Tensor, noise: Tensor) -> tuple[Tensor, State]:
    """Run RNNs with noisy neurons, in PyTorch; else as ``run_population``.

    Args:
        weights: RNNs of one spec.
        inputs: ``(B, S, T, I)``.
        noise: ``(B, L, T, S, H)``, added to the first part of the state (``h``) after every step.

    Raises:
        ValueError: for shapes or dtypes that do not fit.

    >>> from wsrl.rnn import RNNSpec
    >>> spec = RNNSpec("leaky", input_size=3, hidden_size=8, num_layers=1, output_size=2)
    >>> weights = RNNWeights(torch.randn(5, spec.num_parameters), spec)
    >>> outputs, _ = run_with_noise(weights, torch.zeros(5, 4, 10, 3), torch.randn(5, 1, 10, 4, 8))
    >>> outputs.shape
    torch.Size([5, 4, 10, 2])
    """
    check_run(weights, inputs, None)
    count, sequences, steps, _ = inputs.shape
    shape = (count, weights.spec.num_layers, steps, sequences, weights.spec.hidden_size)
    if noise.shape != shape:
        raise ValueError(f"noise must be (B, L, T, S, H) = {shape}, not {tuple(noise.shape)}")
    return run_eagerly(weights, inputs, noise=noise)


def run_eagerly(
    weights: RNNWeights,
    inputs: Tensor,
    state: State | None = None,
    ready: Ready | None = None,
    noise: Tensor | None = None,
) -> tuple[Tensor, State]:
    """Run in PyTorch: on every device, in every dtype. The kernels are tested against it."""
    start = start_state(weights, inputs) if state is None else state
    (layers, readout, bias), cell = ready or make_ready(weights), weights.spec.kind
    around, last = Ends(weights), []
    hidden = around.before(inputs).transpose(1, 2)  # (B, T, S, I)
    for layer, own in enumerate(layers):
        driven, end, states = cell.drive(own, hidden), tuple(part[layer] for part in start), []
        for step, now in enumerate(zip(*(part.unbind(1) for part in driven), strict=True)):
            end = cell.step(own, now, end)
            if noise is not None:
                end = (end[0] + noise[:, layer, step], *end[1:])
            states.append(end)
        parts = tuple(torch.stack(part, 1) for part in zip(*states, strict=True))
        hidden = cell.read(own, driven, parts)
        last.append(end)
    final = tuple(torch.stack(parts) for parts in zip(*last, strict=True))
    return around.after(project(hidden, readout, bias).transpose(1, 2)), final


def read_state(weights: RNNWeights, inputs: Tensor, state: State) -> Tensor:
    """Return the outputs ``(B, S, O)`` of RNNs that ``inputs (B, S, I)`` have led to a state."""
    (layers, readout, bias), cell, around = make_ready(weights), weights.spec.kind, Ends(weights)
    hidden = around.before(inputs[:, :, None]).transpose(1, 2)
    for layer, own in enumerate(layers):
        hidden = cell.read(
            own, cell.drive(own, hidden), tuple(part[layer][:, None] for part in state)
        )
    return around.after(project(hidden, readout, bias).transpose(1, 2))[:, :, 0]


def start_state(weights: RNNWeights, inputs: Tensor) -> State:
    """Return the state that RNNs start from unless told otherwise: their own, or zero."""
    shape, spec = _state_shape(weights, inputs), weights.spec
    if not spec.initial_state:
        return (inputs.new_zeros(shape),) * spec.state_parts
    layers, names = weights.layers(), [f"initial_{part}" for part in spec.kind.state]
    learned = (torch.stack([layer[name] for layer in layers]) for name in names)
    return tuple(part[:, :, None].expand(shape) for part in learned)


def check_run(weights: RNNWeights, inputs: Tensor, state: State | Tensor | None) -> State | None:
    """Check the arguments of ``run_population``; return the state as a tuple."""
    check_inputs(weights, inputs)
    parts = () if state is None else (state,) if isinstance(state, Tensor) else tuple(state)
    shape, count = _state_shape(weights, inputs), weights.spec.state_parts
    if state is not None and [part.shape for part in parts] != [shape] * count:
        raise ValueError(
            f"the state of {weights.spec} is {count} tensor(s) (L, B, S, H) = {shape}, "
            f"not {[tuple(part.shape) for part in parts]}"
        )
    for name, value in (("inputs", inputs), *(("states", part) for part in parts)):
        same = value.dtype == weights.flat.dtype
        if not (same or torch.is_autocast_enabled(value.device.type)):
            raise ValueError(
                f"{name} are {value.dtype}, the weights {weights.flat.dtype}: "
                "convert one of them (weights.to(dtype) or tensor.to(dtype))"
            )
    return parts or None


def check_inputs(rnns: RNNs, inputs: Tensor) -> None:
    """Check the shape of inputs."""
    count, size = len(rnns), rnns.interface.input_size
    fits = inputs.ndim == 4 and inputs.shape[0] == count and inputs.shape[3] == size
    if not fits or 0 in inputs.shape[1:3]:
        raise ValueError(
            f"inputs must be (B, S, T, I) = ({count}, S, T, {size}) with S, T >= 1, "
            f"not {tuple(inputs.shape)}"
        )


def _choose(backend: Backend, weights: RNNWeights, inputs: Tensor, start: State | None) -> str:
    if backend == "auto" and inputs.is_cpu:
        # torch.compile cannot trace a count of threads, and takes PyTorch anyway.
        tracing = torch.compiler.is_compiling()
        if tracing or len(weights) * CORES_PER_RNN < torch.get_num_threads():
            backend = "eager"
    return choose_backend(backend, weights, inputs, *(start or ()))


def _run_kernels(
    kernels: functions.Kernels,
    weights: RNNWeights,
    core: RNNWeights,
    inputs: Tensor,
    start: State | None,
) -> tuple[Tensor, State]:
    around = Ends(weights)
    if weights.spec.initial_state and start is None:
        start = start_state(weights, inputs)
    outputs, *last = functions.Run.apply(  # type: ignore[no-untyped-call]
        core.flat, around.before(inputs), core.spec, kernels, *(start or ())
    )
    return around.after(outputs), tuple(last)


def _state_shape(weights: RNNWeights, inputs: Tensor) -> tuple[int, ...]:
    return (weights.spec.num_layers, inputs.shape[0], inputs.shape[1], weights.spec.hidden_size)
