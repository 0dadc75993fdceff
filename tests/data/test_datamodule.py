from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import LightningModule, Trainer

from wsrl.data import ZooBatch, ZooDataModule
from wsrl.rnn import RNNSpec
from wsrl.zoos import ZooError, open_zoo


def loaded_rows(datamodule: ZooDataModule, split: str) -> list[int]:
    position = datamodule.eval_splits("predict").index(split)
    batches = list(datamodule.predict_dataloader()[position])
    return sorted(torch.cat([batch.row for batch in batches]).tolist())


def test_the_hyperparameters_alone_rebuild_it(
    zoo_path: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(Path(zoo_path).parent)
    module = ZooDataModule("zoo", seed=3, permute=True)
    monkeypatch.chdir(tmp_path)
    assert RNNSpec(**module.spec) == module.zoo.spec
    plain = dict(module.hparams)
    assert all(isinstance(value, str | int | float) for value in plain.values())
    assert plain["zoo"] == zoo_path
    assert dict(ZooDataModule(**plain).hparams) == plain


def test_a_batch_holds_what_the_zoo_stores_in_the_documented_shapes(
    datamodule: ZooDataModule,
) -> None:
    batch, spec = datamodule.train_dataloader().batch(0), datamodule.zoo.spec
    assert batch.weights.flat.shape == (8, spec.num_parameters)
    assert batch.inputs.shape == (8, 2, 13, spec.input_size)
    assert batch.outputs.shape == (8, 2, 13, spec.output_size)
    shapes = {name: tuple(target.shape) for name, target in batch.targets.items()}
    assert shapes == {"task": (8, 2), "performance": (8, 1), "step": (8, 1)}
    assert batch.targets["task"].dtype == batch.row.dtype == torch.int64
    assert batch.performance.dtype == batch.task.dtype == torch.float32
    zoo = open_zoo(datamodule.zoo.path)
    for name in ("run", "step", "performance"):
        assert torch.equal(zoo.read(name)[batch.row], batch.labels()[name])
    assert torch.equal(zoo.read("weights")[batch.row], batch.weights.flat)
    assert torch.equal(zoo.read("task")[batch.row].float(), batch.task)
    lowest = zoo.problem.settings()["min_difference"]
    assert torch.equal(batch.targets["task"], batch.task[:, 1:].long() - lowest)


@pytest.mark.parametrize("criterion", ["published", "inverse", "random"])
@pytest.mark.parametrize("ood_to_train", [False, True])
def test_no_run_and_no_task_is_in_two_splits(
    any_path: str, criterion: Any, ood_to_train: bool
) -> None:
    module = ZooDataModule(
        any_path, ood_criterion=criterion, test_fraction=0.2, ood_to_train=ood_to_train
    )
    splits = module.eval_splits("predict")
    assert splits == ["train", "validation", "ood", "test"]
    rows = [module.rows(split) for split in splits]
    assert sorted(np.concatenate(rows)) == list(range(len(module.zoo)))
    runs, tasks = module.zoo.read("run").numpy(), module.zoo.read("task").numpy()
    for one, other in itertools.combinations(rows, 2):
        assert not set(runs[one]) & set(runs[other])
        assert not {tuple(t) for t in tasks[one]} & {tuple(t) for t in tasks[other]}


def test_official_and_inverse_splits_order_tasks_by_the_measure(any_path: str) -> None:
    modules = {
        kind: ZooDataModule(any_path, ood_criterion=kind) for kind in ("official", "inverse")
    }
    tasks = modules["official"].zoo.read("task").numpy()
    criterion = modules["official"].problem.ood_criterion(tasks)
    rows = {k: {s: m.rows(s) for s in ("train", "validation", "ood")} for k, m in modules.items()}
    for kind, sign in (("official", 1), ("inverse", -1)):
        inside = np.concatenate([rows[kind]["train"], rows[kind]["validation"]])
        outside = (sign * criterion[rows[kind]["ood"]]).min()
        assert outside >= (sign * criterion[inside]).max() - 1e-9
        assert sorted([*inside, *rows[kind]["ood"]]) == list(range(len(tasks)))
    assert not set(rows["official"]["ood"]) & set(rows["inverse"]["ood"])


def test_rnns_of_low_performance_are_left_out_of_all_splits(any_path: str) -> None:
    whole = ZooDataModule(any_path, split_by="nothing")
    performance = whole.zoo.read("performance").numpy()
    least = float(np.unique(performance)[1])
    module = ZooDataModule(any_path, split_by="nothing", min_performance=least)
    for split in ("train", "validation", "ood"):
        assert module.rows(split).tolist() == np.flatnonzero(performance >= least).tolist()
        assert len(module.rows(split)) < len(whole.rows(split))
    with pytest.raises(ValueError, match=r"has a performance of at least 1\.5: choose a lower min"):
        ZooDataModule(any_path, min_performance=1.5).rows("train")


def test_every_stage_reads_its_splits(zoo_path: str) -> None:
    module = ZooDataModule(zoo_path, test_fraction=0.1)
    assert module.eval_splits("fit") == module.eval_splits("validate") == ["validation", "ood"]
    assert module.eval_splits("test") == ["validation", "ood", "test"]
    assert ZooDataModule(zoo_path).eval_splits("test") == ["validation", "ood"]
    assert [len(module.val_dataloader()), len(module.test_dataloader())] == [2, 3]
    for split in module.eval_splits("predict"):
        assert loaded_rows(module, split) == module.rows(split).tolist()


def test_bad_input_is_an_error_before_work(zoo_path: str, tmp_path: Path) -> None:
    for wrong, message in (
        ({"sequences_per_rnn": 6}, "sequences_per_rnn must be at most 5"),
        ({"steps_per_epoch": 0}, "steps_per_epoch must be at least 1"),
        ({"eval_batch_size": 1}, "eval_batch_size must be at least 2"),
        ({"split_seed": -1}, "split_seed must be at least 0"),
        ({"ood_criterion": "official", "test_fraction": 0.1}, "official has no test split"),
        ({"ood_criterion": "official", "split_seed": 2}, "its own seed 1"),
        ({"min_performance": float("nan")}, "min_performance must be at least 0"),
        ({"ood_criterion": "smallest"}, "ood_criterion must be 'published', "),
    ):
        with pytest.raises(ValueError, match=message):
            ZooDataModule(zoo_path, **wrong)
    with pytest.raises(ZooError, match="no such folder"):
        ZooDataModule(str(tmp_path / "nothing"))
    with pytest.raises(ValueError, match="test needs a test_fraction"):
        ZooDataModule(zoo_path).rows("test")
    module = ZooDataModule(zoo_path, test_fraction=0.001)
    with pytest.raises(ValueError, match="too few tasks"):
        module.setup("fit")


def test_zoos_are_given_as_a_folder_or_one_by_one(collection_path: Path) -> None:
    folder = ZooDataModule(str(collection_path), batch_size=8)
    paths = [str(collection_path / name) for name in ("gru-4", "lstm-4", "lstm-6")]
    listed = ZooDataModule(paths, batch_size=8)
    assert listed.hparams["zoo"] == paths
    assert folder.hparams["zoo"] == str(collection_path)
    for split in ("train", "validation", "ood"):
        assert folder.rows(split).tolist() == listed.rows(split).tolist()
    one = ZooDataModule(paths[:1], batch_size=8)
    assert RNNSpec(**one.spec) == open_zoo(paths[0]).spec
    assert folder.spec == {"input_size": 5, "output_size": 5}


def test_a_task_is_in_one_split_whichever_zoos_have_it(collection_path: Path) -> None:
    """The zoos have the same 12 tasks: split one by one, the RNNs of a task could be anywhere."""
    module = ZooDataModule(str(collection_path))
    zoo = module.zoo
    for split in ("train", "validation", "ood"):
        rows = torch.from_numpy(module.rows(split))
        tasks = {tuple(task) for task in zoo.read("task", rows).tolist()}
        of_zoos = [
            {tuple(task) for task in zoo.read("task", rows[zoo.zoo_of(rows) == index]).tolist()}
            for index in range(3)
        ]
        assert of_zoos == [tasks] * 3


class Probe(LightningModule):
    """Keeps the kinds of numbers it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.seen: list[tuple[torch.dtype, torch.dtype, str]] = []

    def training_step(self, batch: ZooBatch, batch_idx: int) -> torch.Tensor:
        self.seen.append((batch.weights.flat.dtype, batch.row.dtype, batch.outputs.device.type))
        return self.scale * batch.outputs.mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.parametrize(
    ("precision", "dtype"), [("32-true", torch.float32), ("64-true", torch.float64)]
)
def test_batches_come_in_the_precision_of_the_module(
    datamodule: ZooDataModule, tmp_path: Path, precision: Any, dtype: torch.dtype
) -> None:
    trainer = Trainer(
        accelerator="cpu",
        precision=precision,
        fast_dev_run=2,
        default_root_dir=tmp_path,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    probe = Probe()
    trainer.fit(probe, datamodule)
    assert probe.seen == [(dtype, torch.int64, "cpu")] * 2
