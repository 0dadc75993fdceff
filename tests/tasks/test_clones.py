"""Clones: which RNNs of a split are scored, and what they sample."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.tasks.conftest import small_emulation, small_trainer
from tests.tasks.test_emulation import split_batch
from wsrl.data import ZooDataModule
from wsrl.encoders.base import normalized
from wsrl.problems import FormalLanguages
from wsrl.rnn import run_population
from wsrl.tasks.evaluation import chosen_rows, score_clones


def test_what_is_measured_does_not_depend_on_the_size_of_batches(
    zoo_path: Path, tmp_path: Path
) -> None:
    def measured(size: int, seed: int = 0) -> dict[str, float]:
        data = ZooDataModule(str(zoo_path), eval_batch_size=size)
        torch.manual_seed(5)
        module = small_emulation(data, clone_rnns=6, evaluation_seed=seed)
        trainer = small_trainer(tmp_path, precision="64-true")
        trainer.validate(module, datamodule=data, verbose=False)
        return {name: float(value) for name, value in trainer.callback_metrics.items()}

    whole = measured(100)
    assert len(whole) == 2 * 7
    assert measured(5) == pytest.approx(whole, rel=1e-5)
    assert measured(5, seed=1) != pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize(("rows", "count"), [(1000, 64), (1000, 1), (60, 59), (7, 64), (5, 0)])
def test_clones_are_chosen_from_all_over_a_split(rows: int, count: int) -> None:
    split = np.arange(3, 3 + 2 * rows, 2)
    chosen = chosen_rows(split, count)
    assert len(chosen.unique()) == len(chosen) == min(rows, count)
    assert torch.isin(chosen, torch.from_numpy(split)).all()
    assert (chosen.sort().values == chosen).all()
    if count == 64 and rows == 1000:
        assert 2 * 2 * rows / count > chosen.diff().max() > chosen.diff().min()
        for stride in (2, 4, 5, 8, 10):  # they come to batches and processes alike
            shares = torch.bincount((chosen - 3) // 2 % stride, minlength=stride)
            assert shares.min() >= 64 / stride / 2, stride


def test_only_some_clones_are_scored_in_validation_and_all_in_a_test(
    datamodule: ZooDataModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored: list[int] = []

    def clone_scores(
        problem: Any, run: Any, tasks: Tensor, samples: int, generators: list[torch.Generator]
    ) -> Tensor:
        scored.append(len(tasks))
        assert samples == 3
        return torch.cat([torch.rand(1, generator=each) for each in generators])

    monkeypatch.setattr(FormalLanguages, "clone_scores", clone_scores)
    rows = sum(len(datamodule.rows(split)) for split in ("validation", "ood"))
    # Original and clone, in two splits.
    for what, clones, expected in [("validate", 4, 2 * 8), ("test", 4, 2 * rows), ("test", 0, 0)]:
        scored.clear()
        module, trainer = small_emulation(datamodule, clone_rnns=clones), small_trainer(tmp_path)
        getattr(trainer, what)(module, datamodule=datamodule, verbose=False)
        assert sum(scored) == expected
        assert ("ood/clone_score" in trainer.callback_metrics) is (clones > 0)


def test_clones_and_originals_run_freely_through_their_own_models(
    datamodule: ZooDataModule,
) -> None:
    batch, module = split_batch(datamodule), small_emulation(datamodule)
    embedding = normalized(module.encoder, batch.weights).detach()

    found = []

    def clone_scores(run: Any, tasks: Tensor, samples: int, generators: Any) -> Tensor:
        first, state = run(batch.inputs[:, :, :3], None)
        rest, _ = run(batch.inputs[:, :, 3:], state)
        found.append(torch.cat([first, rest], 2))
        scores = torch.full((len(tasks),), 0.5)
        scores[0] = torch.nan
        return scores

    problem: Any = SimpleNamespace(clone_scores=clone_scores)
    with torch.no_grad():
        given = (module.emulator, embedding, batch.weights, batch.task, 2, range(len(batch)))
        scores = score_clones(problem, *given)
        expected = [
            run_population(batch.weights, batch.inputs)[0],
            module.emulate(embedding, batch.inputs),
        ]
    torch.testing.assert_close(found, expected)
    for score in scores:  # NaN, where no sequence could be judged, counts as 0
        assert score[0] == 0
        assert (score[1:] == 0.5).all()
