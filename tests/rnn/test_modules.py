"""Modules are taken for an RNN and its readout only where they compute nothing else."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, prune

from wsrl.rnn import RNNSpec, RNNWeights, run_population

INPUTS, HIDDEN, OUTPUTS = 3, 5, 2
Forward = Callable[["Net", Tensor], Any]


class Net(nn.Module):
    """A user's model: an LSTM, a readout, and a forward of its own."""

    def __init__(self, forward: Forward, batch_first: bool = True, layers: int = 1) -> None:
        super().__init__()
        self.lstm = nn.LSTM(INPUTS, HIDDEN, layers, batch_first=batch_first)
        self.fc = nn.Linear(HIDDEN, OUTPUTS)
        self.between: nn.Module = nn.Identity()
        self._forward = forward

    def forward(self, inputs: Tensor) -> Any:
        return self._forward(self, inputs)


def plain(net: Net, inputs: Tensor) -> Tensor:
    outputs: Tensor = net.fc(net.between(net.lstm(inputs)[0]))
    return outputs


def with_state(net: Net, inputs: Tensor, value: float, **options: Any) -> Tensor:
    start = torch.full((1, len(inputs), HIDDEN), value, **options)
    outputs: Tensor = net.fc(net.lstm(inputs, (start, start))[0])
    return outputs


def kept(net: Net, inputs: Tensor) -> Tensor:
    hidden, net.state = net.lstm(inputs, getattr(net, "state", None))
    outputs: Tensor = net.fc(hidden)
    return outputs


def one_by_one(net: Net, inputs: Tensor) -> Tensor:
    hidden, _ = net.lstm(inputs.view(len(inputs), 1, INPUTS))
    outputs: Tensor = net.fc(hidden.view(len(inputs), HIDDEN))
    return outputs


TAKEN: dict[str, Callable[[], Net]] = {
    "plain": lambda: Net(plain),
    "time first": lambda: Net(plain, batch_first=False),
    "last step": lambda: Net(lambda net, x: net.fc(net.lstm(x)[0][:, -1])),
    "last hidden state": lambda: Net(lambda net, x: net.fc(net.lstm(x)[1][0][-1]), layers=2),
    "classes before steps": lambda: Net(lambda net, x: plain(net, x).transpose(1, 2)),
    "steps in a row": lambda: Net(lambda net, x: plain(net, x).flatten(0, 1)),
    "in a tuple": lambda: Net(lambda net, x: (plain(net, x), None)),
    "zeros to start from": lambda: Net(lambda net, x: with_state(net, x, 0.0)),
    "float32 inside": lambda: Net(lambda net, x: with_state(net, x, 0.0, dtype=torch.float32)),
    "one sequence": lambda: Net(one_by_one, batch_first=False),
    "tokens": lambda: Net(lambda net, x: plain(net, functional.one_hot(x, INPUTS).float())),
}


@pytest.mark.parametrize("name", TAKEN)
def test_a_module_that_is_an_rnn_and_its_readout_is_taken(name: str) -> None:
    net = TAKEN[name]()
    weights = RNNWeights.from_module(net)
    assert weights.spec == RNNSpec("lstm", INPUTS, HIDDEN, net.lstm.num_layers, OUTPUTS)
    wanted = [p.reshape(-1) for part in (net.lstm, net.fc) for p in part.parameters()]
    assert torch.equal(weights.flat[0], torch.cat(wanted))


def between(module: nn.Module) -> Net:
    net = Net(plain)
    net.between = module
    return net


def with_buffers() -> Net:
    net = Net(
        lambda net, x: net.fc(net.lstm(x, (net.h0.expand(1, len(x), -1).contiguous(),) * 2)[0])
    )
    net.register_buffer("h0", torch.randn(1, 1, HIDDEN))
    return net


class Clipped(nn.LSTM):
    def forward(self, inputs: Tensor, state: Any = None) -> Any:
        outputs, state = super().forward(inputs, state)
        return outputs.clamp(-0.01, 0.01), state


def clipped() -> Net:
    net = Net(plain)
    net.lstm = Clipped(INPUTS, HIDDEN, batch_first=True)
    return net


