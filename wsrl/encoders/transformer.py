"""A transformer that reads one token per row of every weight matrix."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from wsrl.encoders.base import Encoder, check_dropout, check_sizes
from wsrl.encoders.registry import register_encoder
from wsrl.rnn import RNNSpec, RNNWeights, TensorSpec

SCORES_AT_ONCE = 2**20
"""Of attention with dropout on the CPU: 4 MiB."""


@register_encoder
class ParameterTransformer(Encoder):
    """A transformer on the rows of all weight matrices, each with its entry of the bias.

    A vector that is no matrix's bias, such as time constants, is one row for each gate. Each matrix
    has its own linear map from a row to a token; positions are learned. A summary token is
    appended, and its output gives the embedding. Not invariant to permutations of hidden neurons,
    because of the positions: train it on randomly permuted RNNs.

    Args:
        width: size of a token.
        depth: number of layers.
        heads: attention heads; they divide the width.
        feedforward: size of the hidden layer within each block, in widths.
        dropout: probability to drop a value in training.
        unit_norm: as of ``Encoder``.

    Raises:
        ValueError: where the heads do not divide the width, or dropout is not in [0, 1).
    """

    def __init__(
        self,
        spec: RNNSpec,
        embedding_dim: int = 16,
        width: int = 128,
        depth: int = 6,
        heads: int = 2,
        feedforward: int = 4,
        dropout: float = 0.1,
        unit_norm: bool = True,
    ) -> None:
        super().__init__(spec, embedding_dim, unit_norm)
        check_sizes(width=width, depth=depth, heads=heads, feedforward=feedforward)
        if width % heads:
            raise ValueError(f"width must be a multiple of heads, not {width} with {heads} heads")
        check_dropout(dropout)
        self._pairs = _matrices_with_biases(spec)
        self.to_tokens = nn.ModuleList(
            nn.Linear(matrix.sizes[-1] + (bias is not None), width) for matrix, bias in self._pairs
        )
        num_tokens = sum(matrix.numel // matrix.sizes[-1] for matrix, _ in self._pairs)
        self.positions = nn.Parameter(0.02 * torch.randn(num_tokens, width))
        self.summary = nn.Parameter(0.02 * torch.randn(width))
        # Made one by one: nn.TransformerEncoder would start all layers as copies of one. They hold
        # the parameters; ``apply_layer`` computes what they would.
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, feedforward * width, dropout, activation="relu", batch_first=True
            )
            for _ in range(depth)
        )
        self.head = nn.Linear(width, embedding_dim)

    def forward(self, weights: RNNWeights) -> Tensor:
        """Encode ``B`` RNNs; return ``(B, D)``."""
        values = self._tokens(weights)
        *layers, last = cast(list[nn.TransformerEncoderLayer], list(self.layers))
        for layer in layers:
            values = apply_layer(layer, values)
        # The summary token alone is read, so the last layer makes no other.
        embedding: Tensor = self.head(apply_layer(last, values, first=-1)[:, 0])
        return embedding

    def _tokens(self, weights: RNNWeights) -> Tensor:
        """Return the rows' tokens and the summary token, ``(B, rows + 1, width)``."""
        parts = []
        for linear, (matrix, bias) in zip(self.to_tokens, self._pairs, strict=True):
            rows = weights.gated(matrix).flatten(1, -2)
            if bias is not None:
                rows = torch.cat([rows, weights.tensor(bias)[:, :, None]], 2)
            parts.append(linear(rows))
        tokens = torch.cat(parts, 1) + self.positions
        return torch.cat([tokens, self.summary.expand(len(weights), 1, -1)], 1)


def _matrices_with_biases(spec: RNNSpec) -> list[tuple[TensorSpec, TensorSpec | None]]:
    named = {tensor.name: tensor for tensor in spec.tensors}
    matrices = {tensor.name: tensor for tensor in spec.tensors if len(tensor.axes) == 2}
    biases = {
        name: named.get(name.replace("weight", "bias")) for name in matrices if "weight" in name
    }
    paired = {*matrices.values(), *biases.values()}
    return [
        (tensor, biases.get(tensor.name))
        for tensor in spec.tensors
        if tensor.name in matrices or tensor not in paired
    ]


def apply_layer(layer: nn.TransformerEncoderLayer, tokens: Tensor, first: int = 0) -> Tensor:
    """Return ``layer(tokens)[:, first:]`` of ``tokens (B, T, W)``, for less.

    It leaves out the work for the tokens before, and keeps every large array in rows of tokens:
    torch's own layer, post-norm with ReLU, lays ``(T, B, W)`` out for attention, whose kernel then
    reads rows ``B`` tokens apart, half as fast on a CPU.
    """
    attention, dropout = layer.self_attn, layer.dropout.p if layer.training else 0.0
    batch, _, width = tokens.shape
    per_head = (batch, -1, attention.num_heads, width // attention.num_heads)
    own = tokens[:, first:].reshape(-1, width)
    weights = attention.in_proj_weight.split([width, 2 * width])
    biases = attention.in_proj_bias.split([width, 2 * width])
    query = F.linear(own, weights[0], biases[0]).view(per_head)
    both = F.linear(tokens.reshape(-1, width), weights[1], biases[1])
    key, value = both.view(batch, -1, 2, *per_head[2:]).unbind(2)
    attended = _attend(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), dropout)
    attended = attention.out_proj(attended.transpose(1, 2).reshape(-1, width))
    own = layer.norm1(own + _dropout(attended, dropout))
    # ReLU and dropout in this order give the same: it is ReLU's result that is kept for the
    # gradient, and it can be computed in place.
    hidden = _dropout(layer.linear1(own), dropout).relu_()
    result: Tensor = layer.norm2(own + _dropout(layer.linear2(hidden), dropout))
    return result.view(batch, -1, width)


def _attend(query: Tensor, key: Tensor, value: Tensor, dropout: float) -> Tensor:
    """Attend; all are ``(B, heads, T, size)``, as is the result."""
    if not dropout or query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
    # On the CPU torch has no fused kernel with dropout. A few RNNs at a time, their scores stay in
    # the cache; the backward pass computes them again, which is faster than keeping them.
    scores_of_one = query.shape[1] * query.shape[2] * key.shape[2]
    rnns = max(1, SCORES_AT_ONCE // scores_of_one)
    slices = zip(*(tensor.split(rnns) for tensor in (query, key, value)), strict=True)
    parts = [checkpoint(_attend_few, *few, dropout, use_reentrant=False) for few in slices]
    return torch.cat(parts)


def _attend_few(query: Tensor, key: Tensor, value: Tensor, dropout: float) -> Tensor:
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    return _dropout(scores.softmax(-1), dropout) @ value


def _dropout(values: Tensor, probability: float) -> Tensor:
    """Drop values, the probability rounded to a multiple of ``2**-16`` on the CPU.

    There random numbers are most of the cost: four values share the 64 bits of one.
    """
    if not probability or values.device.type != "cpu":
        return F.dropout(values, probability)
    dropped = min(round(probability * 2**16), 2**16 - 1)
    numbers = torch.empty(-(-values.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    levels = numbers.view(torch.int16)[: values.numel()].view(values.shape)
    kept = values.masked_fill(levels < dropped - 2**15, 0.0)
    return kept.mul_(2**16 / (2**16 - dropped))
