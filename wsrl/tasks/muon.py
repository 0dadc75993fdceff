"""Muon for matrices and AdamW for all else, as one optimiser."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Muon, Optimizer


class MuonWithAdamW(Optimizer):
    """PyTorch's Muon trains all matrices, its AdamW every other parameter.

    Muon (Jordan and others, 2024; ``torch.optim.Muon``) makes the momentum of a matrix orthogonal
    before it is added, so that all directions of it are learned equally fast. PyTorch does that in
    bfloat16, in which some CPUs are very slow; with instructions for it, a matrix of 256 x 64 takes
    a thread 0.7 ms, one of 1024 x 256 11 ms. Others leave embeddings and readouts to AdamW; here
    they are matrices too.

    Args:
        params: parameters of both kinds, or of one; neither groups of them nor names.
        lr: of AdamW.
        muon_lr: of Muon.
        weight_decay: of both.
        momentum: of Muon.

    Raises:
        TypeError: for groups of parameters, or ones that are added later.

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
        given = list(params)
        if not all(isinstance(each, Tensor) for each in given):
            raise TypeError("expected parameters, not groups of them or pairs with their names")
        matrices = [parameter for parameter in given if parameter.ndim == 2]
        others = [parameter for parameter in given if parameter.ndim != 2]
        parts = list[Optimizer]()
        if matrices:
            muon = Muon(matrices, muon_lr, weight_decay=weight_decay, momentum=momentum)
            parts.append(muon)
        if others:
            parts.append(AdamW(others, lr, weight_decay=weight_decay))
        super().__init__([group for part in parts for group in part.param_groups], {})
        self._share()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over a state, as of a checkpoint or a copy."""
        super().__setstate__(state)
        self._share()

    def _share(self) -> None:
        """Make a part of each group, which works on that group and on this optimiser's state."""
        self._parts = list[Optimizer]()
        for group in self.param_groups:
            of_muon = "ns_steps" in group
            part = Muon(group["params"]) if of_muon else AdamW(group["params"])
            part.param_groups, part.state = [group], self.state
            self._parts.append(part)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take the first groups; later ones are a ``TypeError``."""
        if hasattr(self, "_parts"):
            raise TypeError("MuonWithAdamW takes all parameters at once, when it is made")
        super().add_param_group(param_group)

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Do a step of both; return what ``closure``, if given, says after computing gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self._parts:
            part.step()
        return loss
