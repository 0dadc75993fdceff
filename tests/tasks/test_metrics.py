from __future__ import annotations

import pytest
import torch
from scipy.stats import kendalltau
from sklearn.metrics import mean_absolute_error, r2_score
from torch import Tensor

from wsrl.tasks.head import to_degrees
from wsrl.tasks.metrics import (
    emulation_metrics,
    kendall_tau,
    prediction_metrics,
    r2,
    update_prediction_metrics,
)


def with_ties(count: int, parts: int = 1) -> tuple[Tensor, Tensor]:
    """Return a truth and predictions of it, rounded so that some are equal."""
    truth = torch.randn(count, parts).round(decimals=1)
    return truth, truth + torch.randn(count, parts).round(decimals=1)


@pytest.mark.parametrize("parts", [1, 3])
def test_metrics_of_real_values_equal_scipy_and_sklearn(parts: int) -> None:
    truth, predicted = with_ties(31, parts)
    metrics = prediction_metrics("real")
    for rows in torch.arange(31).split(8):
        update_prediction_metrics(metrics, torch.ones(len(rows)), predicted[rows], truth[rows])
    values = {name: metric.compute().mean().item() for name, metric in metrics.items()}
    taus = [kendalltau(predicted[:, part], truth[:, part]).statistic for part in range(parts)]
    assert values["kendall_tau"] == pytest.approx(sum(taus) / parts, abs=1e-5)
    assert values["r2"] == pytest.approx(r2_score(truth, predicted), abs=1e-5)
    assert values["mae"] == pytest.approx(mean_absolute_error(truth, predicted), abs=1e-5)


def test_exact_match_needs_all_parts() -> None:
    metrics = prediction_metrics("classes")
    truth = torch.tensor([[0, 1], [2, 2], [1, 0]])
    predicted = torch.tensor([[0, 1], [2, 0], [0, 1]])
    losses = torch.tensor([1.0, 2.0, 6.0])
    update_prediction_metrics(metrics, losses[:1], predicted[:1], truth[:1])
    update_prediction_metrics(metrics, losses[1:], predicted[1:], truth[1:])
    values = {name: metric.compute().item() for name, metric in metrics.items()}
    assert values == pytest.approx({"loss": 3.0, "exact_match": 1 / 3, "part_accuracy": 0.5})


def test_nan_is_not_hidden() -> None:
    metric = emulation_metrics("categorical", clones=False)["total_variation"]
    metric.update(torch.tensor([0.5, torch.nan]))
    assert metric.compute().isnan()


@pytest.mark.parametrize(("scale", "shift"), [(1e-6, 0.0), (1e5, 0.0), (1.0, 1000.0), (-1.0, 0.0)])
def test_r2_does_not_depend_on_the_unit(scale: float, shift: float) -> None:
    truth, predicted = with_ties(31)
    found = r2(predicted * scale + shift, truth * scale + shift)
    assert float(found) == pytest.approx(r2_score(truth, predicted), rel=1e-3)
    assert float(r2(predicted * scale + shift, truth)) != pytest.approx(float(found), rel=1e-3)


UNDEFINED = {
    "no rows": ([], [], {"mae", "r2", "kendall_tau"}),
    "one row": ([2.0], [1.0], {"r2", "kendall_tau"}),
    "one row, met exactly": ([1.0], [1.0], {"r2", "kendall_tau"}),
    "a constant target": ([1.0, 2.0, 3.0], [0.1, 0.1, 0.1], {"r2", "kendall_tau"}),
    "a constant target, met exactly": ([0.1, 0.1, 0.1], [0.1, 0.1, 0.1], {"r2", "kendall_tau"}),
    "constant predictions": ([1.0, 1.0, 1.0], [1.0, 2.0, 4.0], {"kendall_tau"}),
    "a prediction of NaN": ([1.0, torch.nan, 2.0], [1.0, 2.0, 4.0], {"mae", "r2", "kendall_tau"}),
    "two rows that differ": ([1.0, 3.0], [1.0, 2.0], set()),
    "targets that nearly agree": ([0.1, 0.2, 0.3], [0.1, 0.1, 0.1 + 1e-6], set()),
}


@pytest.mark.parametrize("name", UNDEFINED)
def test_what_is_not_defined_is_nan_and_nothing_else_is(name: str) -> None:
    predicted, truth, undefined = UNDEFINED[name]
    metrics = prediction_metrics("real")
    pair = (torch.tensor(predicted)[:, None], torch.tensor(truth)[:, None])
    update_prediction_metrics(metrics, torch.ones(len(truth)), *pair)
    values = {name: metric.compute() for name, metric in metrics.items() if name != "loss"}
    assert {name for name, value in values.items() if value.isnan()} == undefined


def test_one_constant_part_of_several_is_enough() -> None:
    truth, predicted = with_ties(9, 2)
    assert not r2(predicted, truth).isnan()
    assert not kendall_tau(predicted, truth).isnan()
    truth[:, 1] = 3
    assert r2(predicted, truth).isnan()
    assert kendall_tau(predicted, truth).isnan()


@pytest.mark.parametrize("diverged", [False, True])
def test_a_class_that_comes_of_nan_is_no_hit(diverged: bool) -> None:
    losses = torch.tensor([torch.nan if diverged else 1.0, 1.0])
    metrics = prediction_metrics("classes")
    update_prediction_metrics(metrics, losses, torch.zeros(2, 1).long(), torch.tensor([[0], [1]]))
    for name in ("exact_match", "part_accuracy"):
        value = metrics[name].compute()
        assert value.isnan() if diverged else value == 0.5


def test_an_angle_that_comes_of_nan_stays_nan() -> None:
    points = torch.tensor([[torch.nan, 1.0], [1.0, -1e-9], [0.0, 1.0]])
    found = to_degrees(points)
    assert found[0].isnan()
    assert found[1:].tolist() == pytest.approx([0.0, 90.0])
    metrics = prediction_metrics("angle", 360.0)
    update_prediction_metrics(metrics, torch.ones(3), found[:, None], torch.zeros(3, 1))
    assert metrics["angular_error"].compute().isnan()
