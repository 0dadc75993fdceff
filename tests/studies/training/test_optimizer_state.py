"""Optimisers' states: what each of them keeps is taken, what does not fit is refused."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn, optim
from torch.optim import Optimizer

from wsrl.studies.training.optimizer_state import check_optimizer_state, is_dense
from wsrl.torch_files import read_torch_file


class Grown(optim.AdamW):
    """One's own optimiser on top of PyTorch's, with options and states of its own."""

    def __init__(self, params: Any, lr: float, pull: float = 0.5) -> None:
        super().__init__(params, lr)
        for group in self.param_groups:
            group["pull"] = pull

    def step(self, closure: Any = None) -> Any:
        loss = super().step(closure)
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter]["norms"] = torch.zeros(9)
        return loss


class Plain(Optimizer):
    """One's own optimiser from the ground up: one state for all axes but the first."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr, "signs": True})

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                state["rows"] = state.get("rows", 0) + parameter.grad.flatten(1).sum(1)
                state["seen"] = state.get("seen", 0) + 1
                parameter.data -= group["lr"] * parameter.grad.sign()


OPTIONS: dict[str, dict[str, Any]] = {
    "SGD": {},
    "SGD, momentum": {"momentum": 0.9, "nesterov": True},
    "SGD, fused": {"momentum": 0.9, "fused": True},
    "Adam, fused": {"amsgrad": True, "fused": True},
    "AdamW, fused": {"fused": True},
    "AdamW, a tensor": {"lr": torch.tensor(0.01)},
    "Adagrad, fused": {"fused": True},
    "RMSprop, all": {"momentum": 0.9, "centered": True},
}
CLASSES: dict[str, type[Optimizer]] = {
    name: cls
    for name, cls in vars(optim).items()
    if inspect.isclass(cls) and issubclass(cls, Optimizer) and cls is not Optimizer
}
CASES = sorted({*CLASSES, *OPTIONS, "Grown", "Plain"} - {"SparseAdam"})
UNKNOWN = ("LBFGS", "Plain")  # what they keep has no shape of its own


def make(case: str) -> tuple[Optimizer, list[nn.Parameter]]:
    torch.manual_seed(0)
    shapes = [(6, 4), (3, 4)] if case in ("Muon", "Plain") else [(6, 4), (4,), (2, 3, 5), ()]
    parameters = [nn.Parameter(torch.randn(shape)) for shape in shapes]
    if case != "LBFGS":
        parameters[0].data = parameters[0].data.T  # lies in memory by its columns
    cls = {"Grown": Grown, "Plain": Plain, **CLASSES}[case.split(",")[0]]
    groups = [{"params": parameters[:1]}, {"params": parameters[1:], "lr": 0.02}]
    options = {"lr": 0.01} | OPTIONS.get(case, {})
    return cls(parameters if cls is optim.LBFGS else groups, **options), parameters


def step(optimizer: Optimizer, parameters: list[nn.Parameter]) -> None:
    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = sum(((parameter - 1) ** 2).sum() for parameter in parameters)
        loss.backward()
        return loss

    closure()
    optimizer.step(closure)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def saved(case: str, tmp_path: Path) -> dict[str, Any]:
    """The state after three steps, as it comes back from a file."""
    optimizer, parameters = make(case)
    for _ in range(3):
        step(optimizer, parameters)
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    found: dict[str, Any] = read_torch_file(tmp_path / "state.pt")
    return found


def refused(case: str, saved: Any) -> bool:
    message = ""
    try:
        check_optimizer_state(make(case)[0], saved, began=True)
    except ValueError as error:
        message = str(error)
    assert "\n" not in message
    return bool(message)


def test_every_optimiser_goes_on(case: str, saved: dict[str, Any]) -> None:
    optimizer, parameters = make(case)
    check_optimizer_state(optimizer, optimizer.state_dict(), began=False)
    before = copy.deepcopy(optimizer.state_dict())
    check_optimizer_state(optimizer, saved, began=True)
    assert str(optimizer.state_dict()) == str(before)  # a copy made the step
    optimizer.load_state_dict(saved)
    step(optimizer, parameters)


