"""A checkpoint to go on from: its training state is whole, and its folder is the run's own."""

import copy
import inspect
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch  # noqa: F401 here, since its log keeps the stderr it finds at import
import pytest
import torch
from torch import Tensor, nn, optim
from torch.optim import Optimizer

from wsrl.cli import main
from wsrl.studies.training.runs import Run
from wsrl.studies.training.training_state import check_optimizer_state, is_dense
from wsrl.torch_files import read_torch_file

Content = dict[str, Any]


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
every_optimiser = pytest.mark.parametrize("case", CASES)


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
    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = sum(((parameter - 1) ** 2).sum() for parameter in parameters)
        loss.backward()
        return loss

    closure()
    optimizer.step(closure)


def after_steps(case: str) -> Content:
    optimizer, parameters = make(case)
    for _ in range(3):
        step(optimizer, parameters)
    return copy.deepcopy(optimizer.state_dict())


def refused(case: str, saved: Any) -> bool:
    message = ""
    try:
        check_optimizer_state(make(case)[0], saved, began=True)
    except ValueError as error:
        message = str(error)
    assert "\n" not in message
    return bool(message)


@every_optimiser
def test_every_optimiser_goes_on(case: str) -> None:
    saved, (optimizer, parameters) = after_steps(case), make(case)
    check_optimizer_state(optimizer, optimizer.state_dict(), began=False)
    before = copy.deepcopy(optimizer.state_dict())
    check_optimizer_state(optimizer, saved, began=True)
    assert str(optimizer.state_dict()) == str(before)  # a copy made the step
    optimizer.load_state_dict(saved)
    step(optimizer, parameters)


CHANGES: dict[str, Callable[[Tensor], Any]] = {
    "one number": lambda tensor: torch.zeros(1),
    "more numbers": lambda tensor: torch.zeros(*tensor.shape, 2),
    "one number, seen again and again": lambda tensor: torch.zeros(()).expand(tensor.shape),
    "whole numbers": lambda tensor: tensor.long(),
    "complex numbers": lambda tensor: tensor.to(torch.complex64),
    "sparse": lambda tensor: tensor.to_sparse(),
    "nothing": lambda tensor: tensor.to("meta"),
    "text": lambda tensor: "0.1",
}


@every_optimiser
def test_a_state_of_another_kind_is_refused(case: str) -> None:
    """Of every tensor of every state that PyTorch's own optimisers keep, and where it is missing.

    But options that PyTorch itself adds to groups of older releases.
    """
    saved = after_steps(case)
    assert not refused(case, saved)
    for index, state in saved["state"].items() if case not in UNKNOWN else ():
        for name in state.keys() - {"norms"}:
            other = copy.deepcopy(saved)
            del other["state"][index][name]
            assert refused(case, other) or index > 0, name  # which may have had no gradient yet
            for change in CHANGES if isinstance(value := state[name], Tensor) else ():
                if value.ndim or "again" not in change:  # one number is seen once
                    other["state"][index][name] = CHANGES[change](value)
                    assert refused(case, other), (name, change)
    assert refused(case, saved | {"state": {}}) or case in ("SGD", *UNKNOWN)  # that keep nothing
    optimizer, _ = make(case)
    for name in set(saved["param_groups"][0]) - {"params", "pull"}:
        other = copy.deepcopy(saved)
        del other["param_groups"][0][name]
        if not refused(case, other) and case not in UNKNOWN:
            optimizer.load_state_dict(other)
            assert name in optimizer.param_groups[0]


def bomb() -> list[Any]:
    inside: list[Any] = ["!"] * 10
    for _ in range(30):
        inside = [inside] * 10
    return inside


def option(name: str, value: Any) -> Callable[[Content], Any]:
    def change(saved: Content) -> Any:
        saved["param_groups"][0][name] = value
        return saved

    return change


