"""A small grid on the tests' zoo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Grid = Callable[..., list[str]]
"""Writes a config of a benchmark, changed as wanted; returns the words of its command."""

QUICK = {"trainer.max_steps": 3, "data.steps_per_epoch": 3, "data.batch_size": 8}


@pytest.fixture
def grid(tmp_path: Path, zoo_path: Path) -> Grid:
    def write(**changes: Any) -> list[str]:
        settings: dict[str, Any] = {
            "size": "small",
            "seeds": [0],
            "encoders": ["InteractiveProbing", "LayerwiseStatistics"],
            "zoos": {"languages": {"path": str(zoo_path), "target": "task", "targets": ["step"]}},
            "emulation": {
                "config": "emulation_small.yaml",
                "options": QUICK | {"model.figures": False, "model.clone_rnns": 2},
            },
            "prediction": {"config": "prediction.yaml", "options": QUICK},
            "modes": ["frozen", "scratch"],
            "properties": [],
        }
        path = tmp_path / "grid.yaml"
        path.write_text(yaml.safe_dump(settings | changes))
        return ["--config", str(path), "--out", str(tmp_path / "out")]

    return write
