"""Emulation: learn embeddings by having one emulator reproduce every RNN of a zoo from them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Callback
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer
from torchmetrics import Metric

from wsrl.encoders.base import EncoderLike, normalized
from wsrl.rnn import RNNs, read_interface
from wsrl.tasks.base import COLUMNS, TaskModule, check_not_negative
from wsrl.tasks.emulator import ConditionedEmulator
from wsrl.tasks.evaluation import Remark, chosen_rows, partners, remarks_on_shuffling, score_clones
from wsrl.tasks.figures import Columns, DrawFigures, draw_emulation
from wsrl.tasks.losses import get_loss
from wsrl.tasks.metrics import CLONE_METRICS, EMULATION_METRICS, mean
from wsrl.tasks.optimizers import OptimizerLike, SchedulerLike
from wsrl.tasks.pretrained import make_encoder

if TYPE_CHECKING:
    from wsrl.data.batch import ZooBatch


class EmulationModule(TaskModule):
    """Trains an encoder and the emulator that reads its embeddings together.

    After "Learning Useful Representations of Recurrent Neural Network Weight Matrices" (Herrmann,
    Faccio, Schmidhuber, ICML 2024); defaults are the published values.

    Logged for every evaluated split, whatever the training loss: ``total_variation`` and
    ``reverse_kl`` (of real outputs ``mean_squared_error``); the same as ``shuffled_...`` when
    every RNN is emulated from the embedding of another; ``clone_score`` of the emulator running
    freely, ``original_score`` of the RNN itself and the mean ``clone_difference`` of the two. A
    model whose score is not defined, as when no string ends, scores 0. All are the same to rounding
    on any number of processes and in batches of any size.

    Args:
        encoder: its registered name, its class, or any callable that makes it of the spec, as
            ``functools.partial(wsrl.FreeRunningProbing, num_probes=2)``, or its description.
        spec: the RNNs, as ``to_dict`` of their ``RNNSpec`` describes them, or of their
            ``RNNInterface`` where they have several specs.
        output_kind: ``categorical`` (outputs are logits) or ``real``.
        loss: what is minimised; a name in ``wsrl.tasks.losses``. By default the published one:
            ``total_variation``, or ``mean_squared_error`` of real outputs.
        emulator_width: neurons of each of the emulator's layers.
        emulator_layers: the emulator's LSTM layers.
        condition_every_step: tell the emulator the embedding at every step, not only at the first.
        open_forget_gates: start the emulator with open forget gates.
        learning_rate: of AdamW, the default optimiser.
        weight_decay: of AdamW.
        warmup_steps: steps over which the learning rate rises to its full value.
        gradient_clip: largest gradient norm, of the encoder and of the emulator each on its own;
            0 for no limit.
        clone_rnns: RNNs of a split whose clones are scored at each validation, spread over the
            split (``limit_val_batches`` leaves those in its batches); a test scores all. 0 scores
            none at any time; nor does a problem that cannot.
        clone_sequences: sequences each of them is scored on.
        evaluation_seed: seeds, with the row in the zoo, what clones and originals sample.
        figures: draw figures at the end of evaluations, where a logger takes pictures.
        encoder_defaults: what suits the zoo's problem, for those options of the encoder that are
            left at ``None``.
        optimizer: another optimiser than AdamW: its class, or ``functools.partial`` of it, or its
            description ``{"class_path": ..., "init_args": ...}``.
        lr_scheduler: changes the learning rate after every step; given as the optimiser is.

    Raises:
        ValueError: for an unknown loss or output kind, or an option out of range.

    >>> import wsrl
    >>> spec = wsrl.RNNSpec("lstm", input_size=4, hidden_size=6, num_layers=1, output_size=4)
    >>> module = EmulationModule("FreeRunningProbing", spec.to_dict(), "categorical")
    >>> weights = wsrl.RNNWeights(torch.randn(3, spec.num_parameters), spec)
    >>> wsrl.embed(module.encoder, weights).shape  # of unit norm
    torch.Size([3, 16])
    """

    def __init__(
        self,
        encoder: EncoderLike,
        spec: dict[str, Any],
        output_kind: str = "categorical",
        loss: str | None = None,
        emulator_width: int = 256,
        emulator_layers: int = 2,
        condition_every_step: bool = False,
        open_forget_gates: bool = True,
        learning_rate: float = 1e-4,
        weight_decay: float = 0.01,
        warmup_steps: int = 0,
        gradient_clip: float = 0.1,
        clone_rnns: int = 64,
        clone_sequences: int = 64,
        evaluation_seed: int = 0,
        figures: bool = True,
        encoder_defaults: dict[str, Any] | None = None,
        optimizer: OptimizerLike | None = None,
        lr_scheduler: SchedulerLike | None = None,
    ) -> None:
        arguments = dict(locals())
        super().__init__()
        if loss is None and output_kind in EMULATION_METRICS:
            loss = EMULATION_METRICS[output_kind][0]
        self._loss = get_loss(str(loss), output_kind)
        check_not_negative(gradient_clip=gradient_clip, clone_rnns=clone_rnns)
        if clone_sequences < 1:
            raise ValueError(f"clone_sequences must be at least 1, not {clone_sequences}")
        self.output_kind, self.gradient_clip = output_kind, gradient_clip
        self.clone_rnns, self.clone_sequences = clone_rnns, clone_sequences
        self.evaluation_seed, self.figures = evaluation_seed, figures
        self.spec = read_interface(spec)
        self.encoder = make_encoder(encoder, self.spec, encoder_defaults)
        self.emulator = ConditionedEmulator(
            self.spec.input_size,
            self.spec.output_size,
            self.encoder.embedding_dim,
            emulator_width,
            emulator_layers,
            condition_every_step,
            open_forget_gates,
        )
        self.keep_arguments(arguments, loss=loss)

    @property
    def monitor(self) -> str:
        """The first of the metrics that are always logged."""
        return f"validation/{EMULATION_METRICS[self.output_kind][0]}"

    def forward(self, weights: RNNs, inputs: Tensor) -> Tensor:
        """Emulate ``B`` RNNs on ``inputs (B, S, T, I)``; return ``(B, S, T, O)``."""
        return self.emulate(normalized(self.encoder, weights), inputs)

    def emulate(self, embedding: Tensor, inputs: Tensor) -> Tensor:
        """Emulate RNNs from embeddings ``(B, D)``, as ``forward``."""
        outputs: Tensor = self.emulator(embedding, inputs)[0]
        return outputs

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradient norms of encoder and emulator, each on its own."""
        if self.gradient_clip:
            clip_grad_norm_(self.encoder.parameters(), self.gradient_clip)
            clip_grad_norm_(self.emulator.parameters(), self.gradient_clip)

    def configure_callbacks(self) -> list[Callback]:
        """Return the callback that draws, if wanted."""
        if not self.figures or not self.has_data:
            return []
        return [DrawFigures(_drawn, partial(draw_emulation, self, self.evaluation_data.problem))]

    def setup(self, stage: str) -> None:
        """Make the metrics of every split that will be evaluated, and the data of clones ready."""
        if stage != "predict" and self.has_data and self._scores_clones:
            self.evaluation_data.problem.prepare()
        super().setup(stage)

    def make_metrics(self) -> dict[str, Metric]:
        """Return means of the losses, with shuffled embeddings too, and of the clones' scores."""
        losses = EMULATION_METRICS[self.output_kind]
        clones = CLONE_METRICS if self._scores_clones else ()
        return {name: mean() for name in (*losses, *(f"shuffled_{n}" for n in losses), *clones)}

    def remarks(self, stage: str) -> list[Remark]:
        """Return remarks on splits that are too small for the ``shuffled_...`` metrics."""
        data, losses = self.evaluation_data, EMULATION_METRICS[self.output_kind]
        return remarks_on_shuffling(data, data.eval_splits(stage), losses)

    def on_fit_start(self) -> None:
        """Refuse a trainer that clips as well, before any work."""
        value = self.trainer.gradient_clip_val
        if value is not None or self.trainer.gradient_clip_algorithm is not None:
            raise ValueError(
                f"the trainer's gradient_clip_val={value} would clip both parts as one; set the "
                f"module's gradient_clip (now {self.gradient_clip}) instead"
            )

    def training_step(self, batch: ZooBatch, batch_idx: int) -> Tensor:
        """Return the loss on one batch, a mean over RNNs, sequences and steps."""
        loss = self._loss(self(batch.weights, batch.inputs), batch.outputs).mean()
        self.log_loss(loss, len(batch))
        return loss

    def predict_step(
        self, batch: ZooBatch, batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Tensor]:
        """Return the embeddings ``(B, D)`` and whose they are."""
        return {"embedding": normalized(self.encoder, batch.weights), **batch.labels()}

    @property
    def _scores_clones(self) -> bool:
        return self.clone_rnns > 0 and self.evaluation_data.problem.scores_clones

    def measure(self, batch: ZooBatch, split: str, test: bool) -> dict[str, Any]:
        """Measure a batch, with the clones of all its RNNs in a test, else of some of the split.

        What was measured of every RNN, means over sequences and steps, is returned as ``COLUMNS``.
        """
        cloned = torch.ones_like(batch.row, dtype=torch.bool)
        if not test:
            chosen = chosen_rows(self.evaluation_data.rows(split), self.clone_rnns)
            cloned = torch.isin(batch.row, chosen.to(batch.row.device))
        embedding = normalized(self.encoder, batch.weights)
        measured: dict[str, Tensor] = {}
        found: dict[str, Tensor] = {}
        if len(batch):
            measured = self._losses(embedding, batch)
            found |= measured
            if len(batch) > 1:
                others = embedding[partners(len(batch)).to(embedding.device)]
                wrong = self._losses(others, batch)
                found |= {f"shuffled_{name}": losses for name, losses in wrong.items()}
            if self._scores_clones:
                scores = self._score_clones(batch, embedding, cloned.nonzero().squeeze(1))
                measured |= scores
                difference = scores["clone_score"] - scores["original_score"]
                found |= {**scores, "clone_difference": difference.abs()}
        self.log_metrics(split, {name: (values,) for name, values in found.items()})
        columns = {n: v if v.ndim == 1 else v.flatten(1).mean(1) for n, v in measured.items()}
        return {"embedding": embedding, COLUMNS: columns}

    def measure_columns(self, columns: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the means of losses and clones' scores."""
        names = (*EMULATION_METRICS[self.output_kind], *CLONE_METRICS)
        return {name: float(columns[name].mean()) for name in names if name in columns}

    def _losses(self, embedding: Tensor, batch: ZooBatch) -> dict[str, Tensor]:
        """Return the losses by name, ``(B, S, T)``, of emulation from embeddings ``(B, D)``."""
        emulated, kind = self.emulate(embedding, batch.inputs), self.output_kind
        names = EMULATION_METRICS[kind]
        return {name: get_loss(name, kind)(emulated, batch.outputs) for name in names}

    def _score_clones(self, batch: ZooBatch, embedding: Tensor, picks: Tensor) -> dict[str, Tensor]:
        """Score originals and clones of some RNNs of a batch, ``picks (n,)``; maybe of none."""
        original = clone = embedding.new_zeros(0)
        if len(picks):
            models = (self.emulator, embedding[picks], batch.weights[picks], batch.task[picks])
            seeds = [1_000_003 * self.evaluation_seed + row for row in batch.row[picks].tolist()]
            how = self.clone_sequences, seeds
            original, clone = score_clones(self.evaluation_data.problem, *models, *how)
        return {"original_score": original, "clone_score": clone}


def _drawn(outputs: dict[str, Any], batch: ZooBatch) -> Columns:
    known = {"performance": batch.performance, "task": batch.task}
    return {"embedding": outputs["embedding"], **known}
