"""Muon for matrices and AdamW for all else, as one optimiser."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Optimizer


class MuonWithAdamW(Optimizer):
    """PyTorch's Muon trains the matrices, its AdamW every other parameter.

    Muon (Jordan and others, 2024; ``torch.optim.Muon``) makes the momentum of a matrix orthogonal
    before it is added, so that all directions of it are learned equally fast. PyTorch does that in
    bfloat16, in which some CPUs are very slow; with instructions for it, a matrix of 256 x 64 takes
    a thread 0.7 ms, one of 1024 x 256 11 ms.

    Args:
        params: parameters of both kinds, or of one.
        lr: of AdamW.
        muon_lr: of Muon.
        weight_decay: of both.
        momentum: of Muon.

    Raises:
        ImportError: for a PyTorch older than 2.9, which has no Muon.

    >>> layer = nn.Linear(3, 2)
    >>> optimizer = MuonWithAdamW(layer.parameters(), muon_lr=0.1)
    >>> layer(torch.ones(1, 3)).sum().backward()
    >>> optimizer.step()
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 2e-3,
        muon_lr: float = 0.02,
        weight_decay: float = 0.01,
        momentum: float = 0.95,
    ) -> None:
        if not hasattr(torch.optim, "Muon"):
            raise ImportError(f"Muon needs PyTorch 2.9 or newer, not {torch.__version__}")
        given = list(params)
        matrices = [parameter for parameter in given if parameter.ndim == 2]
        others = [parameter for parameter in given if parameter.ndim != 2]
        self._parts: list[Optimizer] = []
        if matrices:
            muon = torch.optim.Muon(matrices, muon_lr, weight_decay=weight_decay, momentum=momentum)
            self._parts.append(muon)
        if others:
            self._parts.append(AdamW(others, lr, weight_decay=weight_decay))
        super().__init__([group for part in self._parts for group in part.param_groups], {})
        self._share()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over a state, as of a checkpoint."""
        super().__setstate__(state)
        self._share()

    def _share(self) -> None:
        """Have the parts work on this optimiser's own groups and state, one group each."""
        for part, group in zip(self._parts, self.param_groups, strict=True):
            part.param_groups, part.state = [group], self.state

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Do a step of both; return what ``closure``, if given, says after computing gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self._parts:
            part.step()
        return loss