REFUSED: dict[str, Callable[[], Net]] = {
    "ReLU": lambda: between(nn.ReLU()),
    "buffers": with_buffers,
    "another start": lambda: Net(lambda net, x: with_state(net, x, 1.0)),
    "residual": lambda: Net(lambda net, x: plain(net, x) + x[..., :OUTPUTS]),
    "subclass": clipped,
    "noise": lambda: Net(lambda net, x: plain(net, x + torch.randn_like(x))),
    "rare clipping": lambda: Net(lambda net, x: plain(net, x.clamp(-4, 4))),
    "a state that stays": lambda: Net(kept),
    "first step": lambda: Net(lambda net, x: net.fc(net.lstm(x)[0][:, 0])),
    "hidden state": lambda: Net(lambda net, x: net.lstm(x)[0]),
    "log_softmax": lambda: Net(lambda net, x: plain(net, x).log_softmax(-1)),
    "no tensor": lambda: Net(lambda net, x: {"logits": plain(net, x)}),
    "images": lambda: Net(lambda net, x: plain(net, x[:, :, None, None].unfold(0, 9, 9))),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_module_that_does_more_is_refused(name: str) -> None:
    with pytest.raises(
        ValueError, match=r"^\w+ is not taken .*\.from_module\(rnn, linear\); a wsrl\.BlackBox"
    ):
        RNNWeights.from_module(REFUSED[name]())


def test_the_two_alone_are_taken_as_a_pair_or_in_a_container() -> None:
    net = between(nn.ReLU())
    weights = RNNWeights.from_module(net.lstm, net.fc)
    inputs = torch.randn(4, 6, INPUTS)
    outputs = run_population(weights, inputs[None])[0][0]
    torch.testing.assert_close(outputs, net.fc(net.lstm(inputs)[0]))
    parts = {"out": net.fc, "rnn": net.lstm}
    for container in (nn.ModuleDict(parts), nn.ModuleList([net.lstm, net.fc])):
        assert torch.equal(RNNWeights.from_module(container).flat, weights.flat)
    for more in (
        nn.ModuleDict({"act": nn.ReLU(), **parts}),
        nn.ModuleList([clipped().lstm, net.fc]),
    ):
        with pytest.raises(ValueError, match="outputs differ"):
            RNNWeights.from_module(more)


def with_first_state() -> Net:
    net = Net(
        lambda net, x: net.fc(
            net.lstm(x, tuple(s.expand(1, len(x), -1).contiguous() for s in (net.h0, net.c0)))[0]
        )
    )
    net.h0, net.c0 = (nn.Parameter(torch.randn(1, 1, HIDDEN)) for _ in range(2))
    return net


def with_cells() -> Net:
    def loop(net: Net, inputs: Tensor) -> Tensor:
        first, second = (inputs.new_zeros(len(inputs), HIDDEN) for _ in range(2))
        outputs = []
        for values in inputs.unbind(1):
            first = net.cells[0](values, first)
            second = net.cells[1](first, second)
            outputs.append(net.fc(second))
        return torch.stack(outputs, 1)

    net = Net(loop)
    net.cells = nn.ModuleList([nn.GRUCell(INPUTS, HIDDEN), nn.GRUCell(HIDDEN, HIDDEN)])
    del net.lstm
    return net


def with_embedding(tokens: int, width: int) -> Net:
    net = Net(lambda net, x: plain(net, net.embed(x)))
    net.embed, net.lstm = nn.Embedding(tokens, width), nn.LSTM(width, HIDDEN, batch_first=True)
    return net


def with_head(activation: nn.Module) -> Net:
    net = Net(plain)
    net.fc = nn.Sequential(nn.Linear(HIDDEN, 4), activation, nn.Dropout(0.3), nn.Linear(4, OUTPUTS))
    return net


def replaced(**parts: nn.Module) -> Net:
    net = Net(plain)
    for name, part in parts.items():
        net.add_module(name, part)
    return net


MORE: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "first states": (with_first_state, "lstm 1x5, 3 inputs, 2 outputs, own first state"),
    "cells in a loop": (with_cells, "gru 2x5, 3 inputs, 2 outputs"),
    "an embedding": (lambda: with_embedding(7, 4), "lstm 1x5, 7 inputs by 4, 2 outputs"),
    "an embedding, folded": (lambda: with_embedding(3, 4), "lstm 1x5, 3 inputs, 2 outputs"),
    "a head": (lambda: with_head(nn.GELU()), "lstm 1x5, 3 inputs, 2 outputs by 4 gelu"),
    "a linear head": (lambda: with_head(nn.Identity()), "lstm 1x5, 3 inputs, 2 outputs"),
    "ReLU": (
        lambda: replaced(lstm=nn.RNN(INPUTS, HIDDEN, nonlinearity="relu", batch_first=True)),
        "relu 1x5, 3 inputs, 2 outputs",
    ),
    "projections": (
        lambda: replaced(
            lstm=nn.LSTM(INPUTS, HIDDEN, 2, proj_size=2, batch_first=True),
            fc=nn.Linear(2, OUTPUTS),
        ),
        "lstm 2x5, 3 inputs, 2 outputs",
    ),
    "biases in the readout alone": (
        lambda: replaced(lstm=nn.GRU(INPUTS, HIDDEN, bias=False, batch_first=True)),
        "gru 1x5, 3 inputs, 2 outputs",
    ),
    "in a row": (
        lambda: nn.ModuleList(
            [nn.Linear(INPUTS, 4), nn.LSTM(4, HIDDEN), nn.Linear(HIDDEN, OUTPUTS)]
        ),
        "lstm 1x5, 3 inputs, 2 outputs",
    ),
}


