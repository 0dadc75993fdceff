"""Probing sequences made by a deep linear generator.

Source: Kahana, Horwitz, Shuval and Hoshen, "Deep Linear Probe Generators for Weight Space Learning"
(ICLR 2025): probes are learned codes passed through linear layers that all probes share, with
nothing nonlinear between the layers.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from wsrl.encoders.probing import FixedProbing, InputActivation
from wsrl.encoders.reader import ReaderOptions, SequenceReader
from wsrl.encoders.registry import register_encoder
from wsrl.rnn import RNNInterface, RNNSpec

GENERATOR_LAYERS = 3  # linear maps from a code to its sequence


@register_encoder
class ProbeGenerators(FixedProbing):
    """Asks every RNN the same sequences, each generated linearly from a learned code.

    The product of the generator's layers is one linear map, yet one that is learned as a product
    tends to low rank: probes come to resemble one another. The only nonlinearity is the activation
    that makes valid inputs. An LSTM reads the answers, as in all our probing encoders; the paper's
    networks have no steps, and there an MLP does.

    Options as of ``ProbingEncoder``; ``probe_width`` is the size of a code, too.
    """

    def __init__(
        self,
        spec: RNNSpec | RNNInterface,
        embedding_dim: int = 16,
        num_probes: int = 8,
        probing_length: int | None = None,
        probe_width: int = 128,
        reader_width: int = 256,
        reader_layers: int = 2,
        input_activation: InputActivation | None = None,
        open_forget_gates: bool = True,
    ) -> None:
        asked, read = (num_probes, probing_length, probe_width), (reader_width, reader_layers)
        how = (input_activation, open_forget_gates)
        super().__init__(spec, embedding_dim, *asked, *read, *how)

    def _prepare(self, probe_width: int, reader: ReaderOptions) -> None:
        self.codes = nn.Parameter(torch.randn(self.num_probes, probe_width))
        sizes = [probe_width] * GENERATOR_LAYERS
        sizes.append(self.probing_length * self.spec.input_size)
        self.generator = nn.Sequential(*(_linear(a, b) for a, b in pairwise(sizes)))
        self.reader = SequenceReader(reader)

    def sequences(self) -> Tensor:
        """Return the probing sequences, ``(P, T, I)``."""
        values = self.generator(self.codes)
        return self._activate(values.unflatten(-1, (self.probing_length, self.spec.input_size)))


def _linear(inputs: int, outputs: int) -> nn.Linear:
    linear = nn.Linear(inputs, outputs)
    nn.init.kaiming_normal_(linear.weight, nonlinearity="linear")  # keeps the scale
    nn.init.zeros_(linear.bias)
    return linear
