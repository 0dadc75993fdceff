from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from tests.tasks.conftest import small_emulation, small_trainer
from wsrl.data import ZooBatch, ZooDataModule
from wsrl.encoders import ConstantEmbedding, FlattenedWeights
from wsrl.encoders.base import normalized
from wsrl.tasks import EmulationModule
from wsrl.tasks.losses import get_loss, total_variation


def split_batch(datamodule: ZooDataModule, split: int = 0) -> ZooBatch:
    return next(iter(datamodule.val_dataloader()[split]))


def trained_on(batch: ZooBatch, module: EmulationModule, steps: int, folder: Path) -> float:
    """Fit on one batch again and again; return the total variation on it."""
    small_trainer(folder).fit(
        module, train_dataloaders=DataLoader([batch] * steps, batch_size=None)
    )
    with torch.no_grad():
        outputs = module(batch.weights, batch.inputs)
    return float(total_variation(outputs, batch.outputs).mean())


def test_training_makes_embeddings_worth_something(
    datamodule: ZooDataModule, tmp_path: Path
) -> None:
    batch = split_batch(datamodule)
    faster = {"learning_rate": 5e-3, "gradient_clip": 1.0, "emulator_width": 24}
    module = small_emulation(datamodule, **faster)
    after = trained_on(batch, module, 250, tmp_path)
    with torch.no_grad():
        others = normalized(module.encoder, batch.weights).roll(3, 0)
        shuffled = total_variation(module.emulate(others, batch.inputs), batch.outputs)
    assert after < 0.3 * float(shuffled.mean())
    constant = small_emulation(datamodule, encoder=ConstantEmbedding, **faster)
    assert after < 0.5 * trained_on(batch, constant, 250, tmp_path)


def norm(module: torch.nn.Module) -> float:
    found = [p.grad.norm() for p in module.parameters() if p.grad is not None]
    return float(torch.stack(found).norm())


@pytest.mark.parametrize("large", ["encoder", "emulator"])
def test_gradient_norms_are_clipped_separately(datamodule: ZooDataModule, large: str) -> None:
    for limit in (0.1, 0.0):  # 0 for none
        module = small_emulation(datamodule, gradient_clip=limit)
        parts = {"encoder": module.encoder, "emulator": module.emulator}
        for name, part in parts.items():
            for parameter in part.parameters():
                parameter.grad = torch.full_like(parameter, 100.0 if name == large else 1e-5)
        before = {name: norm(part) for name, part in parts.items()}
        module.configure_gradient_clipping(module.configure_optimizers())
        after = {name: norm(part) for name, part in parts.items()}
        wanted = before | {large: limit or before[large]}
        assert after == pytest.approx(wanted, rel=1e-4)


def test_the_trainer_must_not_clip(datamodule: ZooDataModule, tmp_path: Path) -> None:
    trainer = small_trainer(tmp_path, gradient_clip_val=0.5)
    with pytest.raises(ValueError, match="set the module's gradient_clip"):
        trainer.fit(small_emulation(datamodule), datamodule=datamodule)


def test_metrics_are_means_over_a_whole_split(zoo_path: Path, tmp_path: Path) -> None:
    datamodule = ZooDataModule(str(zoo_path), eval_batch_size=4)
    module, lengths = small_emulation(datamodule, loss="kl"), set()
    trainer = small_trainer(tmp_path)
    trainer.validate(module, datamodule=datamodule, verbose=False)
    for number, split in enumerate(["validation", "ood"]):
        batches = list(datamodule.val_dataloader()[number])
        lengths |= {len(batch) for batch in batches}
        for name in ("total_variation", "reverse_kl"):
            right, wrong, measure = [], [], get_loss(name, "categorical")
            with torch.no_grad():
                for batch in batches:
                    count, z = len(batch), normalized(module.encoder, batch.weights)
                    right.append(measure(module.emulate(z, batch.inputs), batch.outputs))
                    pairs = [place + 1 - 2 * (place % 2) for place in range(count)]
                    if count % 2:  # (0 1) (2 3) ... and three at the end
                        pairs[-3:] = [count - 2, count - 1, count - 3]
                    wrong.append(measure(module.emulate(z[pairs], batch.inputs), batch.outputs))
            logged = trainer.callback_metrics
            torch.testing.assert_close(logged[f"{split}/{name}"], torch.cat(right).mean())
            torch.testing.assert_close(logged[f"{split}/shuffled_{name}"], torch.cat(wrong).mean())
    assert len(lengths) > 1  # a mean of the batches' means would be another number


def test_checkpoint_alone_rebuilds_the_module(
    emulation_checkpoint: Path, datamodule: ZooDataModule
) -> None:
    checkpoint = torch.load(emulation_checkpoint, weights_only=True)
    hparams = checkpoint["hyper_parameters"]
    assert json.loads(json.dumps(hparams)) == hparams
    assert hparams["encoder"]["init_args"].items() >= {"embedding_dim": 5, "width": 16}.items()
    module = EmulationModule.load_from_checkpoint(emulation_checkpoint).eval()
    again = EmulationModule.load_from_checkpoint(emulation_checkpoint).eval()
    batch = split_batch(datamodule)
    assert isinstance(module.encoder, FlattenedWeights)
    assert torch.equal(module(batch.weights, batch.inputs), again(batch.weights, batch.inputs))
    fresh = small_emulation(datamodule).eval()
    before = fresh(batch.weights, batch.inputs)
    assert not torch.allclose(module(batch.weights, batch.inputs), before)
    fresh.load_state_dict(checkpoint["state_dict"])
    assert torch.equal(fresh(batch.weights, batch.inputs), module(batch.weights, batch.inputs))


def test_predictions_are_unit_embeddings_and_whose_they_are(
    datamodule: ZooDataModule, tmp_path: Path
) -> None:
    module = small_emulation(datamodule)
    loaders = small_trainer(tmp_path).predict(module, datamodule=datamodule)
    assert loaders is not None
    parts: list[dict[str, Tensor]] = [part for loader in loaders for part in loader]
    assert set(parts[0]) == {"embedding", "run", "step", "task", "performance", "row"}
    whole = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    assert whole["row"].sort().values.tolist() == list(range(24 * 3))
    norms = whole["embedding"].norm(dim=1)
    torch.testing.assert_close(norms, torch.ones_like(norms))
    steps = datamodule.zoo.read("step")[whole["row"]]
    assert torch.equal(whole["step"], steps)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"loss": "nope"}, "choose one of cosine"),
        ({"gradient_clip": -1.0}, "gradient_clip must be at least 0"),
        ({"clone_sequences": 0}, "clone_sequences must be at least 1"),
        ({"encoder": lambda spec: torch.nn.Linear(1, 1)}, "returned Linear"),
    ],
)
def test_bad_options_are_errors(
    datamodule: ZooDataModule, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        small_emulation(datamodule, **options)


def test_bare_loaders_are_no_data_to_evaluate_on(datamodule: ZooDataModule, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="give the trainer a ZooDataModule"):
        small_trainer(tmp_path).validate(small_emulation(datamodule), datamodule.val_dataloader())
