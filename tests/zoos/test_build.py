"""Building: members whatever the grouping, interruption, failures, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import SMALL_BUILD, SMALL_PROBLEM
from wsrl import resources
from wsrl.problems import FormalLanguages
from wsrl.zoos import (
    BuildSettings,
    Zoo,
    ZooError,
    build_zoo,
    group,
    open_zoo,
    verify_zoo,
)
from wsrl.zoos.optimizer import PopulationAdamW

PROBLEM = FormalLanguages(**SMALL_PROBLEM)
SETTINGS = BuildSettings(runs=5, snapshots=[0, 3, 8], hidden_size=4, group_size=3)


def columns(zoo: Zoo) -> dict[str, torch.Tensor]:
    return {name: zoo.read(name) for name in zoo.columns}


def assert_equal(first: Zoo, second: Zoo) -> None:
    for name, column in columns(first).items():
        assert torch.equal(column, second.read(name)), name


def test_training_teaches_the_languages(tmp_path: Path) -> None:
    settings = BuildSettings(runs=8, snapshots=[0, 300], hidden_size=12, num_layers=1)
    build_zoo(tmp_path / "zoo", PROBLEM, settings, quiet=True)
    performance = open_zoo(tmp_path / "zoo").read("performance").view(8, 2).mean(0)
    assert performance[0] < 0.2
    assert performance[1] > 0.6


def test_members_do_not_depend_on_their_group(zoo_path: Path, tmp_path: Path) -> None:
    settings = BuildSettings(**(SMALL_BUILD | {"group_size": 7}))
    build_zoo(tmp_path / "zoo", PROBLEM, settings, quiet=True)
    first, second = open_zoo(zoo_path), open_zoo(tmp_path / "zoo")
    for name in ("task", "run", "step"):
        assert torch.equal(first.read(name), second.read(name))
    start = first.read("step") == 0
    assert torch.equal(first.read("weights")[start], second.read("weights")[start])
    # Rounding differs with the shape of a batched product, so later weights agree to rounding.
    torch.testing.assert_close(first.read("weights"), second.read("weights"), rtol=0.02, atol=2e-3)


def test_another_zoo_or_other_files_are_not_overwritten(zoo_path: Path, tmp_path: Path) -> None:
    with pytest.raises(ZooError, match=r"runs: 24 there, 5 asked for"):
        build_zoo(zoo_path, PROBLEM, SETTINGS, quiet=True)
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ZooError, match="holds no zoo"):
        build_zoo(tmp_path, PROBLEM, SETTINGS, quiet=True)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_member_that_diverges_spoils_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_zoo(tmp_path / "sound", PROBLEM, SETTINGS, quiet=True)
    draw = group.initial_weights

    def spoiled(spec: object, seed: int, members: list[int]) -> torch.Tensor:
        flat = draw(spec, seed, members)
        if 1 in members:
            flat[members.index(1)] = float("inf")
        return flat

    monkeypatch.setattr(group, "initial_weights", spoiled)
    manifest = build_zoo(tmp_path / "zoo", PROBLEM, SETTINGS, quiet=True)
    assert manifest.failed == {"1": 0}
    zoo, sound = open_zoo(tmp_path / "zoo"), open_zoo(tmp_path / "sound")
    assert zoo.read("run").unique().tolist() == [0, 2, 3, 4]
    others = sound.read("run") != 1
    assert torch.equal(zoo.read("weights"), sound.read("weights")[others])
    assert len(open_zoo(tmp_path / "zoo", include_failed=True)) == 15
    assert verify_zoo(tmp_path / "zoo").snapshots == 12


def test_what_overflows_after_the_last_loss_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights in the last update, and outputs in the dtype in which they are stored."""
    evaluate = FormalLanguages.evaluate

    def overflowing(*args: Any) -> dict[str, torch.Tensor]:
        columns = evaluate(*args)
        columns["outputs"][:1, 0, 0, 0] = -1e6  # float16 ends at -65504
        return columns

    with monkeypatch.context() as patch:
        patch.setattr(FormalLanguages, "evaluate", overflowing)
        assert build_zoo(tmp_path / "a", PROBLEM, SETTINGS, quiet=True).failed == {"0": 0, "3": 0}
    verify_zoo(tmp_path / "a")
    monkeypatch.setattr(BuildSettings, "learning_rate", lambda *_: float("inf"))
    settings = BuildSettings(runs=2, snapshots=[0, 1], hidden_size=4)
    assert build_zoo(tmp_path / "b", PROBLEM, settings, quiet=True).failed == {"0": 1, "1": 1}
    with pytest.raises(ZooError, match="no sound run"):
        verify_zoo(tmp_path / "b")


def test_adamw_equals_torch() -> None:
    flat = torch.randn(3, 7, dtype=torch.float64)
    decay = torch.tensor([[0.0], [0.1], [0.5]], dtype=torch.float64)
    rows = [row.clone().requires_grad_() for row in flat]
    theirs = [
        torch.optim.AdamW([row], weight_decay=float(d)) for row, d in zip(rows, decay, strict=True)
    ]
    ours = PopulationAdamW(flat, decay)
    for step in range(5):
        gradient, rate = torch.randn(3, 7, dtype=torch.float64), 0.1 / (step + 1)
        ours.step(gradient, rate)
        for row, optimizer, own in zip(rows, theirs, gradient, strict=True):
            row.grad, optimizer.param_groups[0]["lr"] = own, rate
            optimizer.step()
    torch.testing.assert_close(flat, torch.stack(rows).detach(), rtol=1e-12, atol=1e-12)


def test_learning_rate_is_piecewise_linear() -> None:
    settings = BuildSettings()
    rates = [settings.learning_rate(step) for step in (0, 5000, 10000, 15000, 30000)]
    assert rates == pytest.approx([0.01, 0.0065, 0.003, 0.00165, 0.0003])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"runs": 0}, "runs must be at least 1"),
        ({"snapshots": [100, 0]}, "snapshots must ascend"),
        ({"snapshots": [0, 1 << 63]}, r"snapshots\[1\] must be at most"),
        ({"runs": 10**12}, "are 15625000000 shards, more than 1000000"),
        ({"runs": 2.0}, "runs must be a whole number, not 2.0"),
        ({"learning_rates": [(0, -0.1)]}, r"learning_rates\[0\]\[1\] must be at least 0.0"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BuildSettings(**settings)


def test_what_does_not_fit_in_memory_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = BuildSettings(runs=3, snapshots=[0], hidden_size=1 << 22, group_size=100)
    with pytest.raises(
        ValueError, match=r"a group of 3 RNNs with 1 snapshots needs at least .* GB"
    ):
        build_zoo(tmp_path / "zoo", PROBLEM, settings, quiet=True)
    monkeypatch.setattr(resources, "machine_memory", lambda: 1000)
    with pytest.raises(ValueError, match="choose a smaller group_size"):
        build_zoo(tmp_path / "zoo", PROBLEM, SETTINGS, quiet=True)
    assert not (tmp_path / "zoo").exists()
    monkeypatch.setattr(resources, "machine_memory", lambda: None)  # where the system does not tell
    build_zoo(tmp_path / "zoo", PROBLEM, SETTINGS, quiet=True)
