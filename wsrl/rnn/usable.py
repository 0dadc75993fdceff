"""Weights that no RNN should have."""

import torch

from wsrl.rnn.cells import BELOW, HIDDEN
from wsrl.rnn.mixed import MixedRNNs, RNNs
from wsrl.rnn.spec import layer_name
from wsrl.rnn.weights import RNNWeights


def check_finite(rnns: RNNs) -> None:
    """Refuse, by a ``ValueError`` that names the tensors, weights that are not finite.

    >>> from wsrl.rnn import RNNSpec
    >>> spec = RNNSpec("gru", 3, 8, 1, 2)
    >>> check_finite(RNNWeights(torch.zeros(1, spec.num_parameters), spec))
    """
    groups = rnns.groups if isinstance(rnns, MixedRNNs) else (rnns,)
    weights = [group for group in groups if isinstance(group, RNNWeights)]
    if all(bool(group.flat.isfinite().all()) for group in weights):
        return
    tensors = [pair for group in weights for pair in group.tensors().items()]
    wrong = list(dict.fromkeys(name for name, value in tensors if not value.isfinite().all()))
    more = f" and {len(wrong) - 8} more" if len(wrong) > 8 else ""
    raise ValueError(
        f"not all numbers are finite in {', '.join(wrong[:8])}{more}, as after a training that "
        "diverged: take an earlier checkpoint"
    )


def check_usable(weights: RNNWeights) -> None:
    """Refuse RNNs that cannot be meant: a mask leaves a neuron nothing to read.

    It has no input and no other neuron, where the mask is stored the wrong way round or was zeroed.

    >>> from wsrl.rnn import RNNSpec
    >>> spec = RNNSpec("leaky(constraint='mask')", 3, 8, 1, 2)
    >>> weights = RNNWeights(torch.ones(1, spec.num_parameters), spec)
    >>> check_usable(weights)
    >>> for name in ("rnn.weight_ih_l0", "rnn.mask_l0"):
    ...     _ = weights.tensors()[name][0, 5].zero_()
    >>> try:
    ...     check_usable(weights)
    ... except ValueError as error:
    ...     print(str(error).partition(":")[0])
    rnn.mask_l0 leaves neurons 5 of RNN 0 nothing to read

    Raises:
        ValueError: naming the mask, the neurons and the RNN.
    """
    known = weights.spec.kind.tensors(weights.spec.bias)
    masks = [tensor.mask for tensor in known if tensor.mask is not None]
    for layer, values in enumerate(weights.layers() if masks else []):
        reached = torch.zeros(len(weights), weights.spec.hidden_size, dtype=torch.bool)
        for tensor in known:
            if tensor.axes in ((HIDDEN, BELOW), (HIDDEN, HIDDEN)) and tensor.name not in masks:
                value = values[tensor.name]
                value = value if tensor.mask is None else value * values[tensor.mask]
                used = (value != 0).any(2).unflatten(1, (tensor.gates, -1)).any(1)
                reached |= used.cpu()
        if not reached.all():
            rnn = int((~reached).any(1).nonzero()[0])
            alone = (~reached[rnn]).nonzero()[:, 0].tolist()
            more = f" and {len(alone) - 8} more" if len(alone) > 8 else ""
            raise ValueError(
                f"{layer_name(masks[0], layer)} leaves neurons {', '.join(map(str, alone[:8]))}"
                f"{more} of RNN {rnn} nothing to read: no input, no neuron. Rows are what is "
                "reached, columns what is heard: transpose the mask, or leave these neurons out"
            )
