"""What state dicts of ``torch.nn`` can hold, compared with the modules that they are of."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from wsrl.rnn import RNNSpec, RNNWeights, run_population
from wsrl.rnn.formats import OpenChoiceError, Reading, content_of, read_content

INPUTS, HIDDEN, OUTPUTS = 3, 6, 2


class Net(nn.Module):
    """Somebody's model: layers before, recurrent ones, layers after."""

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        self.order = tuple(parts)
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, values: Tensor) -> Tensor:
        for name in self.order:
            result = self.get_submodule(name)(values)
            values = result[0] if isinstance(result, tuple) else result
        return values


def lstm(inputs: int = INPUTS, hidden: int = HIDDEN, **options: Any) -> nn.LSTM:
    return nn.LSTM(inputs, hidden, batch_first=True, **options)


def read(model: nn.Module | dict[str, Any], **known: Any) -> Reading:
    saved = model.state_dict() if isinstance(model, nn.Module) else model
    return read_content(content_of(saved, "memory"), **known)


def check(weights: RNNWeights, model: nn.Module, tokens: bool = False) -> None:
    """Compare the outputs with the model's own, in float64."""
    size, model = weights.spec.input_size, model.double().eval()
    drawn = torch.randint(size, (4, 9))
    inputs = torch.eye(size, dtype=torch.float64)[drawn]
    inputs = inputs if tokens else torch.randn(4, 9, size, dtype=torch.float64)
    expected = model(drawn if tokens else inputs)
    outputs = run_population(weights.to(dtype=torch.float64), inputs[None])[0][0]
    torch.testing.assert_close(outputs, expected)


def test_an_embedding_or_a_linear_layer_before_is_folded_unless_it_is_a_bottleneck() -> None:
    for width, spec in {
        8: "lstm 1x6, 5 inputs, 2 outputs",
        4: "lstm 1x6, 5 inputs by 4, 2 outputs",
    }.items():
        embedded = Net(
            emb=nn.Embedding(5, width), core=lstm(width), fc=nn.Linear(HIDDEN, OUTPUTS)
        ).double()
        weights, notes = read(embedded)
        assert str(weights.spec) == spec
        assert any("emb is an embedding before it" in note for note in notes)
        check(weights, embedded, tokens=True)
        linear = Net(
            inp=nn.Linear(5, width), core=lstm(width), fc=nn.Linear(HIDDEN, OUTPUTS)
        ).double()
        weights, _ = read(linear)
        assert str(weights.spec) == spec
        check(weights, linear)


def test_a_square_layer_is_placed_by_its_name_or_asked_for() -> None:
    core, sizes = lstm(HIDDEN), (HIDDEN, HIDDEN)
    table = Net(embed=nn.Embedding(*sizes), core=core, out=nn.Linear(*sizes)).double()
    check(read(table).weights, table, tokens=True)
    before = Net(inp=nn.Linear(*sizes), core=core, out=nn.Linear(*sizes)).double()
    check(read(before).weights, before)
    nameless = Net(a=nn.Linear(*sizes), core=core, b=nn.Linear(*sizes)).double()
    with pytest.raises(OpenChoiceError, match=r"--said\.input_layer a or b or none") as error:
        read(nameless)
    assert {"input_layer", "readout"} <= {*error.value.options}
    check(read(nameless, said={"input_layer": "a"}).weights, nameless)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_readout_of_layers_needs_its_activation(layers: int) -> None:
    sizes = [*(HIDDEN, 5, 4)[:layers], OUTPUTS]
    steps: list[nn.Module] = []
    for below, here in pairwise(sizes):
        steps += [nn.Linear(below, here), nn.SiLU(), nn.Dropout(0.5)]
    model = Net(core=lstm(), head=nn.Sequential(*steps[:-2])).double()
    known: dict[str, Any] = {"said": {"readout_activation": "silu"}} if layers > 1 else {}
    if layers > 1:
        with pytest.raises(OpenChoiceError, match="readout_activation gelu or none or relu or"):
            read(model)
    weights, _ = read(model, **known)
    assert weights.spec.readout_widths == tuple(sizes[1:-1])
    check(weights, model)


def test_linear_layers_with_nothing_between_are_one() -> None:
    model = Net(core=lstm(), head=nn.Sequential(nn.Linear(HIDDEN, 4), nn.Linear(4, OUTPUTS)))
    weights, _ = read(model.double(), said={"readout_activation": "none"})
    assert weights.spec == RNNSpec("lstm", INPUTS, HIDDEN, 1, OUTPUTS)
    check(weights, model)


def test_one_of_several_recurrent_modules_is_asked_for() -> None:
    two = Net(low=lstm(), high=lstm(HIDDEN), fc=nn.Linear(HIDDEN, OUTPUTS)).double()
    with pytest.raises(OpenChoiceError, match=r"--said\.module high or low or 'low, high'"):
        read(two)
    stacked, notes = read(two, said={"module": "low, high"})
    check(stacked, two)
    assert "low, high are layers in this order" in notes
    high, notes = read(two, said={"module": "high"})
    check(high, Net(high=two.high, fc=two.fc))
    assert "not read, as no part of the RNN: low" in notes
    with pytest.raises(ValueError, match=r"module 'middle' is not there; name one of high, low"):
        read(two, said={"module": "middle"})


def test_a_module_with_its_own_readout_is_named_by_what_holds_both() -> None:
    parts = {name: Net(rnn=lstm(), fc=nn.Linear(HIDDEN, 2)) for name in ("actor", "critic")}
    both = nn.ModuleDict(parts).double()
    with pytest.raises(OpenChoiceError, match=r"module actor\.rnn or critic\.rnn"):
        read(both)
    check(read(both, said={"module": "critic"}).weights, both["critic"])


