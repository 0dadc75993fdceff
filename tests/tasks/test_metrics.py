from __future__ import annotations

import pytest
import torch
from scipy.stats import kendalltau
from sklearn.metrics import mean_absolute_error, r2_score

from wsrl.tasks.metrics import emulation_metrics, prediction_metrics, update_prediction_metrics


@pytest.mark.parametrize("parts", [1, 3])
def test_metrics_of_real_values_equal_scipy_and_sklearn(parts: int) -> None:
    truth = torch.randn(31, parts).round(decimals=1)  # with ties
    predicted = truth + torch.randn(31, parts).round(decimals=1)
    metrics = prediction_metrics("real", parts)
    for rows in torch.arange(31).split(8):
        update_prediction_metrics(metrics, torch.ones(len(rows)), predicted[rows], truth[rows])
    values = {name: metric.compute().mean().item() for name, metric in metrics.items()}
    taus = [kendalltau(predicted[:, part], truth[:, part]).statistic for part in range(parts)]
    assert values["kendall_tau"] == pytest.approx(sum(taus) / parts, abs=1e-5)
    assert values["r2"] == pytest.approx(r2_score(truth, predicted), abs=1e-5)
    assert values["mae"] == pytest.approx(mean_absolute_error(truth, predicted), abs=1e-5)


def test_exact_match_needs_all_parts() -> None:
    metrics = prediction_metrics("classes", 2)
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
