"""Free running: let the RNN go on by itself, and read what it says."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from wsrl.encoders.probing import Echo, InputActivation, Interrogation, ProbingEncoder
from wsrl.encoders.reader import SequenceReader
from wsrl.encoders.registry import register_encoder
from wsrl.rnn import PreparedPopulation, RNNSpec, RNNWeights


@register_encoder
class FreeRunningProbing(ProbingEncoder):
    """Gives every RNN the same learned first inputs, then its own answers, through ``Echo``.

    Of RNNs that predict their next token this is the soft form of sampling from them: what they
    were trained to do shows in what they say. Nothing decides on inputs while it runs, so that the
    answers are read all at once, and a step costs less than in ``InteractiveProbing``.

    Args:
        spec: the RNNs it reads.
        embedding_dim: as of ``ProbingEncoder``, like all others.
        num_probes: sequences in parallel, each with a first input of its own.
        probing_length: steps of each.
        probe_width: size of the hidden layer of the MLP that makes the embedding.
        reader_width: size of the reading LSTM.
        reader_layers: layers of the reading LSTM.
        input_activation: of the probing inputs.
    """

    def __init__(
        self,
        spec: RNNSpec,
        embedding_dim: int = 16,
        num_probes: int = 4,
        probing_length: int | None = None,
        probe_width: int = 128,
        reader_width: int = 256,
        reader_layers: int = 2,
        input_activation: InputActivation | None = None,
    ) -> None:
        super().__init__(
            spec,
            embedding_dim,
            num_probes,
            probing_length,
            probe_width,
            reader_width,
            reader_layers,
            input_activation,
        )

    def _prepare(self, probe_width: int, reader_width: int, reader_layers: int) -> None:
        self.start = nn.Parameter(torch.randn(self.num_probes, self.spec.input_size))
        self.echo = Echo(self.spec, self.input_activation)
        self.reader = SequenceReader(reader_width, reader_layers)

    def interrogate(self, weights: RNNWeights) -> Interrogation:
        """Probe ``B`` RNNs, one step after the other; read at the end."""
        run, state = PreparedPopulation(weights), None
        next_input: Tensor = self.start.expand(len(weights), -1, -1)
        asked: list[Tensor] = []
        answered: list[Tensor] = []
        for _ in range(self.probing_length):
            asked.append(self._activate(next_input))  # (B, P, I)
            outputs, state = run(asked[-1][:, :, None], state)
            answered.append(outputs[:, :, 0])
            next_input = self.echo(answered[-1])
        return self._read(torch.stack(asked, 2), torch.stack(answered, 2))
