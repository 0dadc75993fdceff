"""Formal languages ``a^(k+m_1) b^(k+m_2) c^(k+m_3) ...`` (Herrmann et al. 2024).

A task is the vector of occurrence differences ``m = (0, m_2, ..., m_n)``. A sequence is BOS, a
string of the language, and EOS up to the length ``T``; an RNN learns to predict the next token.
"""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from wsrl.problems.base import Batch, Runner, TrainableProblem, TrainingStream
from wsrl.problems.columns import Column, Target
from wsrl.problems.official_order import official_order
from wsrl.problems.registry import register_problem
from wsrl.problems.streams import DrawnStream, Purpose, draw_each
from wsrl.rnn import State
from wsrl.validation import check_size

_BLOCK = 256  # steps whose draws come from one stream
_INT16 = (1 << 15) - 1  # a zoo holds tokens, and counts them, in 16 bits
_Strings = Annotated[int, Field(ge=1, le=10**6)]  # of a language, or sampled to judge an RNN


@register_problem
class FormalLanguages(TrainableProblem):
    """The languages with ``num_tokens`` tokens.

    Args:
        num_tokens: size of the alphabet; BOS and EOS come on top.
        length: ``T``, tokens of a sequence with BOS and EOS; longer strings are cut.
        max_n: ``k`` is uniform on ``max(0, -min m) .. max_n - 1``.
        min_difference: smallest ``m_i`` that is drawn.
        max_difference: largest ``m_i`` that is drawn.
        acceptor: how ``performance`` counts strings: ``counts`` (as published: the token counts
            before the first EOS are right) or ``ordered`` (their order too).
        evaluated_strings: strings sampled from an RNN at a snapshot.
        stored_strings: how many of these are stored with their log-probabilities.
    """

    name: ClassVar[str] = "formal_languages"
    may_differ: ClassVar[frozenset[str]] = frozenset(("evaluated_strings", "stored_strings"))
    output_kind = "categorical"

    def __init__(
        self,
        num_tokens: Annotated[int, Field(ge=2, le=_INT16 - 2)] = 4,
        length: int = 42,
        max_n: _Strings = 10,
        min_difference: int = -3,
        max_difference: int = 2,
        acceptor: Literal["counts", "ordered"] = "counts",
        evaluated_strings: _Strings = 1000,
        stored_strings: _Strings = 100,
    ) -> None:
        check_size("length", length, num_tokens + 2, _INT16)
        zero = min_difference <= 0 <= max_difference and min_difference < max_difference
        if not zero or max(-min_difference, max_difference) >= length:
            given = f"{min_difference}..{max_difference}"
            raise ValueError(f"differences must include 0 and be below the length, not {given}")
        if max_n <= -min_difference:
            raise ValueError(f"max_n must exceed {-min_difference} (-min_difference), not {max_n}")
        check_size("stored_strings", stored_strings, 1, evaluated_strings)
        self.num_tokens, self.length, self.max_n = num_tokens, length, max_n
        self.min_difference, self.max_difference = min_difference, max_difference
        self.acceptor = acceptor
        self.evaluated_strings, self.stored_strings = evaluated_strings, stored_strings
        self.bos, self.eos = num_tokens, num_tokens + 1
        self.input_size = self.output_size = num_tokens + 2

    def draw_tasks(self, seed: int, members: Sequence[int]) -> Tensor:
        """Draw ``m_2 .. m_n`` uniformly and independently; ``m_1`` is 0: ``(P, num_tokens)``."""
        drawn = (self.min_difference, self.max_difference + 1, self.num_tokens - 1)
        tasks = draw_each(lambda own: own.integers(*drawn), members, seed, Purpose.TASK)
        return functional.pad(tasks, (1, 0))

    def strings(self, task: Sequence[int]) -> Tensor:
        """Return every string of one language as padded sequences, ``(count, T)``, by rising k."""
        smallest = max(0, -min(task))
        sequences = torch.full((self.max_n - smallest, self.length), self.eos)
        sequences[:, 0] = self.bos
        for row, k in enumerate(range(smallest, self.max_n)):
            counts = [min(k + m, self.length) for m in task]  # longer strings are cut
            tokens = [token for token, count in enumerate(counts) for _ in range(count)]
            string = torch.tensor(tokens[: self.length - 1], dtype=torch.long)
            sequences[row, 1 : 1 + len(string)] = string
        return sequences

    def training_stream(
        self, tasks: Tensor, members: Sequence[int], seed: int, batch_size: int, unique: bool
    ) -> TrainingStream:
        """Return batches of strings; a language has few, so the distinct ones carry counts."""
        languages, shape = [self.strings(task.tolist()) for task in tasks], (_BLOCK, batch_size)
        padded = [functional.pad(own, (0, 0, 0, self.max_n - len(own))) for own in languages]
        sequences = torch.stack(padded).to(tasks.device)
        inputs, targets = self.encode(sequences), sequences[:, :, 1:]
        counts = [len(own) for own in languages]
        draws = [lambda own, count=count: own.integers(0, count, shape) for count in counts]

        def make(drawn: Tensor) -> Batch:
            share = torch.full_like(drawn, 1 / batch_size, dtype=torch.float32)
            if unique:
                weights = share.new_zeros(targets.shape[:2])
                return Batch(inputs, targets, weights.scatter_add(1, drawn, share))
            rows = torch.arange(len(drawn), device=drawn.device)[:, None]
            return Batch(inputs[rows, drawn], targets[rows, drawn], share)

        return DrawnStream(draws, members, seed, _BLOCK, tasks.device, make)

    def columns(self) -> dict[str, Column]:
        """Return the published columns and the count of strings in the right order."""
        count, length, number = self.stored_strings, self.length, Column("I64", ())
        return {
            "task": Column("I64", (self.num_tokens,)),
            "performance": Column("F32", ()),
            "accepted": number,
            "accepted_ordered": number,
            "sequences": Column("I16", (count, length)),
            "outputs": Column("F16", (count, length - 1, self.output_size)),
        }

    def evaluate(
        self, run: Runner, tasks: Tensor, members: Sequence[int], seed: int, step: int
    ) -> dict[str, Tensor]:
        """Sample strings from every RNN, count the accepted, keep some with log-probabilities."""
        shape = (self.evaluated_strings, self.length - 1)
        key = (members, seed, Purpose.EVALUATION, step)
        uniforms = draw_each(lambda own: own.random(shape, dtype=np.float32), *key)
        sequences, outputs = self.sample(run, uniforms.to(tasks.device), self.stored_strings)
        counts = self.accepts(sequences, tasks).sum(1)
        ordered = self.accepts(sequences, tasks, ordered=True).sum(1)
        chosen = ordered if self.acceptor == "ordered" else counts
        return {
            "task": tasks,
            "performance": chosen.float() / self.evaluated_strings,
            "accepted": counts,
            "accepted_ordered": ordered,
            "sequences": sequences[:, : self.stored_strings].to(torch.int16),
            "outputs": _as_half(outputs),
        }

    def sample(self, run: Runner, uniforms: Tensor, keep: int = 0) -> tuple[Tensor, Tensor]:
        """Let models write strings: ``uniforms (B, S, T - 1)`` decide tokens by their predictions.

        Returns the sequences ``(B, S, T)`` with BOS and log-probabilities ``(B, keep, T - 1, O)``.
        """
        token = torch.full(uniforms.shape[:2], self.bos, device=uniforms.device)
        one_hot = torch.eye(self.input_size, dtype=uniforms.dtype, device=uniforms.device)
        tokens, kept = [token], []
        state: State | None = None
        for draw in uniforms.movedim(2, 0).contiguous():
            outputs, state = run(functional.embedding(token, one_hot)[:, :, None], state)
            kept.append(outputs[:, :keep, 0])
            token = _draw_tokens(outputs[:, :, 0], draw)
            tokens.append(token)
        return torch.stack(tokens, 2), torch.stack(kept, 2).log_softmax(-1)

    def accepts(self, sequences: Tensor, tasks: Tensor, ordered: bool = False) -> Tensor:
        """Return which sequences ``(B, S, T)`` are strings of their languages ``(B, K)``.

        The counts of tokens before the first EOS, which must be there, less ``m`` must all be
        equal; if ``ordered``, it must also be BOS, all a, all b, ...
        """
        sequences = sequences.to(torch.int16)  # a quarter of the memory to go through
        ended = (sequences == self.eos).cumsum(2, dtype=torch.int16) > 0
        string = sequences.masked_fill(ended, self.eos)
        counts = torch.stack([(string == token).sum(2) for token in range(self.num_tokens)], 2)
        shifted = counts - tasks[:, None]
        accepted = ended[:, :, -1] & (shifted == shifted[..., :1]).all(-1)
        if not ordered:
            return accepted
        body = string[:, :, 1:]
        rising = (body[:, :, 1:] >= body[:, :, :-1]).all(-1)
        return accepted & rising & (body != self.bos).all(-1)

    def encode(self, sequences: Tensor) -> Tensor:
        """One-hot of all tokens but the last: ``(..., T)`` to ``(..., T - 1, I)``.

        The first is BOS whatever is stored: in the published files a string without EOS has one
        there instead, which the RNN did not read.
        """
        tokens = functional.pad(sequences[..., 1:-1].long(), (1, 0), value=self.bos)
        try:
            return functional.one_hot(tokens, self.input_size).float()
        except RuntimeError as error:
            raise ValueError(f"sequences hold tokens outside of 0..{self.eos}") from error

    def clone_scores(
        self, run: Runner, tasks: Tensor, samples: int, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """Accepted of the strings that were finished; 0 for a model that finishes none."""
        shape = (samples, self.length - 1)
        uniforms = torch.stack([torch.rand(shape, generator=each) for each in generators])
        sequences, _ = self.sample(run, uniforms.to(tasks.device))
        accepted = self.accepts(sequences, tasks, self.acceptor == "ordered").sum(1)
        finished = (sequences == self.eos).any(2).sum(1)
        return accepted / finished.clamp(min=1)

    def input_names(self) -> tuple[str, ...]:
        """Return the tokens: letters, ``^`` where a string begins, ``$`` where it ends."""
        return (*self._letters(), "^", "$")

    output_names = input_names

    def task_entries(self) -> tuple[str, ...]:
        """Return what a task says of each letter: its count, less ``n``."""
        return tuple(f"count of {letter}, less n" for letter in self._letters())

    def task_name(self, task: Sequence[float]) -> str:
        """Return a language as its exponents: ``a^n b^(n+1) c^(n-2)``."""
        exponents = [f"(n{int(m):+d})" if m else "n" for m in task]
        pairs = zip(self._letters(), exponents, strict=True)
        return " ".join(f"{letter}^{n}" for letter, n in pairs)

    def _letters(self) -> list[str]:
        """Return ``a``, ``b`` ...; of larger alphabets numbers."""
        few = self.num_tokens <= 26
        return [chr(ord("a") + k) if few else str(k) for k in range(self.num_tokens)]

    def score_text(self, task: Sequence[float], score: float) -> str:
        """Say how many of the strings are in the language."""
        language = self.task_name(task)
        return f"generates the language {language}: {score:.0%} of the strings it ends are in it"

    def write_sequences(self, run: Runner, count: int, generator: torch.Generator) -> Tensor:
        """Have a model write strings: ``(1, count, T)``."""
        return self.sample(run, torch.rand((1, count, self.length - 1), generator=generator))[0]

    def targets(self, steps: Sequence[int]) -> dict[str, Target]:
        """Return the task (each difference a class), the performance and the training step."""
        differences = tuple(range(self.min_difference, self.max_difference + 1))
        task = Target("task", "classes", self.num_tokens - 1, differences, first=1)
        return {"task": task} | super().targets(steps)

    def ood_criterion(self, tasks: NDArray[Any]) -> NDArray[np.float64]:
        """Entropy of ``m - min m + 1`` as a distribution: the most even tasks are OOD."""
        shifted = (tasks - tasks.min(1, keepdims=True) + 1).astype(np.float64)
        shares = shifted / shifted.sum(1, keepdims=True)
        entropy: NDArray[np.float64] = -(shares * np.log(shares)).sum(1)
        return entropy.round(12)  # equal where only the order of m differs, on every processor

    def official_order(self, tasks: NDArray[Any]) -> NDArray[np.int64]:
        """Sort tasks ``(n, K)`` by entropy, ties as the official code breaks them."""
        return official_order(tasks)


def _as_half(log_probabilities: Tensor) -> Tensor:
    """Store log-probabilities; those below float16's range, of probability 0, as its least.

    RNNs without a bound on their states, as ReLU, reach such values on what follows a string's end.
    """
    least = torch.finfo(torch.float16).min
    kept = log_probabilities.clamp(min=least)
    return kept.where(log_probabilities.isfinite(), log_probabilities).to(torch.float16)


def _draw_tokens(outputs: Tensor, draw: Tensor) -> Tensor:
    """Draw from the softmax of ``outputs (B, S, O)`` by ``draw (B, S)`` in [0, 1): ``(B, S)``."""
    # Token by token, since rows as short as an alphabet keep vector units idle.
    columns = outputs.movedim(-1, 0).contiguous()
    shares = (columns - columns.amax(0)).exp()
    reached = draw * shares.sum(0)
    token, passed = torch.zeros_like(draw, dtype=torch.long), torch.zeros_like(draw)
    for share in shares[:-1]:
        passed = passed + share
        token += reached >= passed
    return token
