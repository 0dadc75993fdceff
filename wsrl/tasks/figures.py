"""Figures of emulations and predictions, for every logger that takes pictures."""

from __future__ import annotations

import contextlib
import io
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
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
from wsrl.safe_files import naming
from wsrl.tasks.base import COLUMNS, TaskModule
from wsrl.tasks.evaluation import EvaluatedProblem

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from wsrl.analysis.figures import Figure
    from wsrl.data.batch import ZooBatch
    from wsrl.tasks.emulation import EmulationModule


def log_figure(loggers: Sequence[Logger], name: str, figure: Figure, step: int) -> None:
    """Send a figure to the loggers that take pictures.

    These are TensorBoard, Weights & Biases, MLflow and Comet; others are left out.

    Args:
        loggers: a trainer's.
        name: what the figure shows.
        figure: the figure.
        step: the training step that it belongs to.
    """
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            writer = cast("SummaryWriter", logger.experiment)
            with naming(event_file(writer)):
                writer.add_figure(name, figure, step)
        elif isinstance(logger, WandbLogger):
            logger.log_image(name, [figure], step)
        elif isinstance(logger, MLFlowLogger):
            logger.experiment.log_figure(logger.run_id, figure, f"{name}/{step:08}.png")
        elif isinstance(logger, CometLogger):
            logger.experiment.log_figure(name, figure, step=step)


def picture_loggers(trainer: Trainer) -> list[Logger]:
    """Return the loggers that take pictures, where this process is to draw now."""
    if trainer.sanity_checking or not trainer.is_global_zero:
        return []
    kinds = (TensorBoardLogger, WandbLogger, MLFlowLogger, CometLogger)
    return [logger for logger in trainer.loggers if isinstance(logger, kinds)]


class _Figures(Callback):
    """Keeps what the batches of an evaluation give, on the CPU, where a logger takes pictures."""

    def __init__(self) -> None:
        self._parts: list[dict[str, Tensor]] = []

    @abstractmethod
    def _select(self, outputs: Any, batch: ZooBatch) -> dict[str, Tensor]:
        """Return the columns ``(B, ...)`` of a batch that are drawn later."""

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
        if picture_loggers(trainer):
            columns = self._select(outputs, batch).items()
            split = torch.full((len(batch),), dataloader_idx)
            self._parts.append({**{name: v.cpu() for name, v in columns}, "split": split})

    on_test_epoch_start = on_validation_epoch_start
    on_test_batch_end = on_validation_batch_end

    def _columns(self) -> dict[str, Tensor]:
        """Return the columns of the whole evaluation, ``(n, ...)``."""
        return {name: torch.cat([part[name] for part in self._parts]) for name in self._parts[0]}


class PredictionFigures(_Figures):
    """Draws what a ``PredictionModule`` predicts, where a logger takes pictures.

    At the end of training, of the last validation, and of a test: of classes the confusion matrix
    of each part, of numbers the predicted against the true ones. Only the first process draws, from
    the RNNs that it evaluated.
    """

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the predictions of the last validation."""
        self._draw(trainer, cast(TaskModule, pl_module), "validate")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the predictions of a test."""
        self._draw(trainer, cast(TaskModule, pl_module), "test")

    def _select(self, outputs: Any, batch: ZooBatch) -> dict[str, Tensor]:
        return {name: outputs[COLUMNS][name] for name in ("prediction", "target")}

    def _draw(self, trainer: Trainer, module: TaskModule, stage: str) -> None:
        loggers = picture_loggers(trainer)
        if not loggers or not self._parts:
            return
        columns = self._columns()
        for place, split in enumerate(module.evaluation_data.eval_splits(stage)):
            rows = columns["split"] == place
            if rows.any():
                figure = draw_predictions(columns["target"][rows], columns["prediction"][rows])
                log_figure(loggers, f"predictions/{split}", figure, trainer.global_step)


def draw_predictions(target: Tensor, prediction: Tensor) -> Figure:
    """Draw predictions ``(n, parts)``: confusion matrices of class indices, else a scatter plot."""
    from wsrl.analysis.figures import confusion_matrices, predicted_against_true

    if target.is_floating_point():
        return predicted_against_true(_numpy(target), _numpy(prediction))
    return confusion_matrices(target.numpy(), prediction.numpy())


