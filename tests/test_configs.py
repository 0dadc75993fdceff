"""Every config is short, and is run."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import wsrl
from wsrl.cli import main
from wsrl.studies.benchmark import benchmark

CONFIGS = Path(__file__).parent.parent / "configs"
TINY = {
    "formal_languages": ["--evaluated_strings", "4", "--stored_strings", "2"],
    "tiled_images": ["--evaluated_images", "4", "--stored_sequences", "2"],
    "variable_binding": ["--evaluated_sequences", "4", "--stored_sequences", "2"],
}
QUICK = ["--trainer.fast_dev_run", "1", "--trainer.enable_model_summary", "false"]


def names(pattern: str) -> list[str]:
    found = sorted(str(path.relative_to(CONFIGS)) for path in CONFIGS.glob(pattern))
    assert found, pattern
    return found


ZOOS = names("zoo/*.yaml")
EMULATIONS = names("emulation*.yaml")
PREDICTIONS = names("prediction*.yaml")
ENCODERS = names("encoders/*.yaml")
BENCHMARKS = names("benchmark/*.yaml")


def test_every_config_is_run_by_a_test_below() -> None:
    known = {*ZOOS, *EMULATIONS, *PREDICTIONS, *ENCODERS, *BENCHMARKS}
    assert known == set(names("**/*.yaml"))


@pytest.mark.parametrize("name", names("**/*.yaml"))
def test_configs_are_short(name: str) -> None:
    assert len((CONFIGS / name).read_text().splitlines()) <= 30


def test_every_encoder_has_a_config_of_each_size() -> None:
    for name in wsrl.list_encoders():
        assert {f"encoders/{name}.yaml", f"encoders/{name}_small.yaml"} <= set(ENCODERS)


def test_every_config_of_an_encoder_is_named_after_it() -> None:
    """``NAME.yaml``, ``NAME-preset.yaml``, and either with ``_small``."""
    for name in ENCODERS:
        stem = Path(name).stem.removesuffix("_small")
        assert stem.split("-")[0] in wsrl.list_encoders()
        assert {f"encoders/{stem}.yaml", f"encoders/{stem}_small.yaml"} <= set(ENCODERS)


@pytest.mark.parametrize("name", ZOOS)
def test_zoo_configs_build(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    zoo = str(tmp_path / "zoo")
    config = str(CONFIGS / name)
    settings = yaml.safe_load((CONFIGS / name).read_text())
    if settings.get("source") == "mnist":
        monkeypatch.setenv("WSRL_IMAGES", str(request.getfixturevalue("mnist")))
    tiny = ["--runs", "2", "--snapshots", "[0, 1]", *TINY[settings["problem"]]]
    assert main(["zoo", "build", "--config", config, "--out", zoo, "--quiet", "true", *tiny]) == 0
    assert main(["zoo", "verify", zoo]) == 0


def test_the_published_zoo_is_as_published() -> None:
    config = yaml.safe_load((CONFIGS / "zoo/formal_languages.yaml").read_text())
    assert config["snapshots"] == [0, 100, 200, 500, 1000, 2000, 5000, 10000, 20000]
    assert (config["runs"], config["num_tokens"], config["length"]) == (1000, 4, 42)
    assert (config["hidden_size"], config["num_layers"]) == (32, 2)


def test_the_published_rnns_of_variable_binding_are_as_published() -> None:
    config = yaml.safe_load((CONFIGS / "zoo/variable_binding.yaml").read_text())
    assert (config["steps"], config["dims"], config["hidden_size"]) == (8, 8, 128)
    assert (config["cell"], config["bias"], config["num_layers"]) == ("tanh", False, 1)
    assert (config["batch_size"], config["learning_rates"]) == (64, [[0, 1e-3]])
    assert (config["clip_norm"], config["weight_decay"]) == (1.0, 0.0)
    assert max(config["snapshots"]) == 20_000


def test_the_published_zoo_of_images_is_as_published() -> None:
    config = yaml.safe_load((CONFIGS / "zoo/tiled_mnist.yaml").read_text())
    assert config["snapshots"] == [0, 100, 200, 500, 1000, 2000, 5000, 10000, 20000]
    assert (config["source"], config["tile_size"], config["interpolation"]) == (
        "mnist",
        4,
        "nearest",
    )
    assert (config["runs"], config["weight_decays"]) == (1000, [0.0, 0.001, 0.01, 0.1])
    assert (config["evaluated_images"], config["stored_sequences"]) == (13000, 100)
    assert (config["hidden_size"], config["num_layers"]) == (32, 2)


@pytest.mark.parametrize("name", EMULATIONS)
def test_emulation_configs_train(name: str, zoo_path: Path) -> None:
    assert main(["fit", "--config", str(CONFIGS / name), "--data.zoo", str(zoo_path), *QUICK]) == 0


@pytest.mark.parametrize("name", ENCODERS)
def test_encoder_configs_train(name: str, zoo_path: Path) -> None:
    base = "emulation_small.yaml" if name.endswith("_small.yaml") else "emulation.yaml"
    configs = ["--config", str(CONFIGS / base), "--config", str(CONFIGS / name)]
    assert main(["fit", *configs, "--data.zoo", str(zoo_path), *QUICK]) == 0


@pytest.mark.parametrize("name", PREDICTIONS)
def test_prediction_configs_train(name: str, zoo_path: Path, tmp_path: Path) -> None:
    data = ["--data.zoo", str(zoo_path)]
    pretrain = ["--config", str(CONFIGS / "emulation_small.yaml"), "--run", str(tmp_path / "run")]
    once = [
        "--trainer.max_steps",
        "1",
        "--trainer.limit_val_batches",
        "0",
        "--trainer.logger",
        "false",
    ]
    assert main(["fit", *pretrain, *data, *once]) == 0
    pretrained = ["--model.pretrained", str(tmp_path / "run" / "checkpoints" / "last.ckpt")]
    assert main(["fit", "--config", str(CONFIGS / name), *data, *pretrained, *QUICK]) == 0


STUDIES = sorted(str(path) for path in (CONFIGS.parent / "benchmarks").glob("*.yaml"))


@pytest.mark.parametrize("name", [*BENCHMARKS, *STUDIES])
def test_benchmark_configs_are_checked_whole(
    name: str,
    zoo_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.setenv("WSRL_IMAGES", str(request.getfixturevalue("mnist")))
    ran: list[int] = []
    monkeypatch.setattr(benchmark, "run_grid", lambda *given: ran.append(len(given[1])) or {})
    out = ["--out", str(tmp_path / "out"), "--seeds", "[0]"]  # all seeds have the same cells
    # The smoke tier is run for real in tests/studies/benchmark.
    assert main(["benchmark", "--config", str(CONFIGS / name), *out, "--workers", "1"]) == 0
    assert ran[0] > 15  # of one seed
