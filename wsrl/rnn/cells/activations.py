"""Nonlinearities by name."""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "none": torch.positive,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softplus": partial(functional.softplus, threshold=40),  # that of 20 is exact to 2e-9 only
    "retanh": lambda values: torch.relu(torch.tanh(values)),
    "gelu": functional.gelu,
    "silu": functional.silu,
    "softmax": partial(torch.softmax, dim=-1),
}
"""Functions that keep the shape; softmax is over the last axis, retanh is tanh from 0 on."""
