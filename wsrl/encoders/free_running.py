"""Free running: let the RNN go on by itself, and read what it says."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from wsrl.encoders.probing import Echo, Interrogation, ProbingEncoder
from wsrl.encoders.reader import SequenceReader
from wsrl.encoders.registry import register_encoder
from wsrl.rnn import PreparedPopulation, RNNWeights


@register_encoder
class FreeRunningProbing(ProbingEncoder):
    """Gives every RNN the same learned first inputs, then its own answers, through ``Echo``.

    Of RNNs that predict their next token this is the soft form of sampling from them: what they
    were trained to do shows in what they say. Nothing decides on inputs while it runs, so that the
    answers are read all at once, and a step costs less than in ``InteractiveProbing``.

    Options as of ``ProbingEncoder``.
    """

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
