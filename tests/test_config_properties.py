"""Any valid options: a checkpoint and a run's config.yaml give the very same ones back."""

from __future__ import annotations

import math
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import lightning.pytorch  # noqa: F401 here, since its log keeps the stderr it finds at import
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from wsrl.class_paths import class_path
from wsrl.data import ZooDataModule
from wsrl.encoders import get_encoder
from wsrl.rnn import RNNSpec
from wsrl.stopping import StopRequests
from wsrl.studies.training.command import TrainingCLI
from wsrl.studies.training.runs import Request
from wsrl.tasks import EmulationModule
from wsrl.torch_files import read_torch_file

SPEC = RNNSpec("lstm", 5, 6, 2, 5)
COUNTS = st.integers(1, 10**6)
POSITIVE = st.floats(1e-12, 1e3)

DATA = st.fixed_dictionaries(
    {},
    optional={
        "batch_size": COUNTS,
        "sequences_per_rnn": st.integers(1, 8),
        "steps_per_epoch": COUNTS,
        "eval_batch_size": st.integers(2, 10**6),
        "split_seed": st.integers(0, 2**32 - 1),
        "seed": st.integers(0, 2**32 - 1),
        "ood_criterion": st.sampled_from(["published", "inverse", "random"]),
        "test_fraction": st.floats(0, 0.69),
        "ood_to_train": st.booleans(),
        "permute": st.booleans(),
        "in_memory": st.booleans(),
        "split_by": st.sampled_from(["task", "nothing"]),
        "min_performance": st.floats(0, 1),
    },
)
MODEL = st.fixed_dictionaries(
    {"emulator_width": st.integers(1, 8)},
    optional={
        "loss": st.sampled_from(["total_variation", "reverse_kl"]),
        "emulator_layers": st.integers(1, 2),
        "condition_every_step": st.booleans(),
        "open_forget_gates": st.booleans(),
        "learning_rate": POSITIVE,
        "weight_decay": st.floats(0, 1),
        "gradient_clip": st.floats(0, 1e6),
        "clone_rnns": st.integers(0, 9),
        "clone_sequences": st.integers(1, 9),
        "evaluation_seed": st.integers(0, 2**31),
        "figures": st.booleans(),
    },
)
ENCODERS = st.sampled_from(["ConstantEmbedding", "FlattenedWeights", "LayerwiseStatistics"])
DIMS = st.integers(1, 9)


def through_a_file(values: dict[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint keeps of hyper-parameters."""
    with tempfile.TemporaryDirectory() as folder:
        torch.save({"hyper_parameters": values}, Path(folder) / "a.ckpt")
        found: dict[str, Any] = read_torch_file(Path(folder) / "a.ckpt")["hyper_parameters"]
    return found


@given(DATA, MODEL, ENCODERS, DIMS)
def test_a_checkpoint_gives_data_and_model_back(
    zoo_path: Path, given: dict[str, Any], options: dict[str, Any], encoder: str, dims: int
) -> None:
    data = ZooDataModule(str(zoo_path), **given)
    kept = through_a_file(dict(data.hparams))
    assert given.items() <= kept.items()
    assert dict(ZooDataModule(**kept).hparams) == dict(data.hparams)
    made = {"class_path": class_path(get_encoder(encoder)), "init_args": {"embedding_dim": dims}}
    module = EmulationModule(made, SPEC.to_dict(), **options)
    kept = through_a_file(dict(module.hparams))
    assert options.items() <= kept.items()
    again = EmulationModule(**kept)
    assert dict(again.hparams) == dict(module.hparams)
    again.load_state_dict(module.state_dict())


def parsed(config: Path, run: Path) -> dict[str, Any]:
    """Parse a config as ``wsrl fit`` does; return all its settings, resolved."""
    request = Request.read(["--config", str(config), "--run", str(run)])
    with ExitStack() as held:
        cli = TrainingCLI("fit", request, StopRequests(), held)
        resolved: dict[str, Any] = yaml.safe_load(cli.parser.dump(cli.config, skip_none=False))
    return resolved


@given(DATA, MODEL, ENCODERS, DIMS, st.integers(1, 10**9))
@settings(max_examples=6)
def test_a_resolved_config_resolves_to_itself(
    zoo_path: Path,
    data: dict[str, Any],
    model: dict[str, Any],
    encoder: str,
    dims: int,
    steps: int,
) -> None:
    made = {"class_path": encoder, "init_args": {"embedding_dim": dims}}
    content = {
        "model": {"class_path": "wsrl.EmulationModule", "init_args": {**model, "encoder": made}},
        "data": {**data, "zoo": str(zoo_path)},
        "trainer": {"max_steps": steps, "logger": False, "enable_checkpointing": False},
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "given.yaml").write_text(yaml.safe_dump(content))
        first = parsed(folder / "given.yaml", folder / "run")
        (folder / "config.yaml").write_text(yaml.safe_dump(first))
        assert parsed(folder / "config.yaml", folder / "run") == first
    options = first["model"]["init_args"]
    assert data.items() <= first["data"].items()
    assert first["trainer"]["max_steps"] == steps
    assert options["encoder"]["init_args"]["embedding_dim"] == dims
    for option, value in model.items():
        assert options[option] == value or math.isclose(options[option], value)
