"""The encoders as research scripts write them: what ``encoder_speed.py`` compares with.

Same sizes and same maths as wsrl's; PyTorch's own modules, one operation a term of each formula,
RNNs run step by step by ``torch.func.vmap``. They are only timed, never trained.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import vmap

from wsrl.rnn import RNNSpec, RNNWeights

D = 16


def mlp(inputs: int, width: int, depth: int, outputs: int = D) -> nn.Sequential:
    layers: list[nn.Module] = []
    for layer in range(depth):
        layers += [nn.Linear(width if layer else inputs, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, outputs))


class Statistics(nn.Module):
    def __init__(self, spec: RNNSpec) -> None:
        super().__init__()
        self.mlp = mlp(7 * len(spec.tensors), 768, 3)
        self.register_buffer("places", torch.tensor([0, 0.25, 0.5, 0.75, 1]))

    def forward(self, weights: RNNWeights) -> Tensor:
        parts = []
        for tensor in weights.tensors().values():
            rows = tensor.flatten(1)
            parts += [rows.mean(1)[:, None], rows.var(1, correction=0)[:, None]]
            parts.append(rows.quantile(self.places, dim=1).t())
        return self.mlp(torch.cat(parts, 1))


class Flattened(nn.Module):
    def __init__(self, spec: RNNSpec) -> None:
        super().__init__()
        self.mlp = mlp(spec.num_parameters, 128, 3)

    def forward(self, weights: RNNWeights) -> Tensor:
        return self.mlp(weights.flat)


class Transformer(nn.Module):
    def __init__(self, spec: RNNSpec, dropout: float = 0.0) -> None:
        super().__init__()
        self.matrices = [t.name for t in spec.tensors if len(t.axes) == 2]
        shapes = {t.name: t.shape for t in spec.tensors}
        self.maps = nn.ModuleList(nn.Linear(shapes[m][1] + 1, 128) for m in self.matrices)
        tokens = 1 + sum(shapes[m][0] for m in self.matrices)
        self.positions = nn.Parameter(torch.randn(tokens - 1, 128))
        self.summary = nn.Parameter(torch.randn(1, 1, 128))
        layer = nn.TransformerEncoderLayer(128, 2, 512, dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 6)
        self.head = nn.Linear(128, D)

    def forward(self, weights: RNNWeights) -> Tensor:
        tensors = weights.tensors()
        parts = []
        for name, linear in zip(self.matrices, self.maps, strict=True):
            bias = tensors[name.replace("weight", "bias")]
            parts.append(linear(torch.cat([tensors[name], bias[..., None]], -1)))
        tokens = torch.cat(parts, 1) + self.positions
        tokens = torch.cat([tokens, self.summary.expand(len(tokens), -1, -1)], 1)
        return self.head(self.encoder(tokens)[:, -1])


class WeightSpaceLayer(nn.Module):
    """Every term of the equivariant map on its own, channels last."""

    def __init__(self, spec: RNNSpec, inputs: int, outputs: int) -> None:
        super().__init__()
        self.axes = [t.axes for t in spec.tensors]
        count = len(self.axes)
        self.pointwise = nn.ModuleList(nn.Linear(inputs, outputs) for _ in self.axes)
        self.everywhere = nn.Linear(count * inputs, count * outputs)
        self.pairs = [
            (t, a, u, b)
            for t, to in enumerate(self.axes)
            for a, label in enumerate(to)
            for u, other in enumerate(self.axes)
            for b, same in enumerate(other)
            if label == same
        ]
        self.along = nn.ModuleList(nn.Linear(inputs, outputs, bias=False) for _ in self.pairs)

    def forward(self, tensors: list[Tensor]) -> list[Tensor]:
        means = [t.flatten(1, -2).mean(1) for t in tensors]
        shifts = self.everywhere(torch.cat(means, -1)).chunk(len(tensors), -1)
        results = [linear(t) for linear, t in zip(self.pointwise, tensors, strict=True)]
        for i, shift in enumerate(shifts):
            results[i] = results[i] + shift.view(len(shift), *[1] * (tensors[i].ndim - 2), -1)
        for (t, a, u, b), linear in zip(self.pairs, self.along, strict=True):
            mean = tensors[u] if tensors[u].ndim == 3 else tensors[u].mean(2 - b)
            term = linear(mean)
            results[t] = results[t] + (term if tensors[t].ndim == 3 else term.unsqueeze(2 - a))
        return [result.relu() for result in results]


class WeightSpace(nn.Module):
    def __init__(self, spec: RNNSpec) -> None:
        super().__init__()
        self.spec = spec
        self.layers = nn.ModuleList(
            WeightSpaceLayer(spec, 48 if layer else spec.gates, 48) for layer in range(4)
        )
        self.head = mlp(48 * len(spec.tensors), 128, 1)

    def forward(self, weights: RNNWeights) -> Tensor:
        tensors = []
        for tensor in self.spec.tensors:
            gated = weights.gated(tensor).movedim(1, -1)
            tensors.append(gated.expand(*gated.shape[:-1], self.spec.gates))
        for layer in self.layers:
            tensors = layer(tensors)
        return self.head(torch.cat([t.flatten(1, -2).mean(1) for t in tensors], -1))


def subject_step(
    tensors: dict[str, Tensor], token: Tensor, h: Tensor, c: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """One step of one 2-layer LSTM: ``token (I,)``, ``h`` and ``c (L, H)``."""
    below, new_h, new_c = token, [], []
    for layer in range(len(h)):
        gates = (
            tensors[f"rnn.weight_ih_l{layer}"] @ below
            + tensors[f"rnn.bias_ih_l{layer}"]
            + tensors[f"rnn.weight_hh_l{layer}"] @ h[layer]
            + tensors[f"rnn.bias_hh_l{layer}"]
        )
        i, f, g, o = gates.chunk(4)
        new_c.append(f.sigmoid() * c[layer] + i.sigmoid() * g.tanh())
        below = o.sigmoid() * new_c[-1].tanh()
        new_h.append(below)
    answer = tensors["linear.weight"] @ below + tensors["linear.bias"]
    return answer, torch.stack(new_h), torch.stack(new_c)


class Probing(nn.Module):
    """One probing sequence of 22 steps, asked and read step by step."""

    def __init__(self, spec: RNNSpec, interactive: bool) -> None:
        super().__init__()
        self.spec, self.interactive = spec, interactive
        self.codes = nn.Parameter(torch.randn(22, 128))
        self.start, self.end = nn.Parameter(torch.randn(256)), nn.Parameter(torch.randn(256))
        self.decoder = mlp(256 if interactive else 128, 128, 1, spec.input_size)
        self.hear = nn.Linear(spec.output_size, 256)
        self.cells = nn.ModuleList(nn.LSTMCell(256, 256) for _ in range(2))
        self.head = mlp(256, 128, 1)

    def forward(self, weights: RNNWeights) -> Tensor:
        tensors, batch = weights.tensors(), len(weights)
        zeros = weights.flat.new_zeros(batch, 256)
        state = [(zeros, zeros), (zeros, zeros)]
        h = c = weights.flat.new_zeros(batch, self.spec.num_layers, self.spec.hidden_size)
        if self.interactive:
            read, state = self.read(self.start.expand(batch, -1), state)
        for step in range(22):
            code = read if self.interactive else self.codes[step].expand(batch, -1)
            probe = self.decoder(code).softmax(-1)
            answer, h, c = vmap(subject_step)(tensors, probe, h, c)
            read, state = self.read(self.hear(answer).tanh(), state)
        read, _ = self.read(self.end.expand(batch, -1), state)
        return self.head(read)

    def read(
        self, values: Tensor, state: list[tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        after = []
        for cell, before in zip(self.cells, state, strict=True):
            after.append(cell(values, before))
            values = values + after[-1][0]
        return values, after


class Emulator(nn.Module):
    def __init__(self, spec: RNNSpec) -> None:
        super().__init__()
        self.tokens, self.embedding = nn.Linear(spec.input_size, 256), nn.Linear(D, 256)
        self.lstm = nn.LSTM(256, 256, 2, batch_first=True)
        self.readout = nn.Linear(256, spec.output_size)

    def forward(self, embedding: Tensor, inputs: Tensor) -> Tensor:
        driven = self.tokens(inputs)
        driven = torch.cat([driven[:, :1] + self.embedding(embedding)[:, None], driven[:, 1:]], 1)
        return self.readout(self.lstm(driven)[0])
