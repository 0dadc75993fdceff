"""A cell of a user's own: all that holds of cells holds of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import wsrl
from tests.encoders.encoder_cases import small_encoder
from tests.rnn.test_cells import (
    PROBLEM,
    check_pairs,
    check_permutations,
    check_symmetries,
    drawn,
    outputs,
)
from tests.rnn.test_linearization import check_differences, random_point
from tests.test_docs import run_page
from wsrl.analysis.encoder_properties import measure_changes
from wsrl.analysis.rnn_pairs import make_pairs, random_rnns
from wsrl.cli import main
from wsrl.encoders import embed, list_encoders
from wsrl.rnn import (
    Cell,
    OpenChoiceError,
    RNNSpec,
    RNNWeights,
    find_fixed_points,
    get_cell,
    random_starts,
    read_state_dict,
    run_population,
)
from wsrl.rnn.cells import BELOW, HIDDEN, Axis, CellTensor, Symmetry, project
from wsrl.rnn.cells.registry import CELLS
from wsrl.zoos import BuildSettings, ZooError, build_zoo, open_zoo


def test_what_is_no_cell_is_not_registered() -> None:
    with pytest.raises(TypeError, match=r"only subclasses of Cell"):
        wsrl.register_cell(dict)
    with pytest.raises(TypeError, match="abstract"):

        @wsrl.register_cell
        class Lacking(Cell):
            name = "lacking"

    with pytest.raises(ValueError, match="the cell 'tanh' is registered already"):

        @wsrl.register_cell
        class Taken(type(get_cell("tanh"))):  # type: ignore[misc]
            pass


@pytest.fixture
def decaying() -> Iterator[None]:
    """The cell of the documentation, known as long as the test runs."""
    with CELLS.restored():
        run_page("cell.md")
        yield


@pytest.mark.usefixtures("decaying")
def test_options_of_a_cell_are_part_of_its_name() -> None:
    spec = RNNSpec("decaying( mean = 0.2 )", 3, 5, 1, 4)
    assert spec.cell == "decaying(mean=0.2)"
    assert spec == RNNSpec(**spec.to_dict()) != RNNSpec("decaying", 3, 5, 1, 4)
    assert RNNSpec("decaying(mean=0.5)", 3, 5, 1, 4).cell == "decaying"
    assert RNNSpec("decaying(mean=1)", 3, 5, 1, 4).cell == "decaying(mean=1.0)"
    for wrong, message in {
        "decaying(tau=1.0)": "has no option 'tau', only mean",
        "decaying(mean=True)": "mean is of type float, not True",
        "decaying(mean=open('x'))": "write a cell's options as in",
        "decaying(": "write a cell's options as in",
        "lstm(mean=1.0)": "lstm has no option 'mean'",
        "x" * 10**6: "unknown cell",
    }.items():
        with pytest.raises(ValueError, match=message) as error:
            RNNSpec(wrong, 3, 5, 1, 4)
        assert len(str(error.value)) < 500


@pytest.mark.usefixtures("decaying")
def test_a_cell_of_ones_own_runs_as_a_loop_does(caplog: pytest.LogCaptureFixture) -> None:
    weights, inputs = drawn("decaying", layers=1)
    leaves = [weights.flat.requires_grad_(), inputs.requires_grad_()]
    named = weights.tensors()
    h, found = torch.zeros(3, 2, 5, dtype=torch.float64), []
    for x in inputs.unbind(2):
        sums = h @ named["rnn.weight_hh_l0"].mT + x @ named["rnn.weight_ih_l0"].mT
        new = torch.tanh(sums + named["rnn.bias_l0"][:, None])
        h = named["rnn.decay_l0"][:, None] * h + new
        found.append(h @ named["linear.weight"].mT + named["linear.bias"][:, None])
    results = []
    for values in (torch.stack(found, 2), outputs(weights, inputs)):
        gradients = torch.autograd.grad(values.square().sum(), leaves, retain_graph=True)
        results.append([values, *gradients])
    for ours, truth in zip(*results, strict=True):
        torch.testing.assert_close(ours, truth, rtol=1e-10, atol=1e-12)
    for _ in range(2):
        run_population(weights, inputs, backend="cpu")
    assert caplog.text.count("Backend 'cpu' has no kernels of decaying RNNs; PyTorch runs") == 1


@pytest.mark.usefixtures("decaying")
def test_all_that_holds_of_cells_holds_of_ones_own() -> None:
    weights, inputs = drawn("decaying")
    check_permutations(weights, inputs)
    check_differences(weights, *random_point(weights.spec))
    small = RNNWeights(weights.flat * 0.2, weights.spec)
    assert find_fixed_points(small, random_starts(weights.spec, 3, 2)).converged.any(1).all()
    state = {name: value[0] for name, value in weights.tensors().items()}
    with pytest.raises(OpenChoiceError, match=r"Say it: --cell 'decaying\(mean=\.\.\.\)' "):
        read_state_dict(state)
    again = read_state_dict(state, "decaying")
    assert again.spec == weights.spec
    assert torch.equal(again.flat, weights.flat[:1])
    with pytest.raises(ValueError, match=r"torch\.nn has no decaying RNN"):
        weights.to_module()
    check_pairs("decaying")


def test_a_zoo_of_a_cell_of_ones_own(tmp_path: Path) -> None:
    folder = tmp_path / "zoo"
    with CELLS.restored():
        run_page("cell.md")
        settings = BuildSettings(2, snapshots=[0, 20], cell="decaying(mean=0.25)", hidden_size=4)
        build_zoo(folder, PROBLEM, settings, quiet=True)
        zoo = open_zoo(folder)
        assert zoo.spec.cell == "decaying(mean=0.25)"
        assert zoo.manifest.versions["backend"] == "eager on cpu"
        before, after = (RNNWeights(zoo.read("weights")[part::2], zoo.spec) for part in (0, 1))
        decays = before.tensors()["rnn.decay_l0"]
        assert ((decays > 0.125) & (decays < 0.375)).all()
        assert (after.flat - before.flat).abs().max() > 0.01
        assert main(["zoo", "verify", str(folder)]) == 0
    with pytest.raises(ZooError, match="of the cell 'decaying', which is not registered: inst"):
        open_zoo(folder)


def other_factors(tensors: Any, generator: torch.Generator | None) -> Any:
    """Change the basis of the ranks: GL(r)."""
    rank = tensors["from"].shape[1]
    basis = torch.eye(rank) + torch.rand(3, rank, rank, generator=generator).double() / rank
    factors = {"to": tensors["to"] @ basis, "from": torch.linalg.solve(basis, tensors["from"])}
    return {**tensors, **factors}, None


@dataclass(frozen=True)
class Odd(Cell):
    """What a cell may be: low rank, a mask, no recurrent matrix, two parts of state."""

    name = "statistics"  # as a library of kernels
    state = ("v", "trace")
    symmetries = (Symmetry("changes of factors", other_factors),)
    rank: int = 2

    def tensors(self, bias: bool) -> tuple[CellTensor, ...]:
        rank = Axis("rank", self.rank)
        return (
            CellTensor("weight_ih", (HIDDEN, BELOW), gates=2),
            CellTensor("to", (HIDDEN, rank), gates=3),
            CellTensor("from", (rank, HIDDEN)),
            CellTensor("mask", (HIDDEN, BELOW), initial=torch.sign, trained=False),
            CellTensor("gain", (Axis("shared", 1),)),
        )

    def prepare(self, tensors: Any) -> Any:
        value, gate = tensors["weight_ih"].chunk(2, 1)
        masked = torch.cat([value * tensors["mask"], gate], 1).mT
        factors = {"to": tensors["to"].mT, "from": tensors["from"].mT}
        return {"input": masked, "gain": tensors["gain"][:, None], **factors}

    def drive(self, weights: Any, values: Tensor) -> Any:
        return project(values, weights["input"]).chunk(2, -1)

    def step(self, weights: Any, driven: Any, state: Any) -> Any:
        v, trace = state
        value, gate = driven
        one, two, three = (torch.tanh(v) @ weights["from"] @ weights["to"]).chunk(3, -1)
        v = v + torch.sigmoid(gate + two) * (value + one * weights["gain"] - v)
        return v, trace + three.sin()

    def read(self, weights: Any, driven: Any, state: Any) -> Tensor:
        return torch.tanh(state[0]) * driven[1] + state[1]


def test_the_interface_takes_what_other_cells_need(tmp_path: Path) -> None:
    with CELLS.restored():
        wsrl.register_cell(Odd)
        weights, inputs = drawn("statistics(rank=3)")
        check_permutations(weights, inputs)
        check_symmetries(weights, inputs)
        check_differences(weights, *random_point(weights.spec))
        generator = torch.Generator().manual_seed(0)
        pairs = make_pairs(random_rnns(weights.spec, 3, generator), generator)
        for name in list_encoders():
            encoder = small_encoder(name, weights.spec)
            assert embed(encoder, weights).isfinite().all()
            found = measure_changes(encoder, pairs)
            seen = found["neurons reordered"].told_apart
            assert seen != (encoder.permutation_invariant or name == "ConstantEmbedding"), name
        settings = BuildSettings(
            2, snapshots=[0, 9], cell="statistics", hidden_size=4, clip_norm=1.0
        )
        build_zoo(tmp_path / "zoo", PROBLEM, settings, quiet=True)
        zoo = open_zoo(tmp_path / "zoo")
        before, after = (RNNWeights(zoo.read("weights")[part::2], zoo.spec) for part in (0, 1))
        for tensor in zoo.spec.tensors:
            same = torch.equal(before.tensor(tensor), after.tensor(tensor))
            assert same == (not tensor.trained), tensor.name
