"""Every config is short, and is run."""

from __future__ import annotations

import inspect
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

import wsrl
from wsrl.cli import main
from wsrl.encoders import get_encoder
from wsrl.studies.benchmark import benchmark
from wsrl.zoos import label_zoo, open_zoo

CONFIGS = Path(__file__).parent.parent / "configs"
TRIALS = ["--evaluated_trials", "4", "--stored_trials", "2"]
TINY = {
    "context_integration": TRIALS,
    "delayed_discrimination": TRIALS,
    "flip_flop": TRIALS,
    "neurogym": TRIALS,
    "path_integration": TRIALS,
    "sine_generator": TRIALS,
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
SPEEDRUN = CONFIGS.parent / "benchmarks" / "speedrun"
VARIANTS = sorted(path.name for path in SPEEDRUN.glob("*.yaml"))
BENCHMARKS = names("benchmark/*.yaml")


def test_every_config_is_short_and_run_by_a_test_below() -> None:
    clusters = {"cluster/slurm.yaml"}  # read in tests/jobs/test_cluster.py
    known = {*ZOOS, *EMULATIONS, *PREDICTIONS, *ENCODERS, *BENCHMARKS, *clusters}
    assert known == set(names("**/*.yaml"))
    assert all(len((CONFIGS / name).read_text().splitlines()) <= 30 for name in known)


def test_every_encoder_has_configs_of_both_sizes_that_are_named_after_it() -> None:
    """``NAME.yaml``, ``NAME-preset.yaml``, and either with ``_small``."""
    stems = {Path(name).stem for name in ENCODERS}
    large = {stem for stem in stems if not stem.endswith("_small")}
    assert stems == large | {f"{stem}_small" for stem in large}
    assert {stem.split("-")[0] for stem in large} == set(wsrl.list_encoders())


@pytest.mark.parametrize("name", ZOOS)
def test_zoo_configs_build(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    zoo = str(tmp_path / "zoo")
    config = str(CONFIGS / name)
    settings = yaml.safe_load((CONFIGS / name).read_text())
    if settings.get("source") == "mnist":
        monkeypatch.setenv("WSRL_IMAGES", str(request.getfixturevalue("mnist")))
    if settings["problem"] == "neurogym":
        pytest.importorskip("neurogym", reason="NeuroGym is not installed")
    tiny = ["--runs", "2", "--snapshots", "[0, 1]", *TINY[settings["problem"]]]
    assert main(["zoo", "build", "--config", config, "--out", zoo, "--quiet", "true", *tiny]) == 0
    assert main(["zoo", "verify", zoo]) == 0


PUBLISHED = {
    "formal_languages": {
        "snapshots": [0, 100, 200, 500, 1000, 2000, 5000, 10000, 20000],
        "runs": 1000,
        "num_tokens": 4,
        "length": 42,
        "hidden_size": 32,
        "num_layers": 2,
    },
    "tiled_mnist": {
        "snapshots": [0, 100, 200, 500, 1000, 2000, 5000, 10000, 20000],
        "source": "mnist",
        "tile_size": 4,
        "interpolation": "nearest",
        "runs": 1000,
        "weight_decays": [0.0, 0.001, 0.01, 0.1],
        "evaluated_images": 13000,
        "stored_sequences": 100,
        "hidden_size": 32,
        "num_layers": 2,
    },
    "variable_binding": {
        "steps": 8,
        "dims": 8,
        "hidden_size": 128,
        "cell": "tanh",
        "bias": False,
        "num_layers": 1,
        "batch_size": 64,
        "learning_rates": [[0, 1e-3]],
        "clip_norm": 1.0,
        "weight_decay": 0.0,
    },
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_zoos_are_as_published(name: str) -> None:
    config = yaml.safe_load((CONFIGS / f"zoo/{name}.yaml").read_text())
    assert config.items() >= PUBLISHED[name].items()


def test_published_presets_close_forget_gates_and_split_officially() -> None:
    emulation, paper = (
        yaml.safe_load((CONFIGS / name).read_text())
        for name in ("emulation.yaml", "benchmark/paper.yaml")
    )
    assert emulation["model"]["init_args"]["open_forget_gates"] is False
    assert emulation["data"]["ood_criterion"] == "official"
    assert paper["prediction"]["options"]["data.ood_criterion"] == "official"
    with_gates = set()
    for name in ENCODERS:
        encoder = yaml.safe_load((CONFIGS / name).read_text())["model"]["init_args"]["encoder"]
        cls = get_encoder(encoder if isinstance(encoder, str) else encoder["class_path"])
        if "open_forget_gates" in inspect.signature(cls).parameters:
            with_gates.add(name)
            options = {} if isinstance(encoder, str) else encoder["init_args"]
            assert options.get("open_forget_gates", True) is name.endswith("_small.yaml"), name
    assert {"encoders/InteractiveProbing.yaml", "encoders/NoninteractiveProbing.yaml"} < with_gates


@pytest.mark.parametrize("name", [*EMULATIONS, *ENCODERS])
def test_configs_of_emulations_train(name: str, zoo_path: Path) -> None:
    base = "emulation_small.yaml" if name.endswith("_small.yaml") else "emulation.yaml"
    configs = ["--config", str(CONFIGS / base)]
    configs += [] if name == base else ["--config", str(CONFIGS / name)]
    assert main(["fit", *configs, "--data.zoo", str(zoo_path), *QUICK]) == 0


@pytest.mark.parametrize("variant", ["", *VARIANTS])
def test_the_recipe_fast_and_its_variants_train(
    variant: str, zoo_path: Path, tmp_path: Path
) -> None:
    names = ["emulation_fast.yaml", "encoders/InteractiveProbing-four_small.yaml"]
    paths = [*(CONFIGS / name for name in names), *([SPEEDRUN / variant] if variant else [])]
    configs = [f"--config={path}" for path in paths]
    run = ["--run", str(tmp_path), "--trainer.max_steps", "1", "--trainer.limit_val_batches", "0"]
    assert main(["fit", *configs, "--data.zoo", str(zoo_path), *run]) == 0
    settings = yaml.safe_load((tmp_path / "config.yaml").read_text())
    if variant:  # what it says is what is trained
        assert differences(yaml.safe_load((SPEEDRUN / variant).read_text()), settings) == []


def differences(said: Any, found: Any, at: str = "") -> list[str]:
    """Where settings are not as a config says; a class may be named by its whole path."""
    if isinstance(said, list):
        said, found = ({str(place): each for place, each in enumerate(x)} for x in (said, found))
    if isinstance(said, dict):
        parts = [differences(said[name], found[name], f"{at}.{name}") for name in said]
        return [difference for part in parts for difference in part]
    same = said == found or (isinstance(said, str) and f".{found}".endswith(f".{said}"))
    return [] if same or at == ".trainer.max_steps" else [f"{at}: {said}, {found}"]


@pytest.mark.parametrize("name", PREDICTIONS)
def test_prediction_configs_train(name: str, zoo_path: Path, tmp_path: Path) -> None:
    data = ["--data.zoo", str(zoo_path)]
    pretrain = ["--config", str(CONFIGS / "emulation_small.yaml"), "--run", str(tmp_path / "run")]
    once = ["--trainer.max_steps", "1", "--trainer.limit_val_batches", "0"]
    assert main(["fit", *pretrain, *data, *once, "--trainer.logger", "false"]) == 0
    pretrained = ["--model.pretrained", str(tmp_path / "run" / "checkpoints" / "last.ckpt")]
    assert main(["fit", "--config", str(CONFIGS / name), *data, *pretrained, *QUICK]) == 0


STUDIES = sorted(str(path) for path in (CONFIGS.parent / "benchmarks").glob("*.yaml"))


@pytest.mark.parametrize("name", [n for n in (*BENCHMARKS, *STUDIES) if "smoke" not in n])
def test_benchmark_configs_are_checked_whole(
    name: str,
    zoo_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.setenv("WSRL_IMAGES", str(request.getfixturevalue("mnist")))
    # What the configs say is made first: a zoo with properties of dynamics.
    labelled, rows = tmp_path / "zoos" / "tanh-32", range(len(open_zoo(zoo_path)))
    shutil.copytree(zoo_path, labelled)
    counts = ("n_stable", "max_unstable_directions", "dominant_time_constant")
    made = {name: [row % 4 for row in rows] for name in counts}
    label_zoo(labelled, {"row": rows, **made, "has_cycle": [row % 2 == 1 for row in rows]})
    monkeypatch.chdir(tmp_path)
    ran: list[int] = []
    monkeypatch.setattr(benchmark, "run_grid", lambda *given: ran.append(len(given[1])) or {})
    out = ["--out", str(tmp_path / "out"), "--seeds", "[0]"]  # all seeds have the same cells
    # The smoke tier is run for real in tests/studies/benchmark.
    assert main(["benchmark", "--config", str(CONFIGS / name), *out, "--workers", "1"]) == 0
    assert ran[0] >= 5  # of one seed: a zoo, and two encoders pre-trained and used
