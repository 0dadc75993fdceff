"""State dicts of ``torch.nn`` modules as flat weights, and what is refused."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from wsrl.rnn import (
    OpenChoiceError,
    RNNSpec,
    RNNWeights,
    list_cells,
    read_state_dict,
    run_population,
    weights_from_state_dict,
)
from wsrl.rnn.cells import BELOW, HIDDEN, Cell, CellTensor, Driven, LayerState, Tensors
from wsrl.rnn.cells.registry import CELLS

KINDS = {"lstm": nn.LSTM, "gru": nn.GRU, "tanh": nn.RNN}
State = dict[str, Tensor]


class Model(nn.Module):
    """Somebody's model, with names of its own."""

    def __init__(self, rnn: nn.RNNBase, outputs: int = 2, bias: bool = True) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Dropout(0.1), nn.Linear(rnn.hidden_size, outputs, bias=bias))
        self.core = rnn  # after its readout: the order of a state dict's keys does not matter

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.core(inputs)[0])
        return outputs


def gru_state() -> State:
    return Model(nn.GRU(3, 4, 2)).state_dict()


class AnotherGRU(Cell):
    """A cell with the tensors of a GRU but for the biases, of which it has one."""

    name = "another_gru"

    def tensors(self, bias: bool) -> tuple[CellTensor, ...]:
        axes = {"weight_ih": (HIDDEN, BELOW), "weight_hh": (HIDDEN, HIDDEN), "bias": (HIDDEN,)}
        return tuple(CellTensor(name, a, 3) for name, a in axes.items() if bias or name != "bias")

    def prepare(self, tensors: Tensors) -> Tensors:
        return tensors

    def drive(self, weights: Tensors, values: Tensor) -> Driven:
        return (values,)

    def step(self, weights: Tensors, driven: Driven, state: LayerState) -> LayerState:
        return state

    def read(self, weights: Tensors, driven: Driven, state: LayerState) -> Tensor:
        return state[0]


@contextmanager
def another_gru() -> Iterator[None]:
    with CELLS.restored():
        CELLS.register(AnotherGRU)
        yield


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("cell", sorted(KINDS))
def test_the_spec_is_found_and_the_weights_run_as_torch_does(
    cell: str, bias: bool, layers: int
) -> None:
    model = Model(KINDS[cell](3, 5, layers, bias=bias, batch_first=True), bias=bias).double().eval()
    said = None if KINDS[cell] is not nn.RNN else cell
    weights = read_state_dict(model.state_dict(), said)
    assert weights.spec == RNNSpec(cell, 3, 5, layers, 2, bias)
    inputs = torch.randn(6, 7, 3, dtype=torch.float64)
    expected = model.head(model.core(inputs)[0])
    torch.testing.assert_close(run_population(weights, inputs[None])[0][0], expected)
    torch.testing.assert_close(weights.flat, RNNWeights.from_module(model).flat, rtol=0, atol=0)


@pytest.mark.parametrize("prefixes", [("", "fc."), ("module.a.", "module.b.")])
def test_any_prefix(prefixes: tuple[str, str]) -> None:
    spec = RNNSpec("lstm", 2, 3, 2, 4)
    weights = RNNWeights(torch.randn(1, spec.num_parameters), spec)
    names = ("rnn.", "linear.")
    state = {
        name.replace(names[0], prefixes[0]).replace(names[1], prefixes[1]): value[0]
        for name, value in weights.tensors().items()
    }
    assert torch.equal(read_state_dict(state).flat, weights.flat)


def test_a_cell_is_never_guessed() -> None:
    """The keys of an ``nn.RNN`` are the same with tanh, with ReLU, and of a linear RNN."""
    state = Model(nn.RNN(3, 4, nonlinearity="relu")).state_dict()
    with pytest.raises(OpenChoiceError, match=r"cell relu or tanh\. .*--cell relu or tanh "):
        read_state_dict(state)
    known = ", ".join(list_cells())
    with pytest.raises(ValueError, match=f"unknown cell 'rnn'; choose one of {known}"):
        read_state_dict(state, "rnn")
    tanh, linear = (read_state_dict(state, cell) for cell in ("tanh", "linear"))
    assert tanh.spec == RNNSpec("tanh", 3, 4, 1, 2)
    assert linear.spec == RNNSpec("linear", 3, 4, 1, 2)
    assert torch.equal(tanh.flat, linear.flat)
    assert read_state_dict(gru_state(), "gru").spec.cell == "gru"
    with pytest.raises(ValueError, match="the cell is gru, not 'linear'"):
        read_state_dict(gru_state(), "linear")


def test_a_cell_more_leaves_the_files_of_the_others_as_they_are() -> None:
    state = Model(nn.GRU(3, 4, bias=False), bias=False).state_dict()
    with another_gru():
        assert read_state_dict(state).spec.cell == "gru"
        assert read_state_dict(state, "another_gru").spec.cell == "another_gru"
        with pytest.raises(ValueError, match="missing keys: weight_ih_l2"):
            read_state_dict(gru_state() | {"core.weight_ih_l999": torch.zeros(2, 2)})


