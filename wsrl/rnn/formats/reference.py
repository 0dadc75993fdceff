"""Outputs that a file's owner gives with it, replayed by the weights that were read."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from wsrl.rnn.population import run_population
from wsrl.rnn.weights import RNNWeights

TOLERANCE = 1e-5
"""The largest difference that is taken for rounding, in units of the largest output."""


@dataclass(frozen=True)
class Reference:
    """Sequences, and what an RNN answers to them before any last nonlinearity.

    Attributes:
        inputs: ``(S, T, I)``.
        outputs: ``(S, T, O)``.
    """

    inputs: Tensor
    outputs: Tensor

    @classmethod
    def read(cls, path: str | Path) -> "Reference":
        """Read ``inputs`` and ``outputs`` from a safetensors file; ``ValueError`` for others."""
        if not Path(path).is_file():
            raise ValueError(f"no file of reference outputs at {path}")
        try:
            with safe_open(path, "pt") as file:
                inputs, outputs = (file.get_tensor(name) for name in ("inputs", "outputs"))
        except Exception as error:  # a file that is none of safetensors can raise anything
            raise ValueError(
                f"{path}: expected a safetensors file with inputs (S, T, I) and outputs (S, T, O): "
                f"{error}"
            ) from error
        shapes = tuple(inputs.shape), tuple(outputs.shape)
        fits = inputs.ndim == outputs.ndim == 3 and shapes[0][:2] == shapes[1][:2]
        if not fits or 0 in (*shapes[0], *shapes[1]):
            raise ValueError(
                f"{path}: expected inputs (S, T, I) and outputs (S, T, O), not {shapes[0]} and "
                f"{shapes[1]}"
            )
        if any(value.is_complex() or value.dtype == torch.bool for value in (inputs, outputs)):
            raise ValueError(f"{path}: inputs and outputs must be real numbers")
        if not bool(inputs.isfinite().all()) or not bool(outputs.isfinite().all()):
            raise ValueError(f"{path}: inputs and outputs must be finite")
        return cls(inputs, outputs)

    @property
    def size(self) -> float:
        """The largest output, without its sign."""
        return float(self.outputs.abs().max())

    def fits(self, weights: RNNWeights) -> bool:
        """Say whether the RNN has as many inputs and outputs."""
        sizes = weights.spec.input_size, weights.spec.output_size
        return sizes == (self.inputs.shape[2], self.outputs.shape[2])

    def difference(self, weights: RNNWeights) -> float:
        """Return the largest difference of outputs, infinite for other sizes.

        Both precisions are tried: the outputs of an RNN that amplifies rounding are those of the
        precision that they were made in.
        """
        if not self.fits(weights):
            return math.inf
        gaps = []
        for dtype in (torch.float64, torch.float32):
            with torch.no_grad():
                found = run_population(weights.to("cpu", dtype), self.inputs[None].to(dtype))[0][0]
            gap = (found - self.outputs).abs().max()
            gaps.append(float(gap.nan_to_num(math.inf)))
        return min(gaps)

    def parts(self, one: RNNWeights, other: RNNWeights) -> bool:
        """Say whether two RNNs differ on sequences that are longer and stronger than these."""
        longer = torch.cat([self.inputs, -self.inputs, 2 * self.inputs.flip(1)], 1).double()
        with torch.no_grad():
            found, wanted = (
                run_population(weights.to("cpu", torch.float64), longer[None])[0]
                for weights in (one, other)
            )
        gap = float((found - wanted).abs().max().nan_to_num(math.inf))
        return gap > TOLERANCE * max(float(wanted.abs().max().nan_to_num(0)), self.size)

    def accepts(self, difference: float) -> bool:
        """Say whether a difference is no more than rounding."""
        return difference <= TOLERANCE * self.size
