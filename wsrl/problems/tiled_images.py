"""Rotated images read tile by tile (Herrmann et al. 2024: tiled sequential MNIST).

A task is a rotation angle in degrees. A sequence is an all-zero step (BOS) and the tiles of an
image, row by row; an RNN tells the class at every step.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from wsrl.problems.base import Batch, InputKind, Runner, TrainableProblem, TrainingStream
from wsrl.problems.columns import Column, Target
from wsrl.problems.image_sources import SOURCES, Images, load_images
from wsrl.problems.registry import register_problem
from wsrl.problems.rotation import TiledRotation
from wsrl.problems.streams import DrawnStream, Purpose, draw_each
from wsrl.rnn import sequence_cross_entropy
from wsrl.rnn.backends import kernels_serve
from wsrl.rnn.kernels import cpu
from wsrl.validation import check_size

_CHUNK = 1 << 18
"""Steps that are run at once when a group is judged; each takes a kilobyte or so."""

_Count = Annotated[int, Field(ge=1)]
_Decay = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@register_problem
class TiledImages(TrainableProblem):
    """Classify images that are rotated by the task's angle.

    Args:
        source: where the images are from: ``mnist``, ``fashion_mnist`` or ``digits`` (8 x 8 pixels,
            always there).
        tile_size: pixels of a tile's side; by default 4, and 2 for ``digits``.
        interpolation: of the rotation, ``nearest`` (as published).
        weight_decays: each member draws its weight decay from these.
        evaluated_images: how many images of each split are judged at a snapshot, at most.
        stored_sequences: how many training images are stored with their logits.
        image_folder: where the images lie; by default where the variable ``WSRL_IMAGES`` says,
            else ``~/.cache/wsrl``. No part of the zoo.
        download: fetch images that are not there. No part of the zoo.
    """

    name: ClassVar[str] = "tiled_images"
    may_differ: ClassVar[frozenset[str]] = frozenset(("evaluated_images", "stored_sequences"))
    output_kind = "categorical"
    task_period: ClassVar[float | None] = 360.0
    draws_weight_decay: ClassVar[bool] = True
    GIVEN = ("image_folder", "download")

    def __init__(
        self,
        source: str = "digits",
        tile_size: int | None = None,
        interpolation: Literal["nearest"] = "nearest",
        weight_decays: Annotated[Sequence[_Decay], Field(min_length=1)] = (0.0, 0.001, 0.01, 0.1),
        evaluated_images: _Count = 13000,
        stored_sequences: _Count = 100,
        image_folder: str | None = None,
        download: bool = False,
    ) -> None:
        if source not in SOURCES:
            raise ValueError(f"unknown source {source!r}; choose one of {', '.join(SOURCES)}")
        size = SOURCES[source].size
        tile_size = SOURCES[source].tile_size if tile_size is None else tile_size
        if tile_size < 1 or size % tile_size:
            images = f"the images of {source}, {size} x {size}"
            raise ValueError(f"tiles of {tile_size} x {tile_size} do not divide {images}")
        self.source, self.tile_size, self.interpolation = source, tile_size, interpolation
        self.decays = tuple(sorted({float(decay) for decay in weight_decays}))
        self._recorded |= {"tile_size": tile_size, "weight_decays": self.decays}  # as they are used
        self.evaluated_images, self.stored_sequences = evaluated_images, stored_sequences
        self.image_folder, self.download = image_folder, download
        self.tiles = (size // tile_size) ** 2
        self.length = self.tiles + 1
        self.input_size, self.output_size = tile_size**2, SOURCES[source].classes
        self.input_kind = InputKind("range", 0, 1, self.length)
        self._rotation = TiledRotation(size, tile_size)
        self._placed: dict[torch.device, Images] = {}

    @cached_property
    def images(self) -> Images:
        """The images, on the CPU; ``ValueError`` where there are none."""
        return load_images(self.source, self.image_folder, self.download)

    def _images_on(self, device: torch.device) -> Images:
        if device not in self._placed:
            self._placed[device] = self.images.to(device)
        return self._placed[device]

    def prepare(self) -> None:
        """Make sure that there are images, and as many as are to be stored."""
        check_size("stored_sequences", self.stored_sequences, 1, len(self.images.train))

    def draw_tasks(self, seed: int, members: Sequence[int]) -> Tensor:
        """Draw angles uniformly from [0, 360) degrees: ``(P, 1)`` float64."""
        return draw_each(lambda own: own.uniform(0, 360, 1), members, seed, Purpose.TASK)

    def weight_decays(self, seed: int, members: Sequence[int], default: float) -> Tensor:
        """Draw each member's weight decay: ``(P, 1)``."""
        key = (members, seed, Purpose.WEIGHT_DECAY)
        return draw_each(lambda own: own.choice(self.decays, 1), *key)

    def sequences(self, rows: Tensor, angles: Tensor) -> Tensor:
        """Rotate by ``angles (P,)``, normalise and tile images ``rows (P, S)`` or ``(1, S)``.

        Returns ``(P, S, T, I)`` on the device of the angles, which are degrees.
        """
        source = SOURCES[self.source]
        if angles.is_cpu and kernels_serve("auto", torch.empty(1)):
            # In one pass over the memory, to the same bits: pixels are only moved.
            table = (torch.arange(256.0) / source.white - source.mean) / source.std
            rows = rows.expand(len(angles), -1).contiguous()
            sources = self._rotation.sources(angles)
            found = cpu.look_up(self.images.pixels, rows, sources, table, lead=self.input_size)
            return found.view(*rows.shape, self.length, self.input_size)
        stored = self._images_on(angles.device).pixels
        pixels = stored[rows.to(angles.device)].float() / source.white
        tiles = self._rotation.apply(pixels.expand(len(angles), -1, -1), angles)
        return functional.pad((tiles - source.mean) / source.std, (0, 0, 1, 0))

    def training_stream(
        self, tasks: Tensor, members: Sequence[int], seed: int, batch_size: int, unique: bool
    ) -> TrainingStream:
        """Return passes over the training images; no two of a pass are equal."""
        images, angles = self._images_on(tasks.device), tasks[:, 0]
        train = self.images.train.numpy()
        steps = len(train) // batch_size
        if steps == 0:
            raise ValueError(f"batch_size is {batch_size}, but there are {len(train)} images")

        def a_pass(own: np.random.Generator) -> NDArray[np.int64]:
            order = train[own.permutation(len(train))]
            return order[: steps * batch_size].reshape(steps, batch_size)

        def make(rows: Tensor) -> Batch:
            labels = images.labels[rows]
            weights = torch.full_like(labels, 1 / batch_size, dtype=torch.float32)
            sequences = self.sequences(rows, angles)
            return Batch(sequences, _at_every_step(labels, self.length), weights)

        return DrawnStream([a_pass] * len(members), members, seed, steps, angles.device, make)

    def columns(self) -> dict[str, Column]:
        """Return the published columns, and the generalisation gap."""
        numbers = ("performance", "training_loss", "validation_loss", "weight_decay")
        count, steps = self.stored_sequences, self.length
        return {
            "task": Column("F64", (1,)),
            **{name: Column("F64", ()) for name in (*numbers, "generalization_gap")},
            "sequences": Column("F16", (count, steps, self.input_size)),
            "outputs": Column("F16", (count, steps, self.output_size)),
        }

    def evaluate(
        self, run: Runner, tasks: Tensor, members: Sequence[int], seed: int, step: int
    ) -> dict[str, Tensor]:
        """Measure losses and accuracy on both splits, and keep some training images."""
        limit = self.evaluated_images
        training, _ = self.judge(run, tasks, self.images.train[:limit])
        validation, accuracy = self.judge(run, tasks, self.images.validation[:limit])
        choice = (self.images.train.numpy(), self.stored_sequences, False)
        rows = draw_each(lambda own: own.choice(*choice), members, seed, Purpose.EVALUATION, step)
        sequences = self.sequences(rows, tasks[:, 0]).half()
        outputs, _ = run(sequences.float(), None)  # on what is stored, so that it can be verified
        return {
            "task": tasks,
            "performance": accuracy,
            "training_loss": training,
            "validation_loss": validation,
            "generalization_gap": validation - training,
            "weight_decay": self.weight_decays(seed, members, 0.0)[:, 0].to(tasks.device),
            "sequences": sequences,
            "outputs": outputs.half(),
        }

    def judge(self, run: Runner, tasks: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Classify images ``rows (S,)``, the same for all models, or ``(P, S)``.

        Returns:
            The mean loss over images and steps, and the accuracy at the last step; ``(P,)`` float64
            each.
        """
        rows = rows.expand(len(tasks), -1) if rows.ndim == 2 else rows[None]
        losses = torch.zeros(len(tasks), dtype=torch.float64, device=tasks.device)
        right = torch.zeros_like(losses)
        size = max(1, _CHUNK // (len(tasks) * self.length))
        angles = tasks[:, 0]
        for chunk in rows.to(tasks.device).split(size, 1):
            outputs, _ = run(self.sequences(chunk, angles), None)
            labels = self._images_on(tasks.device).labels[chunk].expand(len(tasks), -1)
            steps = _at_every_step(labels, self.length)
            losses += sequence_cross_entropy(outputs, steps, torch.ones_like(labels))
            right += (outputs[:, :, -1].argmax(-1) == labels).sum(1)
        return losses / rows.shape[1], right / rows.shape[1]

    def clone_scores(
        self, run: Runner, tasks: Tensor, samples: int, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """Accuracy of models on validation images of their angles."""
        among = self.images.validation
        picks = [torch.randint(len(among), (samples,), generator=each) for each in generators]
        return self.judge(run, tasks, among[torch.stack(picks)])[1]

    def task_name(self, task: Sequence[float]) -> str:
        """Return an angle with its unit."""
        return f"{task[0]:.1f} degrees"

    def score_text(self, task: Sequence[float], score: float) -> str:
        """Say how many images are classified rightly."""
        return f"classifies images rotated by {self.task_name(task)}: {score:.0%} right"

    def targets(self, steps: Sequence[int]) -> dict[str, Target]:
        """Return the angle (on the circle, and as published as a number) and what was measured."""
        return {
            "angle": Target("task", "angle", period=360.0),
            "angle_as_number": Target("task", "real", period=360.0),
            "generalization_gap": Target("generalization_gap", "real"),
            "weight_decay": Target("weight_decay", "classes", values=self.decays),
        } | super().targets(steps)

    def as_images(self, inputs: Tensor) -> Tensor | None:
        """Put tiles back together, BOS left out."""
        if inputs.shape[-2] != self.length:
            return None
        pixels: Tensor = inputs[..., -self.tiles :, :].flatten(-2)
        size = SOURCES[self.source].size
        images = pixels[..., self._rotation.order.flatten().argsort()]
        return images.view(*images.shape[:-1], size, size)


def _at_every_step(labels: Tensor, steps: int) -> Tensor:
    """Repeat labels ``(P, S)`` over the steps: ``(P, S, T)``."""
    return labels[..., None].expand(*labels.shape, steps)
