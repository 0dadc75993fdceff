"""Figures of an emulation in TensorBoard, drawn at the end of validations and tests."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from wsrl.encoders import ProbingEncoder
from wsrl.safe_files import naming
from wsrl.tasks.evaluation import EvaluatedProblem, evaluation_data

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from wsrl.analysis.figures import Figure
    from wsrl.data.batch import ZooBatch
    from wsrl.tasks.emulation import EmulationModule


class _Gathered(NamedTuple):
    """Embeddings of one batch and what is known of their RNNs, on the CPU."""

    split: str
    embedding: Tensor
    run: Tensor
    step: Tensor
    performance: Tensor
    task: Tensor


class EmulationFigures(Callback):
    """Draws what an ``EmulationModule`` does, where there is a TensorBoard logger.

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
        if _writer(trainer) is None:
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
        writer = _writer(trainer)
        if writer is None or self._example is None:
            return
        problem = evaluation_data(module).problem
        figures = {
            "outputs": draw_outputs(module, self._example),
            "embeddings": self._draw_embeddings(problem.task_period),
        }
        if isinstance(module.encoder, ProbingEncoder):
            figures["probing"] = draw_probing(module, module.encoder, self._example, problem)
        with naming(event_file(writer)):
            for name, figure in figures.items():
                writer.add_figure(name, figure, trainer.global_step)

    def _draw_embeddings(self, task_period: float | None) -> Figure:
        from wsrl.analysis.figures import embedding_map

        return embedding_map(
            torch.cat([part.embedding for part in self._gathered]).numpy(),
            torch.cat([part.performance for part in self._gathered]).numpy(),
            torch.cat([part.task for part in self._gathered]).numpy(),
            [part.split for part in self._gathered for _ in part.run],
            task_period,
        )

    def _project(self, trainer: Trainer, tag: str) -> None:
        writer = _writer(trainer)
        if writer is None or not self._gathered:
            return
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


def draw_outputs(module: EmulationModule, batch: ZooBatch) -> Figure:
    """Draw the outputs of a batch's best RNN on one of its sequences, and their emulation."""
    from wsrl.analysis.figures import output_comparison

    best = batch.performance.argmax()[None]
    emulated = module(batch.weights[best], batch.inputs[best, :1])[0, 0]
    original = batch.outputs[best][0, 0]
    title = _name(batch, best)
    if module.output_kind == "categorical":
        original, emulated = original.softmax(-1), emulated.softmax(-1)
    return output_comparison(
        _numpy(original), _numpy(emulated), module.output_kind == "categorical", title
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
        images=None if images is None else _numpy(images),
    )


def event_file(writer: SummaryWriter) -> Path:
    """Return the newest event file in a writer's folder; the folder where there is none."""
    folder = Path(writer.get_logdir())
    return max(folder.glob("events.out.tfevents.*"), default=folder)


def _name(batch: ZooBatch, row: Tensor) -> str:
    return f"run {int(batch.run[row])}, step {int(batch.step[row])}"


def _writer(trainer: Trainer) -> SummaryWriter | None:
    """Return TensorBoard's writer where this process is to draw now."""
    if trainer.sanity_checking or not trainer.is_global_zero:
        return None
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            return cast("SummaryWriter", logger.experiment)
    return None


def _numpy(values: Tensor) -> Any:
    return values.detach().float().cpu().numpy()
