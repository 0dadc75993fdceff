"""Populations of RNNs made ready to be run many times."""

from __future__ import annotations

import torch
from torch import Tensor

from wsrl.rnn.backends import Backend, check_backend, kernels_of
from wsrl.rnn.kernels import cpu, functions
from wsrl.rnn.population import (
    State,
    TurnedWeights,
    check_run,
    choose_for_run,
    run_eagerly,
    run_turned,
    turn,
    zero_state,
)
from wsrl.rnn.weights import RNNWeights


class PreparedPopulation:
    """RNNs to be run many times, as where each input depends on the outputs before.

    Runs as ``run_population`` does, with the same gradients; what only depends on the weights is
    done once, when it is first needed.

    Args:
        weights: the RNNs; not to be changed in place as long as this is used. Changes that PyTorch
            does not count go unnoticed: those through ``.data``, those of inference tensors, and
            all where ``torch.compile`` traces.
        backend: as of ``run_population``.

    Raises:
        ValueError: for a backend that is unknown or not here.
    """

    def __init__(self, weights: RNNWeights, backend: Backend = "auto") -> None:
        check_backend(backend, weights.spec.cell)
        self.weights, self.backend = weights, backend
        self._version = _version(weights.flat)
        self._packed: cpu.Packed | None = None
        self._turned: dict[tuple[bool, bool], TurnedWeights] = {}

    def __call__(self, inputs: Tensor, state: State | Tensor | None = None) -> tuple[Tensor, State]:
        """Run the RNNs, each on its own ``S`` sequences.

        Args:
            inputs: ``(B, S, T, I)``.
            state: the state to start from, each tensor ``(L, B, S, H)``; zeros by default.

        Returns:
            The outputs ``(B, S, T, O)`` and the state after the last step.

        Raises:
            ValueError: as ``run_population``, or where the weights have been changed in place.
        """
        weights = self.weights
        if self._changed():
            raise ValueError(
                "the weights were changed in place after they had been prepared: make another "
                "PreparedPopulation of them"
            )
        start = check_run(weights, inputs, state)
        chosen = choose_for_run(self.backend, weights, inputs, start)
        if chosen == "eager":
            first = zero_state(weights, inputs) if start is None else start
            return run_turned(weights.spec, self._turn(), inputs, first)
        if chosen == "cpu" and self._packed is None:
            self._packed = cpu.Packed(weights.spec, weights.flat.detach().contiguous())
        kernels = self._packed if chosen == "cpu" else kernels_of(chosen)
        outputs, *last = functions.Run.apply(  # type: ignore[no-untyped-call]
            weights.flat, inputs, weights.spec, kernels, run_eagerly, *(start or ())
        )
        return outputs, tuple(last)

    def _changed(self) -> bool:
        """Say whether the weights are known to have been changed in place."""
        known = (self._version, _version(self.weights.flat))
        return None not in known and known[0] != known[1]

    def _turn(self) -> TurnedWeights:
        """Return the weights for PyTorch; those made without gradients serve only without."""
        if torch.compiler.is_compiling():  # which drops repeated work itself
            return turn(self.weights)
        wanted = torch.is_grad_enabled() and self.weights.flat.requires_grad
        mode = (wanted, torch.is_inference_mode_enabled())
        if mode not in self._turned:
            self._turned[mode] = turn(self.weights)
        return self._turned[mode]


def _version(flat: Tensor) -> int | None:
    """Return a number that grows with each change in place, where there is one.

    Inference tensors keep none, and asking for it would cut what ``torch.compile`` traces in two.
    """
    return None if torch.compiler.is_compiling() or flat.is_inference() else flat._version
