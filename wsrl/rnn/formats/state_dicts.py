"""State dicts in memory as weights."""

import warnings
from collections.abc import Mapping

from torch import Tensor

from wsrl.rnn.formats.content import OpenChoiceError
from wsrl.rnn.formats.reading import read_content
from wsrl.rnn.formats.torch_checkpoints import content_of
from wsrl.rnn.weights import RNNWeights


def read_state_dict(state: Mapping[str, Tensor], cell: str | None = None) -> RNNWeights:
    """Read one RNN out of the state dict of a model, or a checkpoint with one; ``B = 1``.

    The model is a recurrent module, such as ``nn.LSTM``, and an ``nn.Linear`` on its outputs, each
    under any name: ``lstm.weight_ih_l0``, ``fc.weight``. Where several cells have such tensors,
    those of ``torch.nn`` come first; of an ``nn.RNN``, which has tanh or ReLU, ``cell`` must be
    given. ``wsrl.read_rnn`` reads the same from files, and says what else can be there.

    >>> import torch
    >>> model = torch.nn.ModuleDict({"core": torch.nn.RNN(3, 8), "out": torch.nn.Linear(8, 2)})
    >>> print(read_state_dict(model.state_dict(), cell="tanh").spec)
    tanh 1x8, 3 inputs, 2 outputs

    Raises:
        OpenChoiceError: a ``ValueError``; where ``cell``, or more, is needed and not given.
        ValueError: naming the keys, where they are not those of one such model.
    """
    return read_content(content_of(state, "memory"), cell=cell).weights


def weights_from_state_dict(state: Mapping[str, Tensor], cell: str | None = None) -> RNNWeights:
    """Read a state dict as ``read_state_dict`` does, but that of an ``nn.RNN`` as tanh.

    Warns where it takes a state dict for tanh without being told.

    >>> import torch
    >>> model = torch.nn.ModuleDict({"core": torch.nn.GRU(3, 8), "out": torch.nn.Linear(8, 2)})
    >>> print(weights_from_state_dict(model.state_dict()).spec)
    gru 1x8, 3 inputs, 2 outputs
    """
    try:
        return read_state_dict(state, cell)
    except OpenChoiceError as error:
        if "cell" not in error.options:
            raise
        warnings.warn(f"taken for tanh: {error}", stacklevel=2)
        return read_state_dict(state, "tanh")