def test_an_nn_rnn_is_taken_for_tanh_with_a_warning_where_that_is_asked_for() -> None:
    state = Model(nn.RNN(3, 4)).state_dict()
    with pytest.warns(UserWarning, match="taken for tanh: "):
        assert weights_from_state_dict(state).spec.cell == "tanh"
    assert weights_from_state_dict(state, "relu").spec.cell == "relu"


@pytest.mark.parametrize("number", ["1000", "999999999999", "9" * 5000])
def test_no_list_is_made_for_layers_that_a_key_claims(number: str) -> None:
    key = f"core.weight_ih_l{number}"
    with pytest.raises(
        ValueError, match=r"an RNN has at most 1000 layers: core\.weight_ih_l"
    ) as said:
        read_state_dict(gru_state() | {key: torch.zeros(2, 2)})
    assert len(str(said.value)) < 200
    with pytest.raises(ValueError, match="missing keys: weight_ih_l2"):  # fewer may be
        read_state_dict(gru_state() | {"core.weight_ih_l999": torch.zeros(2, 2)})


def test_no_more_numbers_are_made_than_are_stored() -> None:
    large = torch.zeros(1).expand(12 << 20, 4)
    with pytest.raises(ValueError, match=r"claim 2013.* bytes, but .* are stored: they overlap"):
        read_state_dict(gru_state() | {"core.weight_hh_l0": large})
    block = torch.zeros(3 << 20)
    views = {f"core.weight_ih_l{layer}": block.view(3, 1 << 20) for layer in range(100)}
    with pytest.raises(ValueError, match="they overlap or repeat"):
        read_state_dict(gru_state() | views)


def test_small_tensors_may_share_their_numbers() -> None:
    """The negative partner: tied biases, or zeros that are expanded, are weights like others."""
    state = gru_state()
    state["core.bias_hh_l0"] = state["core.bias_ih_l0"]
    state["core.bias_hh_l1"] = torch.zeros(1).expand(12)
    copies = {key: value.clone() for key, value in state.items()}
    found, expected = read_state_dict(state), read_state_dict(copies)
    assert torch.equal(found.flat, expected.flat)


def test_keys_are_shown_without_control_characters() -> None:
    with pytest.raises(ValueError, match=r"unknown keys: 'a\\x1b\[31m'") as said:
        read_state_dict(gru_state() | {"a\x1b[31m": torch.zeros(1)})
    assert "\x1b" not in str(said.value)


def without(key: str) -> State:
    return {name: value for name, value in gru_state().items() if name != key}


BAD: dict[str, tuple[State, str]] = {
    "no recurrent part": (nn.Linear(3, 2).state_dict(), r"no key is of an nn\.LSTM.*weight"),
    "no readout": (nn.LSTMCell(3, 2).state_dict(), r"no key is the linear readout's .*\(none\)"),
    "two readouts": (
        gru_state() | {"aux.weight": torch.randn(9, 4)},
        r"head\.1 is \(2, 4\), aux is \(9, 4\).*--ignore head\.1",
    ),
    "a layer norm": (
        gru_state() | {"norm.weight": torch.randn(4), "norm.bias": torch.randn(4)},
        r"unknown keys: norm\.weight, norm\.bias\. .*--ignore norm\.weight ",
    ),
    "bidirectional": (
        Model(nn.LSTM(3, 4, bidirectional=True)).state_dict(),
        r"core\.weight_ih_l0_reverse: a bidirectional RNN .* in one direction",
    ),
    "a missing matrix": (without("core.weight_hh_l0"), "missing keys: weight_hh_l0"),
    "a missing layer": (
        {name.replace("_l1", "_l2"): value for name, value in gru_state().items()},
        "missing keys: weight_ih_l1, weight_hh_l1",
    ),
    "rows of no cell": (
        gru_state() | {"core.weight_hh_l0": torch.randn(8, 4)},
        r"of no cell: .*core\.weight_hh_l0 is \(8, 4\)",
    ),
    "a second layer of other rows": (
        gru_state() | {"core.weight_hh_l1": torch.randn(12, 5)},
        r"core\.weight_hh_l1 is \(12, 5\), not \(12, 4\)",
    ),
    "a readout of other hidden neurons": (
        gru_state() | {"head.1.weight": torch.randn(2, 5)},
        r"readout of 4 hidden values .* head\.1 is \(2, 5\)",
    ),
    "whole numbers": (
        gru_state() | {"head.1.bias": torch.arange(2)},
        r"floating point numbers: head\.1\.bias",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_rnn_with_a_readout_is_refused_by_name(case: str) -> None:
    state, message = BAD[case]
    with pytest.raises(ValueError, match=message) as said:
        read_state_dict(state)
    with another_gru(), pytest.raises(ValueError, match=message) as again:
        read_state_dict(state)
    assert str(again.value) == str(said.value)
