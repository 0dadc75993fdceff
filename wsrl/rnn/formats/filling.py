"""Layers of several sizes as layers of one size: what is added is read by nobody."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from torch import Tensor
from torch.nn.functional import pad

from wsrl.rnn.cells import BELOW, Cell, CellTensor


def filled_up(
    kind: Cell, layers: Sequence[Mapping[str, Tensor]]
) -> tuple[list[dict[str, Tensor]], list[int]]:
    """Give every layer as many neurons as the largest has.

    All weights of the neurons that are added are zero, both those by which they read and those by
    which they are read. The function of the RNN stays.

    Args:
        kind: the cell.
        layers: its tensors in each layer, as they are.

    Returns:
        Tensors that fit each other, and how many neurons were added to each layer.

    Raises:
        ValueError: where a layer reads another number of values than the layer below has.

    >>> from torch import ones
    >>> from wsrl.rnn import get_cell
    >>> sizes = [(3, 2), (1, 3)]  # H and I of each layer
    >>> layers = [{"weight_ih": ones(h, i), "weight_hh": ones(h, h)} for h, i in sizes]
    >>> filled, added = filled_up(get_cell("tanh"), layers)
    >>> filled[1]["weight_hh"].tolist(), added
    ([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], [0, 2])
    """
    own = [dict(layer) for layer in layers]
    shapes = [{name: tuple(value.shape) for name, value in layer.items()} for layer in own]
    sizes = [kind.sizes(found, bias=False) for found in shapes]
    known = [found for found in sizes if found is not None]
    if len(known) < len(sizes) or len({hidden for _, hidden in known}) == 1:
        return own, [0] * len(own)
    for (_, hidden), (below, _) in pairwise(known):
        if below != hidden:
            raise ValueError(f"a layer reads {below} values of a layer that has {hidden}")
    size = max(hidden for _, hidden in known)
    tensors = {tensor.name: tensor for tensor in kind.tensors(bias=True)}
    filled = [
        {
            name: _filled(value, tensors[name], size, reads_layer=layer > 0)
            for name, value in given.items()
        }
        for layer, given in enumerate(own)
    ]
    return filled, [size - hidden for _, hidden in known]


def _filled(value: Tensor, tensor: CellTensor, size: int, reads_layer: bool) -> Tensor:
    """Return a tensor with zeros after the neurons of each gate, and of the layer below."""
    gated = value.unflatten(0, (tensor.gates, -1))
    missing = [
        size - length if axis.size is None and (axis != BELOW or reads_layer) else 0
        for axis, length in zip(tensor.axes, gated.shape[1:], strict=True)
    ]
    return pad(gated, [n for more in reversed(missing) for n in (0, more)]).flatten(0, 1)
