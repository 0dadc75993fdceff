"""Figures of emulations and predictions, for every logger that takes pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import (
    CometLogger,
    Logger,
    MLFlowLogger,
    TensorBoardLogger,
    WandbLogger,
)
from torch import Tensor

from wsrl.encoders import ProbingEncoder
from wsrl.tasks.evaluation import EvaluatedProblem

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from wsrl.analysis.figures import Figure
    from wsrl.data.batch import ZooBatch
    from wsrl.tasks.emulation import EmulationModule

_TAKE_PICTURES = (TensorBoardLogger, WandbLogger, MLFlowLogger, CometLogger)

Columns: TypeAlias = dict[str, Tensor]
"""What is drawn of ``n`` RNNs, each ``(n, ...)``, by name."""


def log_figure(loggers: Sequence[Logger], name: str, figure: Figure, step: int) -> None:
    """Send a figure of a training step to those of a trainer's loggers that take pictures."""
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            cast("SummaryWriter", logger.experiment).add_figure(name, figure, step)
        elif isinstance(logger, WandbLogger):
            logger.log_image(name, [figure], step)
        elif isinstance(logger, MLFlowLogger):
            logger.experiment.log_figure(logger.run_id, figure, f"{name}/{step:08}.png")
        elif isinstance(logger, CometLogger):
            logger.experiment.log_figure(name, figure, step=step)


class DrawFigures(Callback):
    """Draws at the end of a test, and of each validation or (``last_only``) of training.

    Where a logger takes pictures, the first process draws, from the RNNs that it evaluated:
    ``select`` says what is kept of a step's outputs and its batch, and ``draw`` makes figures of
    these columns, the split of every RNN, and the first batch.
    """

    def __init__(
        self,
        select: Callable[[Any, ZooBatch], Columns],
        draw: Callable[[Columns, list[str], ZooBatch], dict[str, Figure]],
        last_only: bool = False,
    ) -> None:
        self._select, self._draw, self._last_only = select, draw, last_only
        self._parts: list[Columns] = []
        self._batches: list[ZooBatch] = []

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the last evaluation."""
        self._parts, self._batches = [], []

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the columns, on the CPU, and the index of the split."""
        drawn = any(isinstance(logger, _TAKE_PICTURES) for logger in trainer.loggers)
        if drawn and trainer.is_global_zero and not trainer.sanity_checking:
            columns = self._select(outputs, batch).items()
            split = torch.full((len(batch),), dataloader_idx)
            self._parts.append({**{name: v.cpu() for name, v in columns}, "split": split})
            self._batches = self._batches or [batch]

    on_test_epoch_start = on_validation_epoch_start
    on_test_batch_end = on_validation_batch_end

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the figures of a validation."""
        if not self._last_only:
            self._log(trainer, pl_module, "validate")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw those of the last validation."""
        if self._last_only:
            self._log(trainer, pl_module, "validate")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw those of a test."""
        self._log(trainer, pl_module, "test")

    def _log(self, trainer: Trainer, module: Any, stage: str) -> None:
        if not self._parts:
            return
        columns = {name: torch.cat([part[name] for part in self._parts]) for name in self._parts[0]}
        names = module.evaluation_data.eval_splits(stage)
        splits = [names[place] for place in columns.pop("split").tolist()]
        for name, figure in self._draw(columns, splits, self._batches[0]).items():
            log_figure(trainer.loggers, name, figure, trainer.global_step)


def draw_predictions(columns: Columns, splits: list[str], _: ZooBatch) -> dict[str, Figure]:
    """Draw the confusion matrices of classes, else predicted over true values, of every split."""
    from wsrl.analysis.figures import confusion_matrices, predicted_against_true

    real = columns["target"].is_floating_point()
    draw, found = predicted_against_true if real else confusion_matrices, {}
    for split in dict.fromkeys(splits):
        rows = torch.tensor([name == split for name in splits])
        pair = (columns[name][rows].numpy() for name in ("target", "prediction"))
        found[f"predictions/{split}"] = draw(*pair)
    return found


def draw_emulation(
    module: EmulationModule,
    problem: EvaluatedProblem,
    columns: Columns,
    splits: list[str],
    batch: ZooBatch,
) -> dict[str, Figure]:
    """Draw outputs of one RNN and its emulation, a map of embeddings, and what an encoder asks."""
    from wsrl.analysis.figures import embedding_map

    points, performance, tasks = (
        columns[name].float().numpy() for name in ("embedding", "performance", "task")
    )
    named = problem.task_period, problem.task_entries()
    figures = {
        "outputs": _draw_outputs(module, batch, problem),
        "embeddings": embedding_map(points, performance, tasks, splits, *named),
    }
    if isinstance(module.encoder, ProbingEncoder):
        figures["probing"] = _draw_probing(module, module.encoder, batch, problem)
    return figures


def _draw_outputs(module: EmulationModule, batch: ZooBatch, problem: EvaluatedProblem) -> Figure:
    """Draw the outputs of a batch's best RNN on one of its sequences, and their emulation."""
    from wsrl.analysis.figures import output_comparison

    best = batch.performance.argmax()[None]
    emulated = module(batch.weights[best], batch.inputs[best, :1])[0, 0]
    categorical = module.output_kind == "categorical"
    original, emulated = (_shown(v, categorical) for v in (batch.outputs[best][0, 0], emulated))
    title = _name(batch, best)
    return output_comparison(original, emulated, categorical, title, problem.output_names())


def _draw_probing(
    module: EmulationModule, encoder: ProbingEncoder, batch: ZooBatch, problem: EvaluatedProblem
) -> Figure:
    """Draw what the encoder asks the best, the median and the worst RNN, and their answers."""
    from wsrl.analysis.figures import probing_dialogue

    order = batch.performance.argsort(descending=True)
    picks = order[torch.linspace(0, len(order) - 1, min(3, len(order))).long()]
    inputs, outputs = (values[:, 0] for values in encoder.probes(batch.weights[picks]))
    categorical, images = module.output_kind == "categorical", problem.as_images(inputs)
    return probing_dialogue(
        _shown(inputs),
        _shown(outputs, categorical),
        categorical,
        [f"{_name(batch, row)}: performance {batch.performance[row]:.2f}" for row in picks],
        problem.input_names(),
        problem.output_names(),
        images=None if images is None else _shown(images),
    )


def _name(batch: ZooBatch, row: Tensor) -> str:
    return f"run {int(batch.run[row])}, step {int(batch.step[row])}"


def _shown(values: Tensor, logits: bool = False) -> Any:
    values = values.softmax(-1) if logits else values
    return values.detach().float().cpu().numpy()
