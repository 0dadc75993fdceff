from __future__ import annotations

import pytest
import torch
from scipy.stats import kendalltau
from sklearn.metrics import mean_absolute_error, r2_score
from torch import Tensor

from wsrl.tasks.metrics import mean, r2
from wsrl.tasks.targets import Angle, Classes, Real, TargetKind


def with_ties(count: int, parts: int = 1) -> tuple[Tensor, Tensor]:
    """Return a truth and predictions of it, rounded so that some are equal."""
    truth = torch.randn(count, parts).round(decimals=1)
    return truth, truth + torch.randn(count, parts).round(decimals=1)


def measured(
    kind: TargetKind, predicted: Tensor, truth: Tensor, size: int = 8
) -> dict[str, Tensor]:
    metrics = kind.metrics()
    for rows in torch.arange(len(truth)).split(size):
        for metric in metrics.values():
            metric.update(predicted[rows], truth[rows])
    return {name: metric.compute() for name, metric in metrics.items()}


@pytest.mark.parametrize("parts", [1, 3])
def test_metrics_of_real_values_equal_scipy_and_sklearn(parts: int) -> None:
    truth, predicted = with_ties(31, parts)
    values = {n: float(value) for n, value in measured(Real(parts), predicted, truth).items()}
    taus = [kendalltau(predicted[:, part], truth[:, part]).statistic for part in range(parts)]
    assert values["kendall_tau"] == pytest.approx(sum(taus) / parts, abs=1e-5)
    assert values["r2"] == pytest.approx(r2_score(truth, predicted), abs=1e-5)
    assert values["mae"] == pytest.approx(mean_absolute_error(truth, predicted), abs=1e-5)
    truth[:, -1] = 3  # one constant part is enough
    found = measured(Real(parts), predicted, truth)
    assert found["r2"].isnan()
    assert found["kendall_tau"].isnan()


def test_exact_match_needs_all_parts_and_a_prediction() -> None:
    truth = torch.tensor([[0, 1], [2, 2], [1, 0]])
    predicted = torch.tensor([[0.0, 1.0], [2.0, 0.0], [0.0, 1.0]])
    values = measured(Classes(2, 3), predicted, truth, size=2)
    assert values == {"exact_match": pytest.approx(1 / 3), "part_accuracy": 0.5}
    predicted[0, 0] = torch.nan  # neither right nor wrong
    assert all(value.isnan() for value in measured(Classes(2, 3), predicted, truth).values())


def test_nan_is_not_hidden() -> None:
    metric = mean()
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
    values = measured(Real(), torch.tensor(predicted)[:, None], torch.tensor(truth)[:, None])
    assert {name for name, value in values.items() if value.isnan()} == undefined


def test_the_angular_error_goes_the_short_way_round() -> None:
    predicted = torch.tensor([[359.0], [10.0], [180.0]])
    target = torch.tensor([[2.0], [350.0], [0.0]])
    expected = pytest.approx((3 + 20 + 180) / 3)
    assert measured(Angle(1, 0, 360.0), predicted, target) == {"angular_error": expected}
    as_number = measured(Real(1, 0, 360.0), predicted, target)
    assert as_number["angular_error"] == expected
    assert as_number["mae"] == pytest.approx((357 + 340 + 180) / 3)
    assert "angular_error" not in measured(Real(), predicted, target)
    predicted[0] = torch.nan
    assert measured(Angle(1, 0, 360.0), predicted, target)["angular_error"].isnan()
