"""The emulator: one LSTM that plays any RNN of a zoo, told by an embedding which one."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor, nn

EmulatorState: TypeAlias = tuple[Tensor, Tensor]
"""Hidden and cell values between two calls, each ``(layers, B, S, width)``."""


class ConditionedEmulator(nn.Module):
    """An LSTM whose first projected input has the projected embedding added to it.

    As published (Herrmann et al. 2024): what the embedding says is read once, at the first step
    (for strings, at the token that begins them), and has to be remembered.

    Args:
        input_size: ``I``.
        output_size: ``O``.
        embedding_dim: ``D``.
        width: neurons of every LSTM layer and of both projections.
        layers: LSTM layers.
        condition_every_step: add the embedding to every step's input, not only to the first.
        open_forget_gates: start with 1 in both biases of the forget gates, as the published code
            does, so that the embedding lasts through a sequence from the beginning of training.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        embedding_dim: int,
        width: int = 256,
        layers: int = 2,
        condition_every_step: bool = False,
        open_forget_gates: bool = True,
    ) -> None:
        super().__init__()
        self.condition_every_step = condition_every_step
        self.input_projection = nn.Linear(input_size, width)
        self.embedding_projection = nn.Linear(embedding_dim, width)
        self.lstm = nn.LSTM(width, width, layers, batch_first=True)
        self.readout = nn.Linear(width, output_size)
        if open_forget_gates:
            self._open_forget_gates()

    def forward(
        self, embedding: Tensor, inputs: Tensor, state: EmulatorState | None = None
    ) -> tuple[Tensor, EmulatorState]:
        """Play ``B`` RNNs on ``S`` sequences each.

        Args:
            embedding: ``(B, D)``.
            inputs: ``(B, S, T, I)``.
            state: where an earlier call ended; the sequence goes on there and its first step was
                then. ``None`` at the start.

        Returns:
            Outputs ``(B, S, T, O)`` and the state to go on from.
        """
        batch, sequences, steps, _ = inputs.shape
        driven = self.input_projection(inputs)
        if self.condition_every_step or state is None:
            driven = self._condition(driven, embedding)
        start = None if state is None else (state[0].flatten(1, 2), state[1].flatten(1, 2))
        hidden, end = self.lstm(driven.flatten(0, 1), start)
        outputs: Tensor = self.readout(hidden).view(batch, sequences, steps, -1)
        shape = (-1, batch, sequences, self.lstm.hidden_size)
        return outputs, (end[0].view(shape), end[1].view(shape))

    def _condition(self, driven: Tensor, embedding: Tensor) -> Tensor:
        told: Tensor = self.embedding_projection(embedding)[:, None, None]  # (B, 1, 1, width)
        if self.condition_every_step:
            return driven + told
        first = driven[:, :, :1] + told
        return torch.cat([first, driven[:, :, 1:]], 2)

    def _open_forget_gates(self) -> None:
        width = self.lstm.hidden_size
        with torch.no_grad():
            for name, value in self.lstm.named_parameters():
                if name.startswith("bias"):
                    value[width : 2 * width] = 1  # gate order i, f, g, o
