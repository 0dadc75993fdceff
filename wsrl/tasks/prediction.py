"""Prediction: read a property of RNNs from their embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from lightning.pytorch import Callback
from torch import Tensor
from torchmetrics import Metric

from wsrl.encoders import Encoder
from wsrl.encoders.base import EncoderLike, normalized
from wsrl.rnn import RNNInterface, RNNs, RNNSpec, read_interface
from wsrl.tasks.base import COLUMNS, TaskModule
from wsrl.tasks.evaluation import Remark, remarks_on_target
from wsrl.tasks.figures import DrawFigures, draw_predictions
from wsrl.tasks.heads import HeadLike, PredictionHead, RunningScale, make_head
from wsrl.tasks.metrics import everywhere, mean
from wsrl.tasks.optimizers import OptimizerLike, SchedulerLike
from wsrl.tasks.pretrained import load_pretrained_encoder, make_encoder
from wsrl.tasks.targets import CLASS_LOSSES, ask, make_target, measure_target

if TYPE_CHECKING:
    from wsrl.data.batch import ZooBatch

MODES = ("frozen", "finetune", "scratch", "untrained")
FRESH, FIXED = ("scratch", "untrained"), ("frozen", "untrained")
"""Modes whose encoder starts from random weights, and those whose encoder is not trained."""


class PredictionModule(TaskModule):
    """Trains a small network that predicts a property of RNNs from their embeddings.

    Logged for every evaluated split: ``loss``, and the metrics of the target's kind: of classes
    ``exact_match`` and ``part_accuracy``, of real values ``mae``, ``r2`` and ``kendall_tau``, of
    numbers on a circle ``angular_error`` (the mean absolute one, the short way round).

    Args:
        target: which property; a name in ``targets``.
        targets: what the zoo's problem offers, by name: ``{"kind", "parts", "classes"}``, and of
            numbers on a circle ``period``.
        spec: as for ``EmulationModule``.
        encoder: as for ``EmulationModule``. Left out with ``pretrained``, whose encoder it would
            have to be.
        pretrained: a checkpoint of an ``EmulationModule`` to take the encoder from, with its
            weights. It is read once: this module's own checkpoints hold all they need.
        mode: ``frozen`` (the encoder stays as it was pre-trained), ``finetune`` (it is trained
            on), ``scratch`` (it starts from random weights) or ``untrained`` (it keeps these: a
            baseline, which shows what its architecture alone gives).
        class_loss: for classes. ``binary_cross_entropy`` treats every class of every part as a
            yes-or-no question, as published; ``cross_entropy`` has the classes of a part compete.
        head_width: neurons of each of the hidden layers, of the default head.
        head_layers: its hidden layers.
        learning_rate: as for ``EmulationModule``, like the two that follow.
        weight_decay: of AdamW.
        warmup_steps: steps over which the learning rate rises to its full value.
        encoder_defaults: as for ``EmulationModule``.
        head: the head's class or another callable of its inputs and outputs, its registered name
            or its description; by default a ``PredictionHead``.
        kind: the kind of target to learn the property as; by default the one that the data say.
        optimizer: as for ``EmulationModule``, like ``lr_scheduler``.
        lr_scheduler: changes the learning rate.

    Raises:
        ValueError: for an unknown target, mode or loss, or an encoder, a checkpoint and a mode
            that contradict each other.
        FileNotFoundError: when there is no file at ``pretrained``.

    >>> import wsrl
    >>> spec = wsrl.RNNSpec("lstm", input_size=4, hidden_size=6, num_layers=1, output_size=4)
    >>> targets = {"performance": {"kind": "real", "parts": 1, "classes": 0}}
    >>> module = PredictionModule(
    ...     "performance", targets, spec.to_dict(), "LayerwiseStatistics", mode="scratch"
    ... )
    >>> module(torch.randn(3, 16)).shape  # (B, parts, width), of embeddings
    torch.Size([3, 1, 1])
    """

    def __init__(
        self,
        target: str,
        targets: dict[str, dict[str, Any]],
        spec: dict[str, Any],
        encoder: EncoderLike | None = None,
        pretrained: str | None = None,
        mode: str = "frozen",
        class_loss: str = "binary_cross_entropy",
        head_width: int = 128,
        head_layers: int = 2,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.01,
        warmup_steps: int = 0,
        encoder_defaults: dict[str, Any] | None = None,
        head: HeadLike | None = None,
        kind: str | None = None,
        optimizer: OptimizerLike | None = None,
        lr_scheduler: SchedulerLike | None = None,
    ) -> None:
        arguments = dict(locals())
        super().__init__()
        _check_choice("target", target, tuple(targets))
        _check_choice("mode", mode, MODES)
        _check_choice("class_loss", class_loss, CLASS_LOSSES)
        self.target, self.mode = target, mode
        self.kind = make_target(targets[target], kind, class_loss=class_loss)
        self.spec = read_interface(spec)
        self.encoder = _find_encoder(encoder, encoder_defaults, pretrained, mode, self.spec)
        self.pretrained = None if pretrained is None else str(Path(pretrained).resolve())
        sizes = (self.encoder.embedding_dim, self.kind.parts * self.kind.width)
        own = partial(PredictionHead, width=head_width, layers=head_layers)
        self.head = make_head(head or own, *sizes)
        self.scale = RunningScale(self.kind.parts)  # of a scaled kind
        if mode in FIXED:
            self.encoder.requires_grad_(False)
            self.encoder.eval()
        self.keep_arguments(
            arguments,
            targets={name: dict(known) for name, known in targets.items()},
            pretrained=None,  # the encoder's weights are in the checkpoint
            head=None if head is None else self.head.config(),
        )

    @property
    def monitor(self) -> str:
        """The loss on the validation split."""
        return "validation/loss"

    def forward(self, embedding: Tensor) -> Tensor:
        """Read embeddings ``(B, D)``; return what ``TargetKind.losses`` takes."""
        values: Tensor = self.head(embedding)
        return values.view(-1, self.kind.parts, self.kind.width)

    def decide(self, values: Tensor) -> Tensor:
        """Return what the head's values, as of ``forward``, stand for; as ``predict``."""
        decided: Tensor = ask(self.kind, "decode", self._unscaled(values))
        return decided

    def predict(self, weights: RNNs) -> Tensor:
        """Predict ``(B, parts)`` of ``B`` RNNs: class indices, or values in the target's unit."""
        return self.decide(self(normalized(self.encoder, weights)))

    def train(self, mode: bool = True) -> PredictionModule:
        """Switch to training, but leave a fixed encoder as it is (its dropout stays off)."""
        super().train(mode)
        if self.mode in FIXED:
            self.encoder.eval()
        return self

    def make_metrics(self) -> dict[str, Metric]:
        """Return the metrics of the target's kind, and ``loss``."""
        return {"loss": mean(), **self.kind.metrics()}

    def remarks(self, stage: str) -> list[Remark]:
        """Say where the target is constant, and which metrics are then not defined."""
        data = self.evaluation_data
        splits = ["train"] * (stage == "fit") + data.eval_splits(stage)
        return remarks_on_target(data, splits, self.target, self.kind.needs_variation)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note where the encoder is from; its weights are in the checkpoint."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["wsrl"]["pretrained"] = self.pretrained

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note where the encoder is from, whose weights come with the checkpoint."""
        super().on_load_checkpoint(checkpoint)
        self.pretrained = checkpoint["wsrl"]["pretrained"]

    def on_fit_start(self) -> None:
        """Refuse to freeze or fine-tune an untrained encoder; a checkpoint is loaded by now."""
        if self.mode not in FRESH and self.pretrained is None:
            raise ValueError(
                f"mode {self.mode!r} needs `pretrained`, the checkpoint of an EmulationModule; "
                "without one use mode 'scratch' or 'untrained'"
            )

    def training_step(self, batch: ZooBatch, batch_idx: int) -> Tensor:
        """Return the mean loss on one batch."""
        target = batch.targets[self.target]
        if self.kind.scaled:
            # All processes' targets, so that every process has the scale that one would have.
            self.scale.update(everywhere(target).flatten(0, 1))
        loss = self._losses(self(normalized(self.encoder, batch.weights)), target).mean()
        self.log_loss(loss, len(batch))
        return loss

    def configure_callbacks(self) -> list[Callback]:
        """Return the callback that draws."""
        return [DrawFigures(_drawn, draw_predictions, last_only=True)]

    def predict_step(
        self, batch: ZooBatch, batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Tensor]:
        """Return predictions ``(B, parts)``, embeddings ``(B, D)`` and whose they are."""
        embedding = normalized(self.encoder, batch.weights)
        return {
            **ask(self.kind, "columns", self._unscaled(self(embedding))),
            "embedding": embedding,
            **batch.labels(),
        }

    def _unscaled(self, values: Tensor) -> Tensor:
        """Return the head's values in the target's own unit."""
        return self.scale.restore(values) if self.kind.scaled else values

    def _losses(self, values: Tensor, target: Tensor) -> Tensor:
        """Return each RNN's loss, ``(B,)``; of a scaled kind in the training targets' scale."""
        target = self.scale.standardise(target) if self.kind.scaled else target
        losses: Tensor = ask(self.kind, "losses", values, target)
        return losses

    def measure(self, batch: ZooBatch, split: str, test: bool) -> dict[str, Any]:
        """Measure a batch; ``COLUMNS`` are those of the prediction, and ``target (B, parts)``."""
        target = batch.targets[self.target]
        values = self(normalized(self.encoder, batch.weights))
        losses = self._losses(values, target)
        columns = ask(self.kind, "columns", self._unscaled(values))
        # A class that is predicted with a loss of NaN is neither right nor wrong.
        undefined = losses.isnan()[:, None]
        predicted = columns["prediction"]
        judged = torch.where(undefined, torch.nan, predicted) if undefined.any() else predicted
        scores = dict.fromkeys(self.kind.metrics(), (judged, target))
        self.log_metrics(split, {"loss": (losses,), **scores})
        return {COLUMNS: {**columns, "target": target}}

    def measure_columns(self, columns: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the metrics of the target's kind."""
        return measure_target(self.kind, columns["prediction"], columns["target"])


