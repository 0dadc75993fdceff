"""Spectral: what the linearised RNN does, in whatever basis its neurons write it."""

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from wsrl.encoders.base import Encoder, Mlp, check_sizes
from wsrl.encoders.registry import register_encoder
from wsrl.rnn import (
    RNNSpec,
    RNNWeights,
    linearize,
    settled_states,
    spectral_residues,
    state_size,
)
from wsrl.rnn.spec import readout_name

SETTLING = 16  # steps without input from the zero state to the point where an RNN is linearised

FARTHEST = 1e6
"""An RNN whose state has grown beyond this does not settle, and is linearised at zero."""


@register_encoder
class Spectral(Encoder):
    """Reads the eigenvalues of the linearised RNN and their residues.

    Near a point an RNN is ``x' = A x + B u + b``, ``y = R x' + r``. All that inputs can do to its
    outputs lies in the eigenvalues of ``A`` and the residues ``(R v_i) (w_i^T [B, b])``, which are
    the same in every basis of the state (Episodic Memory Theory, where the eigenvalues tell which
    variables are bound and for how long). Learned functions ``f_k`` of an eigenvalue make of them
    the matrices ``sum_i f_k(lambda_i) residue_i``, that is ``R f_k(A) [B, b]``: the order of
    eigenvalues does not matter, nor which eigenvectors stand for equal ones. An MLP reads these,
    the mean of further functions of the eigenvalues, and ``r``.

    The point is the state after 16 steps from zero without input (of linear RNNs zero: they are the
    same everywhere), which is near a fixed point where there is one that attracts. Reordering
    neurons reorders it too, so no embedding depends on their order; that of a linear RNN depends on
    its function alone, and is unchanged by any invertible change of its hidden basis, as long as
    ``A`` has a basis of eigenvectors. Where it has none (Jordan blocks, as of a delay line)
    rounding decides what is found for one: embeddings are finite, but others in other bases.

    The spectrum is computed in float64 and no gradients flow to the weights. It costs
    ``O(B n^3)``, ``n`` being the size of the state: most of the time of an encoding.

    Args:
        functions: learned functions ``f_k`` of an eigenvalue, and as many for the mean.
        width: size of the hidden layers, of the functions' MLP and of that which reads.
        depth: number of hidden layers of each.
    """

    permutation_invariant: ClassVar[bool] = True

    def __init__(
        self,
        spec: RNNSpec,
        embedding_dim: int = 16,
        functions: int = 16,
        width: int = 128,
        depth: int = 2,
    ) -> None:
        super().__init__(spec, embedding_dim)
        check_sizes(functions=functions, width=width, depth=depth)
        self.functions = Mlp(3, width, depth, 3 * functions)
        read = functions * spec.output_size * (spec.input_size + 1) + functions
        self.mlp = Mlp(read + spec.output_size * spec.bias, width, depth, embedding_dim)

    def forward(self, weights: RNNWeights) -> Tensor:
        """Encode ``B`` RNNs; return ``(B, D)``."""
        places, residues = _spectrum(weights)
        with torch.autocast(weights.flat.device.type, enabled=False):  # large residues cancel out
            x, y, z = places.to(weights.flat.dtype).unbind(-1)
            even, odd, other = self.functions(torch.stack([x, y * y, z], -1)).chunk(3, -1)
            # A function of a real matrix is real where its real part is even in the imaginary part
            # of the eigenvalue, and its imaginary part odd.
            function = torch.cat([even, y[..., None] * odd], 1)
            sums = torch.einsum("bjk,bjr->bkr", function.to(residues.dtype), residues)
            read = [_squash(sums).to(function.dtype).flatten(1), other.mean(1)]
            if weights.spec.bias:
                last = readout_name("bias", len(weights.spec.readout_widths))
                read.append(_squash(weights.tensors()[last]))
            embedding: Tensor = self.mlp(torch.cat(read, 1))
        return embedding


@torch.compiler.disable  # type: ignore[untyped-decorator]
@torch.no_grad()
def _spectrum(weights: RNNWeights) -> tuple[Tensor, Tensor]:
    """Return where the eigenvalues lie, ``(B, n, 3)``, and what is to be summed over them.

    The plane of the eigenvalues is put on a sphere, the unit circle being its equator: bounded and
    smooth. The second are the residues' real parts, then their imaginary parts negated,
    ``(B, 2 n, O (I + 1))``. An RNN whose numbers are not finite has NaN in the first.
    """
    own, size = weights.to(torch.float64), state_size(weights.spec)
    steps = 0 if weights.spec.kind.affine else SETTLING
    point = settled_states(own, own.flat.new_zeros(len(own), 1, size), steps=steps)[:, 0]
    point = torch.where(point.abs().amax(1, keepdim=True) <= FARTHEST, point, 0)
    line = linearize(own, point)
    drift = line.image[:, :, None] - line.recurrent @ line.point[:, :, None]
    broken = ~torch.cat([line.recurrent, line.input, drift], 2).isfinite().flatten(1).all(1)
    parts = {"recurrent": line.recurrent, "input": torch.cat([line.input, drift], 2)}
    parts = {name: part.masked_fill(broken[:, None, None], 0) for name, part in parts.items()}
    values, residues = spectral_residues(dataclasses.replace(line, **parts))
    square = values.abs().square()
    x, y, z = 2 * values.real, 2 * values.imag, 1 - square
    places = torch.stack([x, y, z], -1) / (1 + square)[:, :, None]
    flat = residues.flatten(2)
    places = places.masked_fill(broken[:, None, None], torch.nan)
    return places, torch.cat([flat.real, -flat.imag], 1)


def _squash(values: Tensor) -> Tensor:
    """Keep small numbers and the order of all, and make large ones small."""
    return values.sign() * values.abs().log1p()
