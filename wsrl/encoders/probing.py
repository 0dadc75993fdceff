"""Probing: run the RNN on learned inputs and read its answers.

What the RNN computes decides the embedding, not how its weights are arranged: every
re-parameterisation that keeps its function keeps the embedding.
"""

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import ClassVar, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from wsrl.encoders.base import Encoder, Mlp, Reads, check_dropout, check_sizes
from wsrl.encoders.reader import ReaderOptions, SequenceReader, StepReader
from wsrl.encoders.registry import register_encoder
from wsrl.rnn import PreparedPopulation, RNNInterface, RNNs, RNNSpec, run_population

InputActivation: TypeAlias = Literal["softmax", "sigmoid", "tanh", "identity"]

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": partial(torch.softmax, dim=-1),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "identity": torch.positive,
}


class Interrogation(NamedTuple):
    """The probing inputs, the RNN's answers to them and what the reader makes of these."""

    inputs: Tensor  # (B, P, T, I)
    outputs: Tensor  # (B, P, T, O)
    summary: Tensor  # (B, reader_width), the reader's output after the end step


class Echo(nn.Linear):
    """A learned map from answers ``(..., O)`` to the next inputs before activation ``(..., I)``.

    Where inputs and answers are the same tokens it starts as the identity: softmax then gives the
    RNN its own answer to read, as when it runs freely. Elsewhere it starts small, and answers are
    squashed: without softmax nothing else bounds the feedback; tanh does.
    """

    def __init__(self, spec: RNNSpec | RNNInterface, activation: str) -> None:
        super().__init__(spec.output_size, spec.input_size)
        self.tokens = activation == "softmax" and spec.output_size == spec.input_size
        with torch.no_grad():
            if self.tokens:
                nn.init.eye_(self.weight)
                nn.init.zeros_(self.bias)
            else:
                self.weight.mul_(0.1)

    def forward(self, answers: Tensor) -> Tensor:
        """Map answers ``(..., O)`` to ``(..., I)``."""
        return super().forward(answers if self.tokens else answers.tanh())


