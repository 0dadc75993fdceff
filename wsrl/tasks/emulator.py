"""The emulator: one LSTM that emulates any RNN of a zoo, given the RNN's embedding."""

from typing import TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from wsrl.rnn.lstm import fused_cells_serve, project, run_lstm_layer

EmulatorState: TypeAlias = tuple[Tensor, Tensor]
"""Hidden and cell values between two calls, each ``(layers, B, S, width)``."""


class ConditionedEmulator(nn.Module):
    """An LSTM whose first projected input has the projected embedding added to it.

    As published (Herrmann et al. 2024), the embedding is read once, at the first step (for strings,
    at their start token); the LSTM's state has to keep it.

    Every LSTM layer and both projections have ``width`` neurons. With ``condition_every_step`` the
    embedding is added to every step's input. ``open_forget_gates`` starts with 1 in both biases of
    the forget gates, so that the embedding lasts through a sequence from the beginning of training;
    the published ones do not.
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
        for name, bias in self.lstm.named_parameters():
            if open_forget_gates and name.startswith("bias"):
                nn.init.ones_(bias[width : 2 * width])  # gate order i, f, g, o

    def forward(
        self, embedding: Tensor, inputs: Tensor, state: EmulatorState | None = None
    ) -> tuple[Tensor, EmulatorState]:
        """Emulate RNNs of embeddings ``(B, D)`` on ``(B, S, T, I)``: ``(B, S, T, O)``, and a state.

        The sequences continue those of an earlier call that returned ``state``, if one is given.
        """
        batch, sequences, steps, _ = inputs.shape
        values = self._condition(embedding, inputs, state is None)
        start = None if state is None else (state[0].flatten(1, 2), state[1].flatten(1, 2))
        fused = fused_cells_serve(values, self.readout.weight, *(start or ()))
        hidden, end = (self._run_fused if fused else self._run)(values.flatten(0, 1), start)
        outputs: Tensor = self.readout(hidden).view(batch, sequences, steps, -1)
        shape = (-1, batch, sequences, self.lstm.hidden_size)
        return outputs, (end[0].view(shape), end[1].view(shape))

    def _condition(self, embedding: Tensor, inputs: Tensor, starts: bool) -> Tensor:
        """Append the embedding and a 1 (for its bias), or zeros: ``(B, S, T, I + D + 1)``."""
        steps = inputs.shape[2]
        count = steps if self.condition_every_step else int(starts)  # of steps that read it
        condition = functional.pad(embedding, (0, 1), value=1.0)[:, None, None]
        condition = condition.expand(-1, inputs.shape[1], count, -1)
        return torch.cat([inputs, functional.pad(condition, (0, 0, 0, steps - count))], 3)

    def _projections(self) -> tuple[Tensor, Tensor]:
        """Return both projections as one matrix ``(width, I + D + 1)``, and all steps' bias."""
        added = self.embedding_projection
        parts = [self.input_projection.weight, added.weight, added.bias[:, None]]
        return torch.cat(parts, 1), self.input_projection.bias

    def _run(self, values: Tensor, state: EmulatorState | None) -> tuple[Tensor, EmulatorState]:
        """Run the LSTM on ``values (R, T, I + D + 1)``; return ``(R, T, width)`` and its state."""
        found: tuple[Tensor, EmulatorState]
        found = self.lstm(functional.linear(values, *self._projections()), state)
        return found

    def _run_fused(
        self, values: Tensor, state: EmulatorState | None
    ) -> tuple[Tensor, EmulatorState]:
        """Do the same on the CPU, the projections multiplied into the first layer's weights."""
        matrix, bias = self._projections()
        matrix = cast(Tensor, self.lstm.weight_ih_l0) @ matrix
        driven = functional.linear(values.transpose(0, 1), matrix, project(self.lstm, 0, bias))
        ends = []
        for layer in range(self.lstm.num_layers):
            before = None if state is None else (state[0][layer], state[1][layer])
            recurrent = cast(Tensor, getattr(self.lstm, f"weight_hh_l{layer}"))
            hidden, end = run_lstm_layer(driven, recurrent, before)
            ends.append(end)
            if layer + 1 < self.lstm.num_layers:
                driven = project(self.lstm, layer + 1, hidden)
        h, c = (torch.stack(parts) for parts in zip(*ends, strict=True))
        return hidden.transpose(0, 1), (h, c)
