"""What ``wsrl test`` and ``wsrl baseline`` leave in a folder, read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import kendalltau
from sklearn.metrics import r2_score

import wsrl
from wsrl.strict_json import numbers
from wsrl.zoos.tensors import read_metadata, read_tensors

LABELS = {"row", "run", "step", "performance", "task", "split", "spec"}


def found(folder: Path) -> tuple[dict[str, float], dict[str, dict[str, NDArray[Any]]]]:
    """Return the metrics, NaN where they are not defined, and the columns of every split."""
    columns = {name: t.numpy() for name, t in read_tensors(folder / "test.safetensors").items()}
    metadata = read_metadata(folder / "test.safetensors")
    told = json.loads((folder / "test.json").read_text())
    assert {name: metadata[name] for name in ("checkpoint", "zoo")} == {
        name: told[name] for name in ("checkpoint", "zoo")
    }
    splits = {
        split: {name: column[columns["split"] == index] for name, column in columns.items()}
        for index, split in enumerate(metadata["splits"])
    }
    return numbers(told["metrics"]), splits


def check_predictions(folder: Path, target: str, data: wsrl.ZooDataModule) -> None:
    """Check that the metrics of a target follow from predictions and truth of every split."""
    metrics, splits = found(folder)
    assert list(splits) == ["validation", "ood"]
    wanted: dict[str, float] = {}
    for split, columns in splits.items():
        assert columns.keys() == LABELS | {"prediction", "target"}
        assert columns["row"].tolist() == list(data.rows(split))
        predicted, truth = columns["prediction"], columns["target"]
        assert predicted.dtype == truth.dtype
        assert np.array_equal(truth, data.read_target(target, split).numpy())
        right, difference = predicted == truth, np.abs(predicted - truth)
        if target == "angle":
            own = {"angular_error": np.minimum(difference, 360 - difference).mean()}
        elif target == "performance":
            own = {"mae": difference.mean(), "r2": r2_score(truth, predicted)}
            own["kendall_tau"] = kendalltau(truth[:, 0], predicted[:, 0]).statistic
        else:
            own = {"exact_match": right.all(1).mean(), "part_accuracy": right.mean()}
        wanted |= {f"{split}/{name}": value for name, value in own.items()}
    metrics = {name: value for name, value in metrics.items() if not name.endswith("/loss")}
    assert metrics == pytest.approx(wanted, rel=1e-3, abs=1e-5, nan_ok=True)
