"""The layers of ``nn.TransformerEncoder``, computed with less work and less traffic of memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def apply_layer(layer: nn.TransformerEncoderLayer, tokens: Tensor, first: int = 0) -> Tensor:
    """Return what a layer makes of the tokens from ``first`` on, which attend to all tokens.

    It equals ``layer(tokens)[:, first:]``, but leaves out the work for the tokens before, and keeps
    every large array in rows of tokens: torch's own layer lays ``(T, B, W)`` out for attention,
    whose kernel then reads rows ``B`` tokens apart, half as fast on a CPU.

    ``layer`` is a post-norm layer with ReLU. ``tokens`` are ``(B, T, W)``, the result
    ``(B, T - first, W)``; ``first`` may be negative, from the end.
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
    # On the CPU torch has no fused kernel with dropout, and takes slow random numbers.
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
    kept = (levels >= dropped - 2**15).to(values.dtype)
    return values * kept.mul_(2**16 / (2**16 - dropped))
