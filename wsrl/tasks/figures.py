"""Figures of emulations and predictions, for every logger that takes pictures."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

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
from wsrl.tasks.base import COLUMNS, TaskModule
from wsrl.tasks.evaluation import EvaluatedProblem

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from wsrl.analysis.figures import Figure
    from wsrl.data.batch import ZooBatch
    from wsrl.tasks.emulation import EmulationModule

_TAKE_PICTURES = (TensorBoardLogger, WandbLogger, MLFlowLogger, CometLogger)


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


class _Figures(Callback):
    """Keeps what the batches of an evaluation give, on the CPU, and draws it in the end.

    Where a logger takes pictures, the first process draws, from the RNNs that it evaluated.
    """

    def __init__(self) -> None:
        self._parts: list[dict[str, Tensor]] = []

    @abstractmethod
    def _select(self, outputs: Any, batch: ZooBatch) -> dict[str, Tensor]:
        """Return the columns ``(B, ...)`` of a batch that are drawn later."""

    @abstractmethod
    def _figures(
        self, module: Any, columns: dict[str, Tensor], splits: list[str]
    ) -> dict[str, Figure]:
        """Draw the columns ``(n, ...)`` of ``n`` RNNs, each of a split; return figures by name."""

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the last evaluation."""
        self._parts = []

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the columns, and the index of the split."""
        drawn = any(isinstance(logger, _TAKE_PICTURES) for logger in trainer.loggers)
        if drawn and trainer.is_global_zero and not trainer.sanity_checking:
            columns = self._select(outputs, batch).items()
            split = torch.full((len(batch),), dataloader_idx)
            self._parts.append({**{name: v.cpu() for name, v in columns}, "split": split})

    on_test_epoch_start = on_validation_epoch_start
    on_test_batch_end = on_validation_batch_end

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the figures of a test."""
        self._draw(trainer, pl_module, "test")

    def _draw(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        if not self._parts:
            return
        columns = {name: torch.cat([part[name] for part in self._parts]) for name in self._parts[0]}
        names = cast(TaskModule, module).evaluation_data.eval_splits(stage)
        splits = [names[place] for place in columns["split"].tolist()]
        for name, figure in self._figures(module, columns, splits).items():
            log_figure(trainer.loggers, name, figure, trainer.global_step)


class PredictionFigures(_Figures):
    """Draws what a ``PredictionModule`` predicts, at the end of training and of a test.

    Of classes the confusion matrix of each part, of numbers the predicted against the true ones.
    """

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the predictions of the last validation."""
        self._draw(trainer, pl_module, "validate")

    def _select(self, outputs: Any, batch: ZooBatch) -> dict[str, Tensor]:
        return {name: outputs[COLUMNS][name] for name in ("prediction", "target")}

    def _figures(
        self, module: Any, columns: dict[str, Tensor], splits: list[str]
    ) -> dict[str, Figure]:
        from wsrl.analysis.figures import confusion_matrices, predicted_against_true

        draw = confusion_matrices
        if columns["target"].is_floating_point():
            draw = predicted_against_true
        found = {}
        for split in dict.fromkeys(splits):
            rows = torch.tensor([name == split for name in splits])
            pair = columns["target"][rows], columns["prediction"][rows]
            found[f"predictions/{split}"] = draw(*(values.numpy() for values in pair))
        return found


class EmulationFigures(_Figures):
    """Draws what an ``EmulationModule`` does, at the end of a validation or test.

    The distributions of one RNN and of its emulation, the probing inputs and outputs of a probing
    encoder, and a map of all embeddings.
    """

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the figures of a validation."""
        self._draw(trainer, pl_module, "validate")

    def _select(self, outputs: Any, batch: ZooBatch) -> dict[str, Tensor]:
        if not self._parts:
            self._example = batch
        known = {"performance": batch.performance.float(), "task": batch.task.float()}
        return {"embedding": outputs["embedding"].float(), **known}

    def _figures(
        self, module: EmulationModule, columns: dict[str, Tensor], splits: list[str]
    ) -> dict[str, Figure]:
        from wsrl.analysis.figures import embedding_map

        problem = module.evaluation_data.problem
        figures = {
            "outputs": draw_outputs(module, self._example, problem),
            "embeddings": embedding_map(
                columns["embedding"].numpy(),
                columns["performance"].numpy(),
                columns["task"].numpy(),
                splits,
                problem.task_period,
                problem.task_entries(),
            ),
        }
        if isinstance(module.encoder, ProbingEncoder):
            figures["probing"] = draw_probing(module, module.encoder, self._example, problem)
        return figures


def draw_outputs(module: EmulationModule, batch: ZooBatch, problem: EvaluatedProblem) -> Figure:
    """Draw the outputs of a batch's best RNN on one of its sequences, and their emulation."""
    from wsrl.analysis.figures import output_comparison

    best = batch.performance.argmax()[None]
    emulated = module(batch.weights[best], batch.inputs[best, :1])[0, 0]
    categorical = module.output_kind == "categorical"
    original, emulated = (_shown(v, categorical) for v in (batch.outputs[best][0, 0], emulated))
    title = _name(batch, best)
    return output_comparison(original, emulated, categorical, title, problem.output_names())


def draw_probing(
    module: EmulationModule, encoder: ProbingEncoder, batch: ZooBatch, problem: EvaluatedProblem
) -> Figure:
    """Draw what the encoder asks the best, the median and the worst RNN, and their answers."""
    from wsrl.analysis.figures import probing_dialogue

    order = batch.performance.argsort(descending=True)
    picks = order[torch.linspace(0, len(order) - 1, min(3, len(order))).long()]
    inputs, outputs = (values[:, 0] for values in encoder.probes(batch.weights[picks]))
    categorical = module.output_kind == "categorical"
    scores = [f": performance {value:.2f}" for value in batch.performance[picks]]
    titles = [
        _name(batch, row) + ("" if score.endswith("nan") else score)
        for row, score in zip(picks, scores, strict=True)
    ]
    images = problem.as_images(inputs)
    return probing_dialogue(
        _shown(inputs),
        _shown(outputs, categorical),
        categorical,
        titles,
        problem.input_names(),
        problem.output_names(),
        images=None if images is None else _shown(images),
    )


def _name(batch: ZooBatch, row: Tensor) -> str:
    return f"run {int(batch.run[row])}, step {int(batch.step[row])}"


def _shown(values: Tensor, logits: bool = False) -> Any:
    values = values.softmax(-1) if logits else values
    return values.detach().float().cpu().numpy()