CHANGES: dict[str, Callable[[torch.Tensor], Any]] = {
    "one number": lambda tensor: torch.zeros(1),
    "more numbers": lambda tensor: torch.zeros(*tensor.shape, 2),
    "one number, seen again and again": lambda tensor: torch.zeros(()).expand(tensor.shape),
    "whole numbers": lambda tensor: tensor.long(),
    "complex numbers": lambda tensor: tensor.to(torch.complex64),
    "sparse": lambda tensor: tensor.to_sparse(),
    "nothing": lambda tensor: tensor.to("meta"),
    "text": lambda tensor: "0.1",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_state_of_another_kind_is_refused(case: str, saved: dict[str, Any], change: str) -> None:
    """Of every tensor of every state that PyTorch's own optimisers keep."""
    for index, state in saved["state"].items() if case not in UNKNOWN else ():
        for name, value in state.items():
            scalar = isinstance(value, torch.Tensor) and value.ndim == 0
            if not isinstance(value, torch.Tensor) or name == "norms":
                continue
            if scalar and "again" in change:
                continue  # one number is seen once
            other = copy.deepcopy(saved)
            other["state"][index][name] = CHANGES[change](value)
            assert refused(case, other), name


def bomb() -> list[Any]:
    inside: list[Any] = ["!"] * 10
    for _ in range(30):
        inside = [inside] * 10
    return inside


def option(name: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    def change(saved: dict[str, Any]) -> Any:
        saved["param_groups"][0][name] = value
        return saved

    return change


WHOLE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a list": lambda saved: [saved],
    "no groups": lambda saved: saved | {"param_groups": []},
    "a group of another kind": lambda saved: saved | {"param_groups": [3, 3]},
    "a state of another kind": lambda saved: saved | {"state": {0: torch.ones(3)}},
    "a parameter more": lambda saved: saved | {"state": {**saved["state"], 99: {}}},
    "no parameters": option("params", None),
    "other parameters": option("params", [1]),
    "a rate in text": option("lr", "0.1"),
    "several rates": option("lr", torch.zeros(3)),
    "a rate of endless size": option("lr", bomb()),
}


@pytest.mark.parametrize("change", WHOLE)
def test_a_whole_of_another_kind_is_refused(case: str, saved: dict[str, Any], change: str) -> None:
    assert refused(case, WHOLE[change](saved))


def test_what_is_not_there_is_refused(case: str, saved: dict[str, Any]) -> None:
    """But options that PyTorch itself adds to groups of older releases."""
    assert not refused(case, saved)
    if case in UNKNOWN:
        return
    for name in list(saved["state"].get(0, {})):
        other = copy.deepcopy(saved)
        del other["state"][0][name]
        assert refused(case, other) or name == "norms"
    assert refused(case, saved | {"state": {}}) or case == "SGD"  # which keeps nothing
    optimizer, _ = make(case)
    for name in set(saved["param_groups"][0]) - {"params", "pull"}:
        other = copy.deepcopy(saved)
        del other["param_groups"][0][name]
        if not refused(case, other):
            optimizer.load_state_dict(other)
            assert name in optimizer.param_groups[0]
    del saved["param_groups"][0]["lr"]
    assert refused(case, saved)


@pytest.mark.parametrize(
    "options", [{"betas": ()}, {"betas": (0.9,)}, {"eps": 10**400}, {"capturable": True}]
)
def test_options_with_which_no_step_can_be_made_are_refused(options: dict[str, Any]) -> None:
    optimizer, parameters = make("AdamW, fused")
    step(optimizer, parameters)
    saved = optimizer.state_dict()
    saved["param_groups"][0].update({"fused": None, "foreach": False} | options)
    with pytest.raises(ValueError, match=r"no step can be made|expected"):
        check_optimizer_state(optimizer, saved, began=True)


def test_dense_tensors() -> None:
    base = torch.randn(4, 6, 2)
    dense = [base, base.mT, base.permute(1, 0, 2), base[1], base[:0], base[:1], torch.tensor(1.0)]
    apart = [base[:, ::2], base[..., 0], torch.zeros(1).expand(3), base[:1].expand(2, 6, 2)]
    assert all(map(is_dense, dense))
    assert not any(map(is_dense, apart))