WHOLE: dict[str, Callable[[Content], Any]] = {
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


@every_optimiser
def test_a_whole_of_another_kind_is_refused(case: str) -> None:
    saved = after_steps(case)
    for change in WHOLE:
        assert refused(case, WHOLE[change](copy.deepcopy(saved))), change


@pytest.mark.parametrize(
    "options", [{"betas": ()}, {"betas": (0.9,)}, {"eps": 10**400}, {"capturable": True}]
)
def test_options_with_which_no_step_can_be_made_are_refused(options: Content) -> None:
    saved = after_steps("AdamW, fused")
    saved["param_groups"][0].update({"fused": None, "foreach": False} | options)
    assert refused("AdamW, fused", saved)


def test_dense_tensors() -> None:
    base = torch.randn(4, 6, 2)
    dense = [base, base.mT, base.permute(1, 0, 2), base[1], base[:0], base[:1], torch.tensor(1.0)]
    apart = [base[:, ::2], base[..., 0], torch.zeros(1).expand(3), base[:1].expand(2, 6, 2)]
    assert all(map(is_dense, dense))
    assert not any(map(is_dense, apart))


def go_on(run: Path, *options: str) -> int:
    further = ["--ckpt_path", "last", "--trainer.max_steps", "8", *options]
    return main(["fit", "--run", str(run), "--config", str(run / "config.yaml"), *further])


def optimizer(change: Callable[[Content], object]) -> Callable[[Content], object]:
    return lambda content: change(content["optimizer_states"][0])


def scheduler(**values: object) -> Callable[[Content], object]:
    return lambda content: content["lr_schedulers"][0].update(values)


def loops(change: Callable[[Content], object]) -> Callable[[Content], object]:
    return lambda content: change(content["loops"]["fit_loop"])


STEPS = "epoch_loop.automatic_optimization.optim_progress"
DAMAGES: dict[str, Callable[[Content], object]] = {
    "no optimisers": lambda content: content.update(optimizer_states=[]),
    "two optimisers": lambda content: content["optimizer_states"].append({}),
    "no list of optimisers": lambda content: content.pop("optimizer_states"),
    "an empty optimiser": optimizer(lambda state: state.update(state={})),
    "a short state": optimizer(lambda state: state["state"][0].update(exp_avg=torch.zeros(1))),
    "no schedulers": lambda content: content.update(lr_schedulers=[]),
    "a scheduler of another kind": lambda content: content.update(lr_schedulers=[3]),
    "a scheduler without its method": scheduler(get_lr=3),
    "a scheduler that counts in text": scheduler(last_epoch="6"),
    "no loops": lambda content: content.pop("loops"),
    "empty loops": lambda content: content.update(loops={}),
    "no count of steps": loops(lambda loop: loop.pop(STEPS)),
    "a count that is text": loops(lambda loop: loop["epoch_progress"]["total"].update(ready="1")),
    "loops of endless size": loops(lambda loop: loop.update(more=bomb())),
    "no callbacks": lambda content: content.pop("callbacks"),
    "another step": lambda content: content.update(global_step=5),
}


def test_a_training_state_that_changed_is_one_error(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run / "checkpoints/last.ckpt"
    whole = path.read_bytes()
    for name, change in DAMAGES.items():
        path.write_bytes(whole)
        content = read_torch_file(path)
        change(content)
        torch.save(content, path)
        before = path.read_bytes()
        capsys.readouterr()
        assert go_on(run) == 1, name
        lines = capsys.readouterr().err.splitlines()
        errors = [line for line in lines if line.startswith("wsrl ")]
        assert lines[-1:] == errors, name
        assert f"wsrl fit: error: {path} " in errors[0]
        assert path.read_bytes() == before
    path.write_bytes(whole)
    assert go_on(run) == 0
    content = read_torch_file(path)
    assert content["global_step"] == content["lr_schedulers"][0]["last_epoch"] == 8


def test_no_path_is_taken_from_a_checkpoint(run: Path, tmp_path: Path) -> None:
    """Lightning deletes the former best checkpoint wherever a checkpoint says that it lies."""
    victim = tmp_path / "victim.ckpt"
    victim.write_text("somebody's")
    path = run / "checkpoints/last.ckpt"
    content = read_torch_file(path)
    (name,) = (name for name in content["callbacks"] if name.startswith("BestCheckpoint"))
    elsewhere, score = f"{run}/checkpoints/../../victim.ckpt", torch.tensor(100.0)
    named = dict.fromkeys(("best_model_path", "kth_best_model_path"), elsewhere)
    scores = dict.fromkeys(("best_model_score", "kth_value"), score)
    content["callbacks"][name] |= {**named, **scores, "best_k_models": {elsewhere: score}}
    torch.save(content, path)
    (run / "checkpoints/best.ckpt").unlink()
    assert go_on(run, "--trainer.val_check_interval", "1") == 0
    assert victim.read_text() == "somebody's"
    assert (run / "checkpoints/best.ckpt").exists()


@pytest.mark.parametrize("options", [["--ckpt_path", "last"], ["--overwrite"]])
@pytest.mark.parametrize("linked", ["logs", "checkpoints"])
def test_nothing_is_written_through_a_link_that_leads_out(
    linked: str,
    options: list[str],
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    victim = tmp_path / "victim"
    shutil.move(run / linked, victim)
    (run / linked).symlink_to(victim)
    left = victim / "precious.0123abcd.partial"
    left.touch()
    before = [(path, path.stat().st_mtime_ns) for path in sorted(victim.rglob("*"))]
    args = ["fit", "--run", str(run), "--config", str(run / "config.yaml")]
    assert main([*args, "--trainer.max_steps", "8", *options]) == 1
    assert "is a link that leads out of" in capsys.readouterr().err
    assert before == [(path, path.stat().st_mtime_ns) for path in sorted(victim.rglob("*"))]
    if linked == "checkpoints":
        with pytest.raises(ValueError, match="is a link that leads out of"):
            Run(run).remove_leftovers()
        assert left.exists()


def test_a_run_may_be_reached_by_a_link(run: Path, tmp_path: Path) -> None:
    """The negative partner: the folder as a whole, and links that stay in it."""
    (tmp_path / "link").symlink_to(run)
    (run / "logs").rename(run / "curves")
    (run / "logs").symlink_to("curves")
    assert go_on(tmp_path / "link") == 0
