"""RNNs that are only asked stand where weights do, and are held to what they promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from wsrl.encoders import create_encoder, embed, get_encoder, list_encoders
from wsrl.rnn import (
    BlackBox,
    MixedRNNs,
    PreparedPopulation,
    RNNInterface,
    RNNSpec,
    RNNWeights,
    concatenate,
    run_population,
)

INPUTS, OUTPUTS = 3, 4
ASKED = [name for name in list_encoders() if get_encoder(name).reads == "any"]
SHOWN = [name for name in list_encoders() if name not in ASKED]


class Wrapped:
    """An LSTM behind the two methods."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.rnn, self.linear = nn.LSTM(INPUTS, 6, batch_first=True), nn.Linear(6, OUTPUTS)

    def start(self, sequences: int) -> Any:
        return None

    def run(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        hidden, state = self.rnn(inputs, state)
        return self.linear(hidden), state

    @property
    def weights(self) -> RNNWeights:
        return RNNWeights.from_module(self.rnn, self.linear)


class Filter:
    """A state-space model in NumPy."""

    def __init__(self) -> None:
        draw = np.random.default_rng(0).normal
        self.a, self.b = draw(size=(5, 5)) / 5, draw(size=(INPUTS, 5))
        self.c = draw(size=(5, OUTPUTS))

    def start(self, sequences: int) -> Any:
        return np.zeros((sequences, 5))

    def run(self, inputs: Tensor, state: Any) -> tuple[Any, Any]:
        outputs = []
        for step in inputs.numpy().swapaxes(0, 1):
            state = state @ self.a + step @ self.b
            outputs.append(state @ self.c)
        return np.stack(outputs, 1), state


def box(rnn: Any) -> BlackBox:
    return BlackBox(rnn, INPUTS, OUTPUTS)


def random_inputs(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(count, 2, 5, INPUTS, generator=generator)


@pytest.mark.parametrize("prepared", [False, True])
def test_it_answers_as_the_weights_inside(prepared: bool) -> None:
    rnn, inputs = Wrapped(), random_inputs(1).requires_grad_()
    asked = box(rnn)
    run = PreparedPopulation(asked) if prepared else lambda *given: run_population(asked, *given)
    first, state = run(inputs[:, :, :3])
    rest, _ = run(inputs[:, :, 3:], state)
    expected, _ = run_population(rnn.weights, inputs)
    torch.testing.assert_close(torch.cat([first, rest], 2), expected.detach())
    assert not first.requires_grad
    assert expected.requires_grad


@pytest.mark.parametrize("name", ASKED)
def test_its_embedding_is_that_of_its_weights(name: str) -> None:
    rnn, encoder = Wrapped(), create_encoder(name, RNNInterface(INPUTS, OUTPUTS))
    torch.testing.assert_close(embed(encoder, box(rnn)), embed(encoder, rnn.weights))
    if name != "ConstantEmbedding":
        apart = embed(encoder, box(rnn)) - embed(encoder, box(Filter()))
        assert apart.abs().max() > 1e-4


@pytest.mark.parametrize("name", SHOWN)
def test_encoders_that_read_weights_name_those_that_ask(name: str) -> None:
    encoder = create_encoder(name, Wrapped().weights.spec)
    one = f"{name} reads weights, .* those that ask are {', '.join(ASKED)}$"
    for rnns in (box(Filter()), concatenate([Wrapped().weights, box(Filter())])):
        with pytest.raises(ValueError, match=one):
            encoder(rnns)


def test_boxes_and_weights_are_one_batch() -> None:
    rnn, other, inputs = Wrapped(), box(Filter()), random_inputs(5)
    weights = rnn.weights
    mixed = concatenate([other, weights, box(rnn), other, weights])
    assert isinstance(mixed, MixedRNNs)
    assert [len(group) for group in mixed.groups] == [2, 2, 1]  # each RNN once
    outputs, state = run_population(mixed, inputs[:, :, :3])
    outputs = torch.cat([outputs, run_population(mixed, inputs[:, :, 3:], state)[0]], 2)
    for index in range(5):
        one = mixed[torch.tensor([index])]
        assert len(one) == 1
        torch.testing.assert_close(outputs[index], run_population(one, inputs[index, None])[0][0])
    torch.testing.assert_close(outputs[1], run_population(box(rnn), inputs[1, None])[0][0])
    copies = other[torch.zeros(3, dtype=torch.int64)]
    assert (type(copies), len(copies), len(copies[:2]), len(copies[3:])) == (BlackBox, 3, 2, 0)
    again, _ = run_population(copies, inputs[:3])
    torch.testing.assert_close(again[2], run_population(other, inputs[2, None])[0][0])


class Broken(Wrapped):
    """Returns what is wrong with it."""

    def __init__(self, outputs: Any = None, state: Any = None) -> None:
        super().__init__()
        self.outputs, self.state = outputs, state

    def run(self, inputs: Tensor, state: Any) -> Any:
        outputs, _ = super().run(inputs, None)
        changed = outputs if self.outputs is None else self.outputs(outputs)
        return (changed, self.state(outputs)) if self.state is not None else changed


def growing(outputs: Tensor) -> Any:
    with torch.enable_grad():
        return {"h": [torch.ones(2, requires_grad=True) * 2]}


@pytest.mark.parametrize(
    ("rnn", "message"),
    [
        (Broken(lambda y: y[:, :-1], list), r"outputs must be .* = \(2, 5, 4\), not \(2, 4, 4\)"),
        (Broken(lambda y: y.argmax(2, keepdim=True).expand(y.shape), list), "not torch.int64"),
        (Broken(lambda y: y / 0, list), "its outputs are not finite"),
        (
            Broken(lambda _: [[object()]], list),
            r"outputs must be numbers \(S, T, O\) = \(2, 5, 4\)",
        ),
        (Broken(lambda _: [[1.0], [1.0, 2.0]], list), "outputs must be numbers.*inhomogeneous"),
        (Broken(state=growing), "its state keeps gradients.*detach"),
        (Broken(), r"run must return \(outputs, state\), not Tensor"),
        (Broken(lambda y: (y, None, None)), "not 3 values"),
    ],
)
def test_what_breaks_its_promise_is_one_line(rnn: Broken, message: str) -> None:
    for run in (box(rnn).run, PreparedPopulation(box(rnn))):
        with pytest.raises(ValueError, match=f"^the black box Broken: .*{message}"):
            run(random_inputs(1))


def test_what_cannot_be_asked_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Linear has no start"):
        BlackBox(nn.Linear(3, 4), 3, 4)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="input_size must be a whole number of at least 1"):
        BlackBox(Wrapped(), 0, 4)
    with pytest.raises(ValueError, match=r"inputs must be .*= \(1, S, T, 3\)"):
        run_population(box(Wrapped()), torch.zeros(1, 2, 5, 2))
    spec = RNNSpec("lstm", INPUTS + 1, 5, 1, OUTPUTS)
    with pytest.raises(ValueError, match="as many inputs and outputs"):
        concatenate([box(Wrapped()), RNNWeights(torch.zeros(1, spec.num_parameters), spec)])
    with pytest.raises(ValueError, match="inputs and outputs must be as many"):
        create_encoder("InteractiveProbing", spec)(box(Wrapped()))
