"""LSTMs, or GRUs, that read the answers of a probed RNN.

Forget gates start open (a bias of 1) unless told otherwise: what the first answers said is still
there at the end. Of GRUs these are the update gates.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias, cast

from torch import Tensor, nn

from wsrl.rnn.lstm import run_lstm, run_lstm_cell

ReaderState: TypeAlias = list[tuple[Tensor, ...]]
"""``(h, c)`` of every layer, of a GRU ``(h,)``, each ``(B, width)``."""


class ReaderOptions(NamedTuple):
    """What readers are made of; see ``ProbingEncoder``."""

    width: int
    layers: int
    open_forget_gates: bool = True
    gru: bool = False
    residual: bool = True
    dropout: float = 0.0

    def make_layers(self, kind: Callable[[int, int], nn.Module]) -> nn.ModuleList:
        """Make the layers by ``kind(width, width)``, with their gates as wanted."""
        layers = nn.ModuleList(kind(self.width, self.width) for _ in range(self.layers))
        for name, parameter in layers.named_parameters():
            if self.open_forget_gates and "bias_ih" in name:
                # The second gate of either: LSTMs have i, f, g, o, GRUs r, z, n.
                nn.init.ones_(parameter[self.width : 2 * self.width])
        return layers


class SequenceReader(nn.Module):
    """Layers with residual connections around them; reads a whole sequence at once."""

    def __init__(self, options: ReaderOptions) -> None:
        super().__init__()
        self.layers = options.make_layers(nn.GRU if options.gru else nn.LSTM)
        self.residual, self.dropout = options.residual, nn.Dropout(options.dropout)

    def forward(self, values: Tensor) -> Tensor:
        """Read ``(B, T, width)``; return the outputs, ``(B, T, width)``."""
        values = values.transpose(0, 1)
        for layer in self.layers:
            read = run_lstm(layer, values) if isinstance(layer, nn.LSTM) else layer(values)[0]
            read = self.dropout(read)
            values = values + read if self.residual else read
        return values.transpose(0, 1)


class StepReader(nn.Module):
    """The same as ``SequenceReader``, one step at a time: for what depends on its outputs."""

    def __init__(self, options: ReaderOptions) -> None:
        super().__init__()
        self.layers = options.make_layers(nn.GRUCell if options.gru else nn.LSTMCell)
        self.residual, self.dropout = options.residual, nn.Dropout(options.dropout)

    def start(self, like: Tensor) -> ReaderState:
        """Return the state before the first step, for values such as ``like (B, width)``."""
        zeros = like.new_zeros(like.shape)
        return [(zeros, zeros) if isinstance(x, nn.LSTMCell) else (zeros,) for x in self.layers]

    def forward(self, values: Tensor, state: ReaderState) -> tuple[Tensor, ReaderState]:
        """Read one step ``(B, width)``; return the output ``(B, width)`` and the new state."""
        new_state: ReaderState = []
        for layer, before in zip(self.layers, state, strict=True):
            if isinstance(layer, nn.LSTMCell):
                new_state.append(run_lstm_cell(layer, values, cast(tuple[Tensor, Tensor], before)))
            else:
                new_state.append((layer(values, before[0]),))
            read = self.dropout(new_state[-1][0])
            values = values + read if self.residual else read
        return values, new_state
