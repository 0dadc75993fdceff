"""Free running: feed the RNN's outputs back as its inputs, and read them."""

import torch
from torch import Tensor, nn

from wsrl.encoders.probing import Echo, Interrogation, ProbingEncoder
from wsrl.encoders.reader import ReaderOptions, SequenceReader
from wsrl.encoders.registry import register_encoder
from wsrl.rnn import PreparedPopulation, RNNs


@register_encoder
class FreeRunningProbing(ProbingEncoder):
    """Gives every RNN its own answers back, through ``Echo``, and the same learned pushes.

    For RNNs that predict their next token this is a soft form of sampling from them. The pushes,
    one a step and the same for all RNNs, are made as the sequences of ``NoninteractiveProbing`` and
    added to the echo before activation: they start small, and learn to lead RNNs to where they
    differ. The reader chooses no inputs, so it reads all answers at once, and a step costs less
    than in ``InteractiveProbing``.

    Options as of ``ProbingEncoder``.
    """

    def _prepare(self, probe_width: int, reader: ReaderOptions) -> None:
        self.codes = nn.Parameter(torch.randn(self.probing_length, probe_width))
        self.decoder = self._make_decoder(probe_width, probe_width)
        fed_back = self.probing_length > 1  # else it would get no gradient
        self.echo = Echo(self.spec, self.input_activation) if fed_back else None
        self.reader = SequenceReader(reader)

    def interrogate(self, weights: RNNs) -> Interrogation:
        """Probe ``B`` RNNs, one step after the other; read at the end."""
        run, state = PreparedPopulation(weights), None
        asked, answered = list[Tensor](), list[Tensor]()
        pushes = self._by_probe(self.decoder(self.codes))  # (T, P, I)
        for push in pushes[:, None].expand(-1, len(weights), -1, -1):
            if self.echo is not None and answered:
                push = push + self.echo(answered[-1])
            asked.append(self._choose(self._activate(push), len(asked)))
            outputs, state = run(asked[-1][:, :, None], state)
            answered.append(outputs[:, :, 0])
        return self._read(torch.stack(asked, 2), torch.stack(answered, 2))

    def _choose(self, inputs: Tensor, step: int) -> Tensor:
        """Return the probing inputs of a step, ``(B, P, I)``, of those that were made for it."""
        return inputs
