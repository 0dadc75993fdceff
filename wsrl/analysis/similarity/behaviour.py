"""How far apart RNNs are by what they answer to the same inputs."""

import torch
from torch import Tensor


def output_distances(outputs: Tensor, output_kind: str, counts: Tensor | None = None) -> Tensor:
    """Return how far apart outputs are, ``(B, B)`` in float64.

    Of ``categorical`` outputs it is the mean total variation between the distributions (between 0
    and 1), of ``real`` ones the root of the mean squared difference. Both are metrics.

    Args:
        outputs: ``(B, S, T, O)``, the values of ``run_population``.
        output_kind: ``categorical``, where they are logits, or ``real``.
        counts: ``(S, T)``, which steps count; all by default.

    Raises:
        ValueError: where no step counts, or outputs are not finite.

    >>> outputs = torch.tensor([0.0, 3.0]).view(2, 1, 1, 1)
    >>> output_distances(outputs, "real").tolist()
    [[0.0, 3.0], [3.0, 0.0]]
    """
    bad = (~outputs.isfinite()).flatten(1).any(1).nonzero().flatten().tolist()
    if bad:
        raise ValueError(f"RNNs {bad[:5]} have outputs that are not finite: leave them out")
    values = outputs.double()
    if output_kind == "categorical":
        values = values.softmax(-1)
    chosen = values.flatten(1, 2) if counts is None else values[:, counts.bool()]
    if chosen.shape[1] == 0:
        raise ValueError("no step of the sequences counts: there is nothing to compare")
    flat = chosen.flatten(1)
    if output_kind == "categorical":
        return torch.cdist(flat, flat, p=1.0) / (2 * chosen.shape[1])
    # Without products of matrices, whose rounding would leave a distance of an RNN to itself.
    apart: Tensor = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")
    return apart.div_(flat.shape[1] ** 0.5)