def _drawn(outputs: dict[str, dict[str, Tensor]], batch: ZooBatch) -> dict[str, Tensor]:
    return {name: outputs[COLUMNS][name] for name in ("prediction", "target")}


def _find_encoder(
    encoder: EncoderLike | None,
    defaults: dict[str, Any] | None,
    pretrained: str | None,
    mode: str,
    spec: RNNSpec | RNNInterface,
) -> Encoder:
    """Build or load the encoder, and check that the arguments agree."""
    if mode in FRESH and pretrained is not None:
        raise ValueError(
            f"mode {mode!r} starts from random weights, but pretrained={pretrained!r} was given; "
            "leave it out, or use mode 'frozen' or 'finetune'"
        )
    if encoder is None and pretrained is None:
        needed = "an `encoder`" if mode in FRESH else "`pretrained`, an emulation checkpoint"
        raise ValueError(f"mode {mode!r} needs {needed}")
    given = None if encoder is None else make_encoder(encoder, spec, defaults)
    if pretrained is None:
        return cast(Encoder, given)
    loaded = load_pretrained_encoder(pretrained, spec)
    if given is not None and given.config() != loaded.config():
        raise ValueError(
            f"two different encoders: `encoder` is {given.config()}, the one in {pretrained} is "
            f"{loaded.config()}; leave `encoder` out to use the checkpoint's"
        )
    return loaded


def _check_choice(what: str, given: str, choices: tuple[str, ...]) -> None:
    if given not in choices:
        raise ValueError(f"unknown {what} {given!r}; choose one of {', '.join(choices)}")
