"""Encoders that come with the package, by name."""

from pathlib import Path

import wsrl
from wsrl.tasks import EmulationModule

_FOLDER = Path(wsrl.__file__).parent / "pretrained"

ENCODER = "encoder"
"""The run of the encoder, in the folder of an exported run."""


def list_pretrained() -> tuple[str, ...]:
    """Return the names of the encoders that come with the package, in order.

    >>> list_pretrained()
    ('languages',)
    """
    return tuple(sorted(path.parent.name for path in _FOLDER.glob("*/card.md")))


def pretrained_folder(name: str) -> Path:
    """Return the exported run of a name (``export_run``); an unknown one is a ``ValueError``.

    How the encoder was trained, what it can do and what not, its ``card.md`` says.
    """
    if name not in list_pretrained():
        known = ", ".join(list_pretrained())
        raise ValueError(f"no pretrained encoder {name!r}; there are: {known}")
    return _FOLDER / name


def load_pretrained(name: str) -> EmulationModule:
    """Return an encoder that comes with the package, with its emulator, ready to embed RNNs.

    An unknown name is a ``ValueError``.

    >>> import torch, wsrl
    >>> module = load_pretrained("languages")
    >>> spec = wsrl.RNNSpec("gru", input_size=6, hidden_size=10, num_layers=1, output_size=6)
    >>> weights = wsrl.RNNWeights(torch.randn(3, spec.num_parameters), spec)
    >>> wsrl.embed(module.encoder, weights).shape
    torch.Size([3, 16])
    """
    path = pretrained_folder(name) / ENCODER / "checkpoints" / "best.ckpt"
    return EmulationModule.load_from_checkpoint(path, map_location="cpu").eval()
