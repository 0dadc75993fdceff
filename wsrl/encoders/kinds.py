"""What tensors and neurons are, in words, and learned embeddings of it: for RNNs of any cell."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from wsrl.rnn import RNNSpec, TensorSpec

_BITS = 256  # of a word's code


@lru_cache(maxsize=4096)
def code(word: str) -> Tensor:
    """Return the code of a word, ``(256,)`` of unit norm: the same on every machine.

    >>> code("lstm").shape, code("lstm").norm().item()
    (torch.Size([256]), 1.0)
    """
    digest = hashlib.blake2b(word.encode(), digest_size=_BITS // 8).digest()
    bits = [byte >> place & 1 for byte in digest for place in range(8)]
    signs: Tensor = 2 * torch.tensor(bits, dtype=torch.float32) - 1
    return signs.div_(_BITS**0.5)


class Kind(NamedTuple):
    """What something is, in words.

    Attributes:
        common: words that RNNs of many cells and sizes share.
        rare: words that few share: their embeddings are small before training.
    """

    common: tuple[str, ...]
    rare: tuple[str, ...]


class KindEmbedding(nn.Module):
    """Embeddings of ``n`` kinds, ``(n, size)``: the sum over their words.

    A word's embedding is a learned map of its code, which is the bits of its digest as signs. Codes
    of different words are nearly orthogonal, so every word can learn an embedding of its own, and
    no vocabulary is needed. A word that training had none of nearly keeps its first embedding.

    Args:
        size: of an embedding.
        scale: standard deviation of the numbers of a common word's first embedding; those of a rare
            word are a tenth.
    """

    def __init__(self, size: int, scale: float = 1.0) -> None:
        super().__init__()
        self.common = nn.Parameter(scale * torch.randn(_BITS, size))
        self.rare = nn.Parameter(0.1 * scale * torch.randn(_BITS, size))

    def forward(self, kinds: Sequence[Kind]) -> Tensor:
        """Embed each kind."""
        codes = [[sum(map(code, words), torch.zeros(_BITS)) for words in kind] for kind in kinds]
        stacked = torch.stack([torch.cat(parts) for parts in codes]).to(self.common)
        embeddings: Tensor = stacked @ torch.cat([self.common, self.rare])
        return embeddings


def tensor_kinds(spec: RNNSpec, tensors: Iterable[TensorSpec], what: str) -> list[Kind]:
    """Return what the numbers of every gate of each tensor are; the layer is left out.

    >>> spec = RNNSpec("gru", 3, 8, 2, 3)
    >>> tensor_kinds(spec, spec.tensors[4:5], "to rows")[2].common
    ('rnn.weight_ih to rows', 'rnn.weight_ih to rows, gate 2')
    """
    named = [(f"{re.sub('_l[0-9]+$', '', each.name)} {what}", each.gates) for each in tensors]
    gates = [(name, f"{name}, gate {gate}") for name, number in named for gate in range(number)]
    return [Kind(words, _in_rnn(spec, words[1])) for words in gates]


def neuron_kind(spec: RNNSpec, label: str) -> Kind:
    """Return what the neurons of a label are; their layer is told from either end.

    >>> neuron_kind(RNNSpec("gru", 3, 8, 2, 3), "hidden_0")
    Kind(common=('hidden',), rare=('hidden 0', 'hidden -2', 'hidden of gru'))
    """
    found = re.fullmatch(r"(.*)_([0-9]+)", label)
    if found is None:
        return Kind((label,), _in_rnn(spec, label))
    word, layer = found[1], int(found[2])
    layers = (f"{word} {layer}", f"{word} {layer - spec.num_layers}")
    return Kind((word,), (*layers, *_in_rnn(spec, word)))


def _in_rnn(spec: RNNSpec, word: str) -> tuple[str, ...]:
    """Return the word for this cell alone, and for what else of the RNN is no number."""
    parts = [spec.cell.partition("(")[0], spec.cell]
    parts += [f"a readout with {spec.readout_activation}"] if spec.readout_widths else []
    return tuple(f"{word} of {part}" for part in dict.fromkeys(parts))