class ProbingEncoder(Encoder):
    """Gives an RNN probing inputs, which a subclass chooses, and encodes its outputs (its answers).

    Gradients flow through the probed RNN into the probing inputs.

    Args:
        spec: the RNNs it reads; of any cell and size, as only inputs and outputs count.
        embedding_dim: size ``D`` of an embedding.
        num_probes: probing sequences ``P`` that run in parallel.
        probing_length: steps ``T`` of each; 22 unless the zoo's problem suggests another.
        probe_width: size of the hidden layers of the two MLPs: to a step's probing inputs, and from
            the reader's last output to the embedding; and of the learned code of a step where
            every RNN is asked the same.
        reader_width: size of the reading LSTM.
        reader_layers: layers of the reading LSTM.
        input_activation: ``softmax`` makes probing inputs soft one-hot vectors (tokens),
            ``sigmoid`` values in (0, 1), ``tanh`` in (-1, 1), ``identity`` any values;
            ``softmax`` unless the zoo's problem suggests another.
        open_forget_gates: start the reader with open forget gates; published presets do not.
        gru_reader: read with a GRU instead of an LSTM.
        residual: add to the output of each of the reader's layers its input.
        mlp_depth: hidden layers of the two MLPs.
        dropout: probability to drop, in training, what the reader's layers put out and what comes
            into linear layers.
        unit_norm: as of ``Encoder``.

    Raises:
        ValueError: for an unknown activation, or a dropout that is not in [0, 1).
    """

    reads: ClassVar[Reads] = "any"
    permutation_invariant: ClassVar[bool] = True
    reader: nn.Module

    def __init__(
        self,
        spec: RNNSpec | RNNInterface,
        embedding_dim: int = 16,
        num_probes: int = 1,
        probing_length: int | None = None,
        probe_width: int = 128,
        reader_width: int = 256,
        reader_layers: int = 2,
        input_activation: InputActivation | None = None,
        open_forget_gates: bool = True,
        gru_reader: bool = False,
        residual: bool = True,
        mlp_depth: int = 1,
        dropout: float = 0.0,
        unit_norm: bool = True,
    ) -> None:
        super().__init__(spec, embedding_dim, unit_norm)
        probing_length = 22 if probing_length is None else probing_length
        input_activation = "softmax" if input_activation is None else input_activation
        check_sizes(num_probes=num_probes, probing_length=probing_length, probe_width=probe_width)
        check_sizes(reader_width=reader_width, reader_layers=reader_layers, mlp_depth=mlp_depth)
        check_dropout(dropout)
        if input_activation not in _ACTIVATIONS:
            raise ValueError(
                f"unknown input_activation {input_activation!r}; "
                f"choose one of {', '.join(_ACTIVATIONS)}"
            )
        self.num_probes, self.probing_length = num_probes, probing_length
        self.input_activation = input_activation
        self.from_answers = nn.Linear(num_probes * spec.output_size, reader_width)
        # Small: it passes the reader's residual connections, beside what was read before.
        self.end = nn.Parameter(0.02 * torch.randn(reader_width))
        self.mlp_depth, self.dropout = mlp_depth, nn.Dropout(dropout)
        self.head = Mlp(reader_width, probe_width, mlp_depth, embedding_dim, dropout)
        kind = (open_forget_gates, gru_reader, residual, dropout)
        self._prepare(probe_width, ReaderOptions(reader_width, reader_layers, *kind))

    @abstractmethod
    def _prepare(self, probe_width: int, reader: ReaderOptions) -> None:
        """Make the parts that ask and read: ``reader`` and what probing inputs are made from."""

    @abstractmethod
    def interrogate(self, weights: RNNs) -> Interrogation:
        """Probe ``B`` RNNs."""

    def forward(self, weights: RNNs) -> Tensor:
        """Encode ``B`` RNNs; return ``(B, D)``."""
        embedding: Tensor = self.head(self.interrogate(weights).summary)
        return embedding

    def probes(self, weights: RNNs) -> tuple[Tensor, Tensor]:
        """Return the probing inputs ``(B, P, T, I)`` and the answers ``(B, P, T, O)``."""
        return self.interrogate(weights)[:2]

    def _make_decoder(self, width: int, probe_width: int) -> Mlp:
        """Make the MLP from ``width`` values to a step's probing inputs, before activation."""
        outputs = self.num_probes * self.spec.input_size
        return Mlp(width, probe_width, self.mlp_depth, outputs, self.dropout.p)

    def _by_probe(self, values: Tensor) -> Tensor:
        """View ``(..., P * I)`` as a step's probing inputs before activation, ``(..., P, I)``."""
        by_probe: Tensor = values.unflatten(-1, (self.num_probes, self.spec.input_size))
        return by_probe

    def _activate(self, values: Tensor) -> Tensor:
        """Turn ``(..., I)`` into probing inputs."""
        return _ACTIVATIONS[self.input_activation](values)

    def _embed_answers(self, answers: Tensor) -> Tensor:
        """Turn answers ``(..., P, O)`` into the reader's input, ``(..., reader_width)``."""
        return torch.tanh(self.from_answers(self.dropout(answers.flatten(-2))))

    def _embed_steps(self, inputs: Tensor, answers: Tensor) -> Tensor:
        """Turn steps ``(B, T, P, I)`` and ``(B, T, P, O)`` into the reader's inputs."""
        return self._embed_answers(answers)

    def _read(self, inputs: Tensor, outputs: Tensor) -> Interrogation:
        """Read whole sequences of answers at once, by ``self.reader``, and the end step."""
        steps = self._embed_steps(inputs.transpose(1, 2), outputs.transpose(1, 2))
        read = self.reader(torch.cat([steps, self.end.expand(len(steps), 1, -1)], 1))
        return Interrogation(inputs, outputs, read[:, -1])


