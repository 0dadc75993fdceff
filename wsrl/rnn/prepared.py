"""Populations of RNNs made ready to be run many times."""

from __future__ import annotations

import torch
from torch import Tensor

from wsrl.rnn.backends import Backend, check_backend, kernels_of
from wsrl.rnn.kernels import cpu, functions
from wsrl.rnn.population import (
    ReadyWeights,
    State,
    check_run,
    choose_for_run,
    make_ready,
    run_eagerly,
    run_ready,
    start_state,
)
from wsrl.rnn.weights import RNNWeights


class PreparedPopulation:
    """RNNs that are run many times, as where each input depends on the outputs before.

    Runs as ``run_population`` does, with the same gradients. What depends on the weights alone is
    computed once.

    Args:
        weights: the RNNs. They are copied: later changes in place have no effect.
        backend: as of ``run_population``.

    Raises:
        ValueError: for a backend that is unknown or not here.
    """

    def __init__(self, weights: RNNWeights, backend: Backend = "auto") -> None:
        check_backend(backend, weights.spec.cell)
        self.weights, self.backend = RNNWeights(weights.flat.clone(), weights.spec), backend
        self._packed: cpu.Packed | None = None
        self._kept: dict[bool, ReadyWeights] = {}

    def __call__(self, inputs: Tensor, state: State | Tensor | None = None) -> tuple[Tensor, State]:
        """Run the RNNs, each on its own ``S`` sequences.

        Args:
            inputs: ``(B, S, T, I)``.
            state: the state to start from, each tensor ``(L, B, S, H)``; as of ``run_population``.

        Returns:
            The outputs ``(B, S, T, O)`` and the state after the last step.

        Raises:
            ValueError: as ``run_population``.
        """
        weights = self.weights
        start = check_run(weights, inputs, state)
        chosen = choose_for_run(self.backend, weights, inputs, start)
        if chosen == "eager":
            first = start_state(weights, inputs) if start is None else start
            return run_ready(weights.spec, self._ready(), inputs, first)
        if chosen == "cpu" and self._packed is None:
            self._packed = cpu.Packed(weights.spec, weights.flat.detach().contiguous())
        kernels = self._packed if chosen == "cpu" else kernels_of(chosen)
        outputs, *last = functions.Run.apply(  # type: ignore[no-untyped-call]
            weights.flat, inputs, weights.spec, kernels, run_eagerly, *(start or ())
        )
        return outputs, tuple(last)

    def _ready(self) -> ReadyWeights:
        """Return the weights for PyTorch; kept where no graph, which is used once, is wanted."""
        wanted = torch.is_grad_enabled() and self.weights.flat.requires_grad
        if wanted or torch.compiler.is_compiling():  # which drops repeated work itself
            return make_ready(self.weights)
        mode = torch.is_inference_mode_enabled()
        if mode not in self._kept:
            self._kept[mode] = make_ready(self.weights)
        return self._kept[mode]