def test_the_only_module_that_fits_of_several_is_not_taken_without_being_said() -> None:
    model = Net(encoder=lstm(hidden=4), decoder=lstm(), fc=nn.Linear(HIDDEN, OUTPUTS))
    with pytest.raises(OpenChoiceError, match=r"--said\.module decoder"):
        read(model)
    assert read(model, said={"module": "decoder"}).weights.spec.hidden_size == HIDDEN


PARAMETRISATIONS: dict[str, Callable[[nn.Module], Any]] = {
    "weight_norm": lambda rnn: parametrizations.weight_norm(rnn, "weight_hh_l0"),
    "of the whole": lambda rnn: parametrizations.weight_norm(rnn, "weight_hh_l0", dim=None),
    "spectral_norm": lambda rnn: parametrizations.spectral_norm(rnn, "weight_hh_l0"),
    "spectral_norm by a hook": lambda rnn: nn.utils.spectral_norm(rnn, "weight_hh_l0"),
}


@pytest.mark.filterwarnings("ignore:.*deprecated")
@pytest.mark.parametrize("name", PARAMETRISATIONS)
def test_weights_are_computed_as_parametrisations_do(name: str) -> None:
    model = Net(core=lstm(), fc=nn.Linear(HIDDEN, OUTPUTS)).double()
    PARAMETRISATIONS[name](model.core)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.3)
    model.eval()(torch.randn(1, 2, INPUTS, dtype=torch.float64))
    check(read(model).weights, model)


def test_other_parametrisations_are_named() -> None:
    model = Net(core=nn.GRU(INPUTS, HIDDEN), fc=nn.Linear(HIDDEN, HIDDEN))
    parametrizations.orthogonal(model.fc)
    with pytest.raises(ValueError, match=r"fc\.parametrizations\.weight\.original.*not known here"):
        read(model)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_half_precision_is_widened_and_double_kept(dtype: torch.dtype) -> None:
    model = Net(emb=nn.Linear(2, 4), core=lstm(4), fc=nn.Linear(HIDDEN, OUTPUTS)).to(dtype)
    weights, _ = read(model)
    assert weights.flat.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    check(weights, model.double())


def test_first_states_are_read_by_name_and_part() -> None:
    model = Net(core=lstm(), fc=nn.Linear(HIDDEN, OUTPUTS))
    states = torch.randn(2, 1, 1, HIDDEN)
    for names in (("h0", "c0"), ("init_h", "init_c"), ("initial_hiddens_1xd", "initial_cell_1xd")):
        given = dict(zip(names, states, strict=True))
        weights, _ = read(model.state_dict() | given)
        named = weights.tensors()
        assert torch.equal(named["initial.h_l0"][0], states[0, 0, 0])
        assert torch.equal(named["initial.c_l0"][0], states[1, 0, 0])
    alone, _ = read(model.state_dict() | {"c0": states[1]})
    assert not alone.tensors()["initial.h_l0"].any()
    for strange in ({"h0": states[0, ..., :2]}, {"hidden0": states[0], "h_init": states[1]}):
        with pytest.raises(ValueError, match=r"unknown keys: .*--ignore h"):
            read(model.state_dict() | strange)


SPECS = [
    RNNSpec("gru", 3, 4, 2, 2),
    RNNSpec("lstm", 5, 4, 1, 2, input_width=3, input_bias=True, initial_state=True),
    RNNSpec("gru", 3, 4, 2, 2, readout_widths=(6,), readout_activation="gelu"),
    RNNSpec("relu", 3, 4, 2, 2, bias=False, initial_state=True),
]


@pytest.mark.parametrize("spec", SPECS, ids=map(str, SPECS))
def test_what_wsrl_writes_is_read_again(spec: RNNSpec) -> None:
    weights = RNNWeights(torch.randn(1, spec.num_parameters), spec)
    state = weights.to_module().state_dict()
    said = {"readout_activation": spec.readout_activation} if spec.readout_widths else {}
    found, _ = read(state, cell=spec.cell, said=said)
    assert found.spec == spec
    assert torch.equal(found.flat, weights.flat)


def test_the_state_dict_in_a_checkpoint_is_found_and_optimizers_are_not() -> None:
    model = Net(core=lstm(), fc=nn.Linear(HIDDEN, OUTPUTS)).double()
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(1, 2, INPUTS, dtype=torch.float64)).sum().backward()
    optimizer.step()
    rest = {"epoch": 3, "optimizer_states": [optimizer.state_dict()], "loss": torch.tensor(0.1)}
    for inside in (
        {"net": model.state_dict()},
        {"checkpoint": {"model": model.state_dict(), "optimizer": optimizer.state_dict()}},
        {"agent": nn.DataParallel(model).state_dict()},
    ):
        check(read(inside | rest).weights, model)
        content = content_of(inside | rest, "memory")
        assert (content.settings["epoch"], content.settings["loss"]) == (3, pytest.approx(0.1))
    averaged = {"model": model.state_dict(), "ema": Net(core=lstm(), fc=model.fc).state_dict()}
    with pytest.raises(OpenChoiceError, match=r"module ema\.core or model\.core"):
        read(averaged | rest)
    check(read(averaged | rest, said={"module": "model"}).weights, model)
    with pytest.raises(ValueError, match=r"unknown keys: norm\.mean"):
        read({"model": model.state_dict(), "norm": {"mean": torch.zeros(3)}} | rest)
    both = content_of(averaged | rest, "memory")
    _, notes = read_content(both, said={"module": "ema.core"})
    assert "not read, as no part of the RNN: model.core, model.fc.weight, model.fc.bias" in notes
    with pytest.raises(ValueError, match="tensors by name: it has epoch"):
        read(rest)