class EmulationFigures(_Figures):
    """Draws what an ``EmulationModule`` does, where a logger takes pictures.

    At the end of a validation or test: the distributions of one RNN and of its emulation, the
    probing inputs and outputs of a probing encoder, and a map of all embeddings. At the end of
    training and of a test, the embeddings also go to TensorBoard's projector.

    Only the first process draws, from the RNNs that it evaluated.
    """

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw."""
        self._draw(trainer, cast("EmulationModule", pl_module), "validate")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw, and send the embeddings to the projector."""
        self._draw(trainer, cast("EmulationModule", pl_module), "test")
        self._project(trainer, cast(TaskModule, pl_module), "test", "test_embeddings")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Send the last validation's embeddings to the projector."""
        self._project(trainer, cast(TaskModule, pl_module), "validate", "validation_embeddings")

    def _select(self, outputs: Any, batch: ZooBatch) -> dict[str, Tensor]:
        if not self._parts:
            self._example = batch
        floats = {"performance": batch.performance.float(), "task": batch.task.float()}
        embedding = outputs["embedding"].float()
        return {"embedding": embedding, "run": batch.run, "step": batch.step, **floats}

    def _draw(self, trainer: Trainer, module: EmulationModule, stage: str) -> None:
        from wsrl.analysis.figures import embedding_map

        loggers = picture_loggers(trainer)
        if not loggers or not self._parts:
            return
        problem, columns = module.evaluation_data.problem, self._columns()
        figures = {
            "outputs": draw_outputs(module, self._example, problem),
            "embeddings": embedding_map(
                columns["embedding"].numpy(),
                columns["performance"].numpy(),
                columns["task"].numpy(),
                self._splits(module, stage),
                problem.task_period,
                problem.task_entries(),
            ),
        }
        if isinstance(module.encoder, ProbingEncoder):
            figures["probing"] = draw_probing(module, module.encoder, self._example, problem)
        for name, figure in figures.items():
            log_figure(loggers, name, figure, trainer.global_step)

    def _splits(self, module: TaskModule, stage: str) -> list[str]:
        """Name the split of every RNN that was kept."""
        names = module.evaluation_data.eval_splits(stage)
        return [names[place] for place in self._columns()["split"].tolist()]

    def _project(self, trainer: Trainer, module: TaskModule, stage: str, tag: str) -> None:
        boards = [x for x in picture_loggers(trainer) if isinstance(x, TensorBoardLogger)]
        if not boards or not self._parts:
            return
        writer, columns = cast("SummaryWriter", boards[0].experiment), self._columns()
        header = ["split", "run", "step", "performance", "task"]
        performance = [round(value, 4) for value in columns["performance"].tolist()]
        rows = zip(
            self._splits(module, stage),
            *(columns[name].tolist() for name in ("run", "step")),
            performance,
            columns["task"].tolist(),
            strict=True,
        )
        folder = Path(writer.get_logdir(), f"{trainer.global_step:05}", tag)
        # What a killed run left there is written again, which the writer would warn of.
        with naming(folder), contextlib.redirect_stdout(io.StringIO()):
            writer.add_embedding(
                columns["embedding"],
                metadata=[[str(value) for value in row] for row in rows],
                metadata_header=header,
                global_step=trainer.global_step,
                tag=tag,
            )


def draw_outputs(module: EmulationModule, batch: ZooBatch, problem: EvaluatedProblem) -> Figure:
    """Draw the outputs of a batch's best RNN on one of its sequences, and their emulation."""
    from wsrl.analysis.figures import output_comparison

    best = batch.performance.argmax()[None]
    emulated = module(batch.weights[best], batch.inputs[best, :1])[0, 0]
    original = batch.outputs[best][0, 0]
    title = _name(batch, best)
    if module.output_kind == "categorical":
        original, emulated = original.softmax(-1), emulated.softmax(-1)
    return output_comparison(
        _numpy(original),
        _numpy(emulated),
        module.output_kind == "categorical",
        title,
        problem.output_names(),
    )


def draw_probing(
    module: EmulationModule, encoder: ProbingEncoder, batch: ZooBatch, problem: EvaluatedProblem
) -> Figure:
    """Draw what the encoder asks the best, the median and the worst RNN, and their answers."""
    from wsrl.analysis.figures import probing_dialogue

    order = batch.performance.argsort(descending=True)
    picks = order[torch.linspace(0, len(order) - 1, min(3, len(order))).long()]
    inputs, outputs = encoder.probes(batch.weights[picks])
    categorical = module.output_kind == "categorical"
    titles = [
        _name(batch, row)
        + ("" if batch.performance[row].isnan() else f": performance {batch.performance[row]:.2f}")
        for row in picks
    ]
    answers = outputs.softmax(-1) if categorical else outputs
    images = problem.as_images(inputs[:, 0])
    return probing_dialogue(
        _numpy(inputs[:, 0]),
        _numpy(answers[:, 0]),
        categorical,
        titles,
        problem.input_names(),
        problem.output_names(),
        images=None if images is None else _numpy(images),
    )


def event_file(writer: SummaryWriter) -> Path:
    """Return the newest event file in a writer's folder; the folder where there is none."""
    folder = Path(writer.get_logdir())
    return max(folder.glob("events.out.tfevents.*"), default=folder)


def _name(batch: ZooBatch, row: Tensor) -> str:
    return f"run {int(batch.run[row])}, step {int(batch.step[row])}"


def _numpy(values: Tensor) -> Any:
    return values.detach().float().cpu().numpy()
