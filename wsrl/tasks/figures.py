"""Figures of emulations and predictions, for every logger that takes pictures."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

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
from wsrl.tasks.base import COLUMNS
from wsrl.tasks.evaluation import EvaluatedProblem, evaluation_data

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


class PredictionFigures(Callback):
    """Draws what a ``PredictionModule`` predicts, where a logger takes pictures.

    At the end of training, of the last validation, and of a test: of classes the confusion matrix
    of each part, of numbers the predicted against the true ones. Only the first process draws, from
    the RNNs that it evaluated.
    """

    def __init__(self) -> None:
        self._columns: list[Mapping[str, Tensor]] = []

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the last evaluation."""
        self._columns = []

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep predictions and targets."""
        if isinstance(outputs, Mapping) and COLUMNS in outputs and picture_loggers(trainer):
            known = outputs[COLUMNS]
            split = torch.full((len(known["target"]),), dataloader_idx)
            kept = {"prediction": known["prediction"].cpu(), "target": known["target"].cpu()}
            self._columns.append({**kept, "split": split})

    on_test_epoch_start = on_validation_epoch_start
    on_test_batch_end = on_validation_batch_end

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the predictions of the last validation."""
        self._draw(trainer, pl_module, "validate")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the predictions of a test."""
        self._draw(trainer, pl_module, "test")

    def _draw(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        loggers = picture_loggers(trainer)
        if not loggers or not self._columns:
            return
        columns = {name: torch.cat([c[name] for c in self._columns]) for name in self._columns[0]}
        for place, split in enumerate(evaluation_data(module).eval_splits(stage)):
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


class _Gathered(NamedTuple):
    """Embeddings of one batch and what is known of their RNNs, on the CPU."""

    split: str
    embedding: Tensor
    run: Tensor
    step: Tensor
    performance: Tensor
    task: Tensor


class EmulationFigures(Callback):
    """Draws what an ``EmulationModule`` does, where a logger takes pictures.

    At the end of a validation or test: the distributions of one RNN and of its emulation, the
    probing inputs and outputs of a probing encoder, and a map of all embeddings. At the end of
    training and of a test, the embeddings also go to TensorBoard's projector.

    Only the first process draws, from the RNNs that it evaluated.
    """

    def __init__(self) -> None:
        self._gathered: list[_Gathered] = []
        self._example: ZooBatch | None = None

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the last evaluation."""
        self._gathered, self._example = [], None

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the embeddings."""
        if not picture_loggers(trainer):
            return
        if self._example is None:
            self._example = batch
        known = (batch.run, batch.step, batch.performance.float(), batch.task.float())
        self._gathered.append(
            _Gathered(
                outputs["split"],
                outputs["embedding"].float().cpu(),
                *(value.cpu() for value in known),
            )
        )

    on_test_epoch_start = on_validation_epoch_start
    on_test_batch_end = on_validation_batch_end

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw."""
        self._draw(trainer, cast("EmulationModule", pl_module))

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw, and send the embeddings to the projector."""
        self._draw(trainer, cast("EmulationModule", pl_module))
        self._project(trainer, "test_embeddings")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Send the last validation's embeddings to the projector."""
        self._project(trainer, "validation_embeddings")

    def _draw(self, trainer: Trainer, module: EmulationModule) -> None:
        loggers = picture_loggers(trainer)
        if not loggers or self._example is None:
            return
        problem = evaluation_data(module).problem
        figures = {
            "outputs": draw_outputs(module, self._example, problem),
            "embeddings": self._draw_embeddings(problem),
        }
        if isinstance(module.encoder, ProbingEncoder):
            figures["probing"] = draw_probing(module, module.encoder, self._example, problem)
        for name, figure in figures.items():
            log_figure(loggers, name, figure, trainer.global_step)

    def _draw_embeddings(self, problem: EvaluatedProblem) -> Figure:
        from wsrl.analysis.figures import embedding_map

        return embedding_map(
            torch.cat([part.embedding for part in self._gathered]).numpy(),
            torch.cat([part.performance for part in self._gathered]).numpy(),
            torch.cat([part.task for part in self._gathered]).numpy(),
            [part.split for part in self._gathered for _ in part.run],
            problem.task_period,
            problem.task_entries(),
        )

    def _project(self, trainer: Trainer, tag: str) -> None:
        boards = [x for x in picture_loggers(trainer) if isinstance(x, TensorBoardLogger)]
        if not boards or not self._gathered:
            return
        writer = cast("SummaryWriter", boards[0].experiment)
        header = ["split", "run", "step", "performance", "task"]
        rows = [
            [part.split, int(run), int(step), round(float(performance), 4), task.tolist()]
            for part in self._gathered
            for run, step, performance, task in zip(*part[2:], strict=True)
        ]
        folder = Path(writer.get_logdir(), f"{trainer.global_step:05}", tag)
        # What a killed run left there is written again, which the writer would warn of.
        with naming(folder), contextlib.redirect_stdout(io.StringIO()):
            writer.add_embedding(
                torch.cat([part.embedding for part in self._gathered]),
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
    """Draw what the encoder asks the best, the middling and the worst RNN, and their answers."""
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