class FixedProbing(ProbingEncoder):
    """Gives every RNN the same sequences, which a subclass makes."""

    @abstractmethod
    def sequences(self) -> Tensor:
        """Return the probing sequences, ``(P, T, I)``."""

    def interrogate(self, weights: RNNs) -> Interrogation:
        """Probe ``B`` RNNs, all steps at once."""
        probes = self.sequences()
        inputs = probes.expand(len(weights), *probes.shape)
        outputs, _ = run_population(weights, inputs)
        return self._read(inputs, outputs)


@register_encoder
class NoninteractiveProbing(FixedProbing):
    """Asks every RNN the same learned probing sequences; options as of ``ProbingEncoder``."""

    def _prepare(self, probe_width: int, reader: ReaderOptions) -> None:
        self.codes = nn.Parameter(torch.randn(self.probing_length, probe_width))
        self.decoder = self._make_decoder(probe_width, probe_width)
        self.reader = SequenceReader(reader)

    def sequences(self) -> Tensor:
        """Return the probing sequences, ``(P, T, I)``: a code a step, decoded by an MLP."""
        return self._activate(self._by_probe(self.decoder(self.codes))).transpose(0, 1)


@register_encoder
class InteractiveProbing(ProbingEncoder):
    """Asks step by step: each probing input is made from the reader's output after the last answer.

    The first comes from the reader's output for a learned start step. The RNN's state is carried
    along: one rollout of ``T`` steps, ``P`` of them in parallel.

    With ``echo``, what the reader asks is added to the RNN's last answer (``Echo``), before
    activation: the RNN starts almost free-running, and the reader learns where to change that.

    With ``constant_weight`` a learned code of the step, the same for all RNNs, is multiplied by it
    and added to the reader's output before a probing input is made from that.

    Other options as of ``ProbingEncoder``.

    Args:
        echo: add the RNN's last answer to the next probing input; the published encoder does not.
        constant_weight: of the learned codes; 0, as published, is without.
    """

    reader: StepReader

    def __init__(
        self,
        spec: RNNSpec | RNNInterface,
        embedding_dim: int = 16,
        num_probes: int = 1,
        probing_length: int | None = None,
        probe_width: int = 128,
        reader_width: int = 256,
        reader_layers: int = 2,
        input_activation: InputActivation | None = None,
        echo: bool = False,
        open_forget_gates: bool = True,
        gru_reader: bool = False,
        residual: bool = True,
        mlp_depth: int = 1,
        dropout: float = 0.0,
        unit_norm: bool = True,
        constant_weight: float = 0.0,
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
            open_forget_gates,
            gru_reader,
            residual,
            mlp_depth,
            dropout,
            unit_norm,
        )
        self.constant_weight = constant_weight
        if constant_weight:
            self.codes = nn.Parameter(torch.randn(self.probing_length, reader_width))
        fed_back = echo and self.probing_length > 1  # else it would get no gradient
        self.echo = Echo(spec, self.input_activation) if fed_back else None

    def _prepare(self, probe_width: int, reader: ReaderOptions) -> None:
        self.start = nn.Parameter(torch.randn(reader.width))
        self.decoder = self._make_decoder(reader.width, probe_width)
        self.reader = StepReader(reader)

    def interrogate(self, weights: RNNs) -> Interrogation:
        """Probe ``B`` RNNs, one step after the other."""
        start = self.start.expand(len(weights), -1)
        read, reader_state = self.reader(start, self.reader.start(start))
        run, state = PreparedPopulation(weights), None
        asked, answered = list[Tensor](), list[Tensor]()
        for step in range(self.probing_length):
            if self.constant_weight:
                read = read + self.constant_weight * self.codes[step]
            asked_for = self._by_probe(self.decoder(read))  # (B, P, I)
            if self.echo is not None and answered:
                asked_for = asked_for + self.echo(answered[-1])
            inputs = self._activate(asked_for)
            outputs, state = run(inputs[:, :, None], state)
            asked.append(inputs)
            answered.append(outputs[:, :, 0])
            read, reader_state = self.reader(self._embed_answers(answered[-1]), reader_state)
        summary, _ = self.reader(self.end.expand(len(weights), -1), reader_state)
        return Interrogation(torch.stack(asked, 2), torch.stack(answered, 2), summary)
