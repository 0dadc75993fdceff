"""Several processes give the answers of one: gradients, metrics and figures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.tasks.processes import TRAINED, Results, evaluate, train, train_all, work
from tests.zoos.building import FORK

SUMS = {"rtol": 1e-9, "atol": 1e-10}
"""float64, with sums in another order."""
METRICS = {"rtol": 1e-6, "atol": 1e-6}
"""What metrics collect is float32."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("processes")


@pytest.fixture(scope="module")
def results(zoo_path: Path, folder: Path) -> tuple[Results, Results]:
    """What one process gives, and what two (in an evaluation, three) give, all run at once."""
    processes = [
        FORK.Process(target=work, args=(rank, str(zoo_path), folder), daemon=True)
        for rank in range(3)
    ]
    for process in processes:
        process.start()
    try:
        one = train_all(str(zoo_path), folder, 1)
        one["evaluation"] = evaluate(str(zoo_path), folder, 1)
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0, 0, 0]
    finally:
        for process in processes:
            process.kill()
    return one, torch.load(folder / "results.pt", weights_only=True)


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name].double(),
            value.double(),
            **(SUMS if name.startswith(("gradient", "parameter")) else METRICS),
            equal_nan=True,
            msg=lambda text, name=name: f"{name}: {text}",
        )


@pytest.mark.parametrize(("name", "task"), TRAINED)
def test_two_processes_train_and_measure_like_one(
    results: tuple[Results, Results], name: str, task: str
) -> None:
    one, two = (result[f"{name} {task}"] for result in results)
    assert_same(two, one)
    encoded = [known for known in one if known.startswith("gradient encoder.")]
    assert bool(encoded) == (task != "frozen")
    wanted = {
        "emulation": ["shuffled_total_variation", "shuffled_reverse_kl", "clone_difference"],
        "frozen": ["exact_match", "part_accuracy", "loss"],
        "finetune": ["mae", "r2", "kendall_tau"],
        "scratch": ["angular_error"],
    }
    for split in ("validation", "ood"):
        assert {f"logged {split}/{metric}" for metric in wanted[task]} < one.keys()
    assert "logged train/loss" in one


def test_three_processes_evaluate_like_one(results: tuple[Results, Results], folder: Path) -> None:
    one, three = (result["evaluation"] for result in results)
    assert_same(three, one)
    for split in ("validation", "ood", "test"):
        assert f"emulation {split}/clone_score" in one
    assert len(list((folder / "disk").iterdir())) == 1  # they read one copy of the zoo


def test_other_data_have_other_gradients(
    results: tuple[Results, Results], zoo_path: Path, tmp_path: Path
) -> None:
    known = results[1]["FlattenedWeights emulation"]
    other = train(str(zoo_path), tmp_path, 1, "FlattenedWeights", "emulation", seed=1)
    with pytest.raises(AssertionError):
        assert_same(other, known)
    gradients = [name for name in known if name.startswith("gradient")]
    assert all((other[name] - known[name]).abs().max() > 1e-6 for name in gradients)


def test_one_process_alone_writes_to_tensorboard(
    results: tuple[Results, Results], folder: Path
) -> None:
    written = {}
    for processes in (1, 2):
        (file,) = (folder / f"logs-{processes}").rglob("events.out.tfevents.*")
        events = EventAccumulator(str(file), size_guidance={"images": 0, "scalars": 0}).Reload()
        images = {tag: [e.step for e in events.Images(tag)] for tag in events.Tags()["images"]}
        scalars = {
            tag: [(e.step, pytest.approx(e.value, rel=1e-5)) for e in events.Scalars(tag)]
            for tag in events.Tags()["scalars"]
        }
        written[processes] = images, scalars
    assert written[2] == written[1]
    images, scalars = written[2]
    assert images == {name: [3] for name in ("outputs", "probing", "embeddings")}
    assert [step for step, _ in scalars["train/loss"]] == [0, 1, 2]