@pytest.mark.parametrize("name", MORE)
def test_what_is_before_and_after_is_read_too(name: str) -> None:
    make, spec = MORE[name]
    model = make().double().eval()
    weights = RNNWeights.from_module(model)
    assert str(weights.spec) == spec
    size = weights.spec.input_size
    tokens = torch.randint(size, (4, 6))
    inputs = torch.eye(size, dtype=torch.float64)[tokens]
    if isinstance(model, nn.ModuleList):
        hidden = model[1](model[0](inputs).transpose(0, 1))[0].transpose(0, 1)
        expected = model[2](hidden)
    else:
        expected = model(tokens if "embedding" in name else inputs)
    torch.testing.assert_close(run_population(weights, inputs[None])[0][0], expected)


def test_modules_that_do_not_fit_are_refused() -> None:
    embedding, forwardless = Net(plain), nn.Module()
    embedding.embed = nn.Embedding(5, 3)  # which it does not use
    forwardless.rnn, forwardless.readout = nn.GRU(3, 4), nn.Linear(4, 2)
    cases: dict[str, tuple[nn.Module, ...]] = {
        "neither of vectors nor of tokens": (embedding,),
        'missing the required "forward"': (forwardless,),
        "a bidirectional RNN": (nn.LSTM(3, 5, bidirectional=True), nn.Linear(10, 4)),
        r"readout of 5 hidden values .* parts\.1 is \(4, 6\)": (
            nn.GRU(3, 5),
            nn.Linear(6, 4),
        ),
        "no key is the linear readout's": (nn.GRU(3, 5),),
        r"expected an nn\.LSTM, nn\.GRU or nn\.RNN": (nn.Linear(3, 5),),
        "outputs differ": (with_head(nn.ELU()),),
    }
    for message, modules in cases.items():
        with pytest.raises(ValueError, match=message):
            RNNWeights.from_module(*modules)


def test_weights_that_diverged_are_refused_by_name() -> None:
    rnn, readout = nn.GRU(3, 5), nn.Linear(5, 4)
    assert len(RNNWeights.from_module(rnn, readout)) == 1
    with torch.no_grad():
        readout.bias[1], rnn.weight_hh_l0[0, 0] = torch.inf, torch.nan
    wrong = r"finite in rnn\.weight_hh_l0, linear\.bias, as after a training that diverged"
    with pytest.raises(ValueError, match=wrong):
        RNNWeights.from_module(rnn, readout)


CHANGES: dict[str, Callable[[nn.Module], Any]] = {
    "weight_norm": lambda rnn: parametrizations.weight_norm(rnn, "weight_hh_l0"),
    "weight_norm by a hook": lambda rnn: nn.utils.weight_norm(rnn, "weight_hh_l0"),
    "spectral_norm": lambda rnn: parametrizations.spectral_norm(rnn, "weight_hh_l0"),
    "pruning": lambda rnn: prune.l1_unstructured(rnn, "weight_hh_l0", 0.5),
}


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_weights_are_read_as_they_act(change: str, trained: bool) -> None:
    """Also where a hook has left another weight in the module than the next run computes."""
    net = Net(plain)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the older weight_norm
        CHANGES[change](net.lstm)
    if trained:
        net(torch.randn(2, 6, INPUTS)).sum().backward()
    with torch.no_grad():
        for parameter in net.lstm.parameters():
            parameter.mul_(1.7)
    weights = RNNWeights.from_module(net)
    inputs = torch.randn(4, 6, INPUTS)
    torch.testing.assert_close(run_population(weights, inputs[None])[0][0], net.eval()(inputs))


def test_the_module_is_left_as_it_was() -> None:
    net = between(nn.Dropout(0.5))
    net.register_buffer("count", torch.zeros(()))
    net._forward = lambda own, x: plain(own, x + 0 * own.count.add_(1) + 0 * torch.rand(()))
    net(torch.randn(2, 4, INPUTS)).sum().backward()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    gradients = [p.grad.clone() for p in net.parameters() if p.grad is not None]
    random, dtype = torch.get_rng_state(), torch.get_default_dtype()
    RNNWeights.from_module(net)
    assert net.training
    assert net.between.training
    for key, value in net.state_dict().items():
        assert torch.equal(value, before[key])
    for parameter, gradient in zip(net.parameters(), gradients, strict=True):
        assert parameter.grad is not None
        assert torch.equal(parameter.grad, gradient)
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.get_default_dtype() == dtype


@pytest.mark.parametrize("gain", [1, 4, 16, 64])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_chaotic_rnns_are_not_taken_for_others(kind: type[nn.RNNBase], gain: float) -> None:
    """They amplify rounding, which differs between two ways to compute one RNN."""
    for _ in range(5):
        rnn, linear = kind(INPUTS, 16, 2), nn.Linear(16, OUTPUTS)
        with torch.no_grad():
            for parameter in rnn.parameters():
                parameter.mul_(gain)
        assert len(RNNWeights.from_module(rnn, linear)) == 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_weights_keep_the_module_s_dtype(dtype: torch.dtype) -> None:
    net = Net(plain).to(dtype)
    weights = RNNWeights.from_module(net)
    assert weights.flat.dtype == dtype
    first = net.lstm.weight_ih_l0.view(-1)
    assert torch.equal(weights.flat[0, : len(first)], first)
