"""Residual LSTMs that read the answers of a probed RNN.

Their forget gates start open (a bias of 1): what the first answers said is still there at the end.
"""

from typing import TypeAlias, cast

from torch import Tensor, nn

from wsrl.rnn.lstm import run_lstm, run_lstm_cell

ReaderState: TypeAlias = list[tuple[Tensor, Tensor]]
"""``(h, c)`` of every layer, each ``(B, width)``."""


def _open_forget_gates(reader: nn.Module) -> None:
    for name, parameter in reader.named_parameters():
        if "bias_ih" in name:
            nn.init.ones_(parameter.chunk(4)[1])  # gates i, f, g, o


class SequenceReader(nn.Module):
    """An LSTM with residual connections around its layers; reads a whole sequence at once."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.LSTM(width, width) for _ in range(layers))
        _open_forget_gates(self)

    def forward(self, values: Tensor) -> Tensor:
        """Read ``(B, T, width)``; return the outputs, ``(B, T, width)``."""
        values = values.transpose(0, 1)
        for layer in self.layers:
            values = values + run_lstm(cast(nn.LSTM, layer), values)
        return values.transpose(0, 1)


class StepReader(nn.Module):
    """The same as ``SequenceReader``, one step at a time: for what depends on its outputs."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.LSTMCell(width, width) for _ in range(layers))
        _open_forget_gates(self)

    def start(self, like: Tensor) -> ReaderState:
        """Return the state before the first step, for values such as ``like (B, width)``."""
        zeros = like.new_zeros(like.shape)
        return [(zeros, zeros) for _ in self.layers]

    def forward(self, values: Tensor, state: ReaderState) -> tuple[Tensor, ReaderState]:
        """Read one step ``(B, width)``; return the output ``(B, width)`` and the new state."""
        new_state = []
        for layer, before in zip(self.layers, state, strict=True):
            after = run_lstm_cell(cast(nn.LSTMCell, layer), values, before)
            values = values + after[0]
            new_state.append(after)
        return values, new_state
