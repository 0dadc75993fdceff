"""A checkpoint to go on from: its training state is whole, and its folder is the run's own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch  # noqa: F401 here, since its log keeps the stderr it finds at import
import pytest
import torch

from wsrl.cli import main
from wsrl.studies.training.callbacks import BestCheckpoint
from wsrl.studies.training.runs import Run
from wsrl.torch_files import read_torch_file


@pytest.fixture(scope="module")
def finished(zoo_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a scheduler and curves."""
    run = tmp_path_factory.mktemp("finished") / "run"
    args = ["fit", "--run", str(run), "--data.zoo", str(zoo_path)]
    args += ["--model", "wsrl.EmulationModule", "--model.encoder", "LayerwiseStatistics"]
    args += ["--model.emulator_width", "6", "--model.clone_rnns", "0", "--model.figures", "false"]
    args += ["--model.warmup_steps", "5", "--data.batch_size", "4", "--data.steps_per_epoch", "3"]
    args += ["--trainer.max_steps", "6", "--trainer.enable_model_summary", "false"]
    assert main(args) == 0
    return run


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def go_on(run: Path) -> int:
    return main(["fit", "--run", str(run), "--ckpt_path", "last", "--trainer.max_steps", "8"])


def test_a_run_goes_on(run: Path) -> None:
    assert go_on(run) == 0
    content = read_torch_file(run / "checkpoints/last.ckpt")
    assert content["global_step"] == 8
    assert content["lr_schedulers"][0]["last_epoch"] == 8


Content = dict[str, Any]


def optimizer(change: Callable[[Content], object]) -> Callable[[Content], object]:
    return lambda content: change(content["optimizer_states"][0])


def scheduler(**values: object) -> Callable[[Content], object]:
    return lambda content: content["lr_schedulers"][0].update(values)


def loops(change: Callable[[Content], object]) -> Callable[[Content], object]:
    return lambda content: change(content["loops"]["fit_loop"])


STEPS = "epoch_loop.automatic_optimization.optim_progress"
CHANGES: dict[str, Callable[[Content], object]] = {
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
    "no callbacks": lambda content: content.pop("callbacks"),
    "another step": lambda content: content.update(global_step=5),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_training_state_that_changed_is_one_error(
    change: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run / "checkpoints/last.ckpt"
    content = read_torch_file(path)
    CHANGES[change](content)
    torch.save(content, path)
    before = path.read_bytes()
    capsys.readouterr()
    assert go_on(run) == 1
    lines = capsys.readouterr().err.splitlines()
    errors = [line for line in lines if line.startswith("wsrl ")]
    assert lines[-1:] == errors
    assert f"wsrl fit: error: {path} " in errors[0]
    assert path.read_bytes() == before


def test_no_path_is_taken_from_a_checkpoint(run: Path, tmp_path: Path) -> None:
    """Lightning deletes the former best checkpoint wherever a checkpoint says that it lies."""
    victim = tmp_path / "victim.ckpt"
    victim.write_text("somebody's")
    path = run / "checkpoints/last.ckpt"
    content = read_torch_file(path)
    (name,) = (name for name in content["callbacks"] if name.startswith("BestCheckpoint"))
    elsewhere = f"{run}/checkpoints/../../victim.ckpt"
    score = torch.tensor(100.0)
    content["callbacks"][name] |= {
        "best_model_path": elsewhere,
        "kth_best_model_path": elsewhere,
        "best_k_models": {elsewhere: score},
        "best_model_score": score,
        "kth_value": score,
    }
    torch.save(content, path)
    (run / "checkpoints/best.ckpt").unlink()
    arguments = ["--trainer.max_steps", "9", "--trainer.val_check_interval", "1"]
    assert main(["fit", "--run", str(run), "--ckpt_path", "last", *arguments]) == 0
    assert victim.read_text() == "somebody's"
    assert (run / "checkpoints/best.ckpt").exists()


@pytest.mark.parametrize(
    ("score", "exists", "taken"),
    [
        (torch.tensor(0.5), True, 0.5),
        (torch.tensor(0.5), False, None),
        (torch.tensor(float("inf")), True, None),
        (torch.zeros(2), True, None),
        ("0.5", True, None),
        (None, True, None),
    ],
)
def test_a_best_score_is_taken_where_the_checkpoint_is(
    score: object, exists: bool, taken: float | None, tmp_path: Path
) -> None:
    if exists:
        (tmp_path / "best.ckpt").touch()
    callback = BestCheckpoint(tmp_path, "best", monitor="loss", enable_version_counter=False)
    callback.load_state_dict({"best_model_score": score, "best_k_models": {"/x": score}})
    assert callback.best_model_score == taken
    assert list(callback.best_k_models) == ([str(tmp_path / "best.ckpt")] if taken else [])


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
