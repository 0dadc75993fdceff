"""A batch: RNNs, sequences, outputs on these, and labels."""

from __future__ import annotations

import torch
from torch import Tensor

from wsrl.rnn import RNNs


class ZooBatch:
    """``B`` snapshots out of a zoo, with ``S`` stored sequences of each.

    No dataclass, which Lightning takes apart to cast it: this one is moved and cast by ``to``.

    Args:
        weights: the ``B`` RNNs, of one spec or of several.
        inputs: ``(B, S, T, I)``.
        outputs: ``(B, S, T, O)`` floating point, logits or real values.
        targets: by name ``(B, parts)``, long (classes) or floating point.
        task: ``(B, K)`` floating point.
        performance: ``(B,)`` floating point.
        run: ``(B,)`` int64, the training run a snapshot is from.
        step: ``(B,)`` int64, the training step it was taken at.
        row: ``(B,)`` int64, its index in the zoo.
    """

    def __init__(
        self,
        weights: RNNs,
        inputs: Tensor,
        outputs: Tensor,
        targets: dict[str, Tensor],
        *,
        task: Tensor,
        performance: Tensor,
        run: Tensor,
        step: Tensor,
        row: Tensor,
    ) -> None:
        self.weights, self.inputs, self.outputs, self.targets = weights, inputs, outputs, targets
        self.task, self.performance = task, performance
        self.run, self.step, self.row = run, step, row

    def __len__(self) -> int:
        return len(self.weights)

    def labels(self) -> dict[str, Tensor]:
        """Whose weights these are: ``run``, ``step``, ``task``, ``performance`` and ``row``."""
        names = ("run", "step", "task", "performance", "row")
        return {name: getattr(self, name) for name in names}

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> ZooBatch:
        """Return the batch on a device and with floating point values of a dtype.

        What is known of the RNNs is never held in less than float32: an angle would change.
        """
        label_dtype = dtype if dtype is None or dtype.itemsize >= 4 else torch.float32

        def cast(tensor: Tensor, kept: torch.dtype | None = dtype) -> Tensor:
            return tensor.to(device, kept if tensor.is_floating_point() else None)

        labels = {name: cast(label, label_dtype) for name, label in self.labels().items()}
        return ZooBatch(
            weights=self.weights.to(device, dtype),
            inputs=cast(self.inputs),
            outputs=cast(self.outputs),
            targets={name: cast(target, label_dtype) for name, target in self.targets.items()},
            **labels,
        )
