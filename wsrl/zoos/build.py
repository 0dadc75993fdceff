"""Train a population of RNNs, take snapshots, and write them as a zoo.

Members are trained in groups; a group is one shard. A running group keeps its weights, optimiser
state and finished snapshots beside the zoo, so that a build that is killed goes on from there when
the same command is run again. Random streams are functions of seed, member and step, so the step is
all the random state there is.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import platform
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import wsrl
from wsrl.rnn import RNNSpec, RNNWeights, State, run_population
from wsrl.zoos.manifest import MANIFEST, Manifest, ZooError
from wsrl.zoos.optimizer import PopulationAdamW
from wsrl.zoos.problems import Column, Problem
from wsrl.zoos.progress import BuildProgress
from wsrl.zoos.store import (
    check_shards,
    digest,
    read_metadata,
    read_tensors,
    write_shard,
    write_tensors,
)
from wsrl.zoos.streams import Purpose, stream

PROGRESS = "progress"


@dataclass(frozen=True)
class BuildSettings:
    """How the RNNs of a zoo are trained; the published values are the defaults.

    Attributes:
        runs: members of the zoo.
        seed: the seed from which every member's streams are derived.
        snapshots: snapshot ``n`` is taken after ``n`` updates; ascending.
        cell: ``lstm``, ``gru`` or ``tanh``.
        hidden_size: neurons of a layer.
        num_layers: layers.
        bias: whether the RNNs have biases.
        batch_size: sequences a member sees in one step.
        learning_rates: ``[step, rate]`` pairs, linear between them and constant after the last.
        weight_decay: of AdamW.
        unique_sequences: train on distinct sequences with weights where the problem can.
        group_size: members that train together and become one shard.

    Raises:
        ValueError: for numbers out of range or snapshots that do not ascend.
    """

    runs: int = 1000
    seed: int = 0
    snapshots: Sequence[int] = (0, 100, 200, 500, 1000, 2000, 5000, 10000, 20000)
    cell: str = "lstm"
    hidden_size: int = 32
    num_layers: int = 2
    bias: bool = True
    batch_size: int = 32
    learning_rates: Sequence[tuple[int, float]] = ((0, 0.01), (10000, 0.003), (20000, 0.0003))
    weight_decay: float = 1e-4
    unique_sequences: bool = True
    group_size: int = 64

    def __post_init__(self) -> None:
        for name in ("runs", "batch_size", "group_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        rates = [rate for _, rate in self.learning_rates]
        for number in (self.weight_decay, *rates):
            if not 0 <= number < math.inf:  # nor NaN
                raise ValueError(
                    "weight_decay and learning_rates must be finite and not negative, not "
                    f"{self.weight_decay} and {rates}"
                )
        if self.seed < 0:
            raise ValueError(f"seed must not be negative: {self.seed}")
        for name, steps in (
            ("snapshots", list(self.snapshots)),
            ("steps of learning_rates", [step for step, _ in self.learning_rates]),
        ):
            if not steps or steps[0] < 0 or steps != sorted(set(steps)):
                raise ValueError(f"{name} must ascend from 0 or later, not {steps}")

    def learning_rate(self, step: int) -> float:
        """Return the rate of the update that follows ``step`` updates."""
        steps, rates = zip(*self.learning_rates, strict=True)
        return float(np.interp(step, steps, rates))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, equal to what is read back from JSON."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain


def build_zoo(
    out: str | Path,
    problem: Problem,
    settings: BuildSettings,
    checkpoint_seconds: float = 120.0,
    device: str = "auto",
    quiet: bool = False,
) -> Manifest:
    """Build a zoo, or go on with one that was interrupted.

    Args:
        out: the zoo's folder; new, empty, or holding this very zoo.
        problem: what the members are trained on.
        settings: how.
        checkpoint_seconds: how often a running group saves its state.
        device: ``auto`` (a GPU where there is one), or a torch device.
        quiet: show no progress.

    Returns:
        The manifest of the finished zoo.

    Raises:
        ZooError: when the folder holds something else, a file of the zoo is damaged, or another
            process is building it.
        ValueError: for a device that is not here.
    """
    folder, place = Path(out), _device(device)
    spec = problem.spec(settings.cell, settings.hidden_size, settings.num_layers, settings.bias)
    manifest = _open_or_create(folder, problem, spec, settings)
    check_shards(folder, manifest)  # before more is trained on top of a lost or damaged file
    if manifest.complete:
        return manifest
    size = settings.group_size
    groups = [range(s, min(s + size, settings.runs)) for s in range(0, settings.runs, size)]
    steps = max(settings.snapshots)
    with (
        _locked(folder),
        BuildProgress(settings.runs * steps, settings.runs, quiet) as progress,
    ):
        manifest = Manifest.read(folder)  # another process may have gone on before the lock
        _note_backend(manifest, place)
        for index, members in enumerate(groups):
            progress.start_group(len(members))
            if index < len(manifest.shards):
                progress.advance(steps)
                continue
            group = Group(problem, spec, settings, members, place)
            partial = folder / PROGRESS / f"{index:05d}.safetensors"
            group.train(partial, checkpoint_seconds, progress)
            manifest.shards.append(write_shard(folder, index, group.columns()))
            manifest.failed |= group.failures()
            manifest.write(folder)
            partial.unlink(missing_ok=True)
        manifest.complete = True
        manifest.write(folder)
        shutil.rmtree(folder / PROGRESS, ignore_errors=True)
    return manifest


class Group:
    """Members that train together."""

    def __init__(
        self,
        problem: Problem,
        spec: RNNSpec,
        settings: BuildSettings,
        members: Sequence[int],
        device: torch.device,
    ) -> None:
        self.problem, self.spec, self.settings = problem, spec, settings
        self.members = list(members)
        self.tasks = problem.draw_tasks(settings.seed, self.members).to(device)
        self.flat = initial_weights(spec, settings.seed, self.members).to(device)
        self.optimizer = PopulationAdamW(self.flat, settings.weight_decay)
        self.data = problem.training_stream(
            self.tasks,
            self.members,
            settings.seed,
            settings.batch_size,
            settings.unique_sequences,
        )
        self.failed_at = torch.full((len(self.members),), -1, device=device)
        self.snapshots: list[dict[str, Tensor]] = []

    @property
    def step_count(self) -> int:
        """Updates made so far."""
        return self.optimizer.step_count

    def train(self, partial: Path, checkpoint_seconds: float, progress: BuildProgress) -> None:
        """Train to the last snapshot, going on from ``partial``, which is kept up to date."""
        if partial.exists():
            self._restore(partial)
            progress.advance(self.step_count)
        saved = time.monotonic()
        for snapshot in self.settings.snapshots[len(self.snapshots) :]:
            while self.step_count < snapshot:
                self._train_step()
                progress.advance(1)
                if time.monotonic() - saved > checkpoint_seconds:
                    self._save(partial)
                    saved = time.monotonic()
            self.snapshots.append(self._snapshot(snapshot))

    def columns(self) -> dict[str, Tensor]:
        """Return all snapshots taken, member by member: ``(P * snapshots, *shape)`` each."""
        names = self.snapshots[0]
        stacked = {name: torch.stack([s[name] for s in self.snapshots], 1) for name in names}
        return {name: column.flatten(0, 1) for name, column in stacked.items()}

    def failures(self) -> dict[str, int]:
        """Return the members with anything not finite, and after how many updates it was seen."""
        steps = zip(self.members, self.failed_at.tolist(), strict=True)
        return {str(member): step for member, step in steps if step >= 0}

    def _train_step(self) -> None:
        step = self.step_count
        flat = self.flat.requires_grad_()
        batch = self.data.batch(step)
        outputs, _ = run_population(RNNWeights(flat, self.spec), batch.inputs)
        losses = self.problem.loss(outputs, batch)
        (gradient,) = torch.autograd.grad(losses.sum(), flat)
        with torch.no_grad():
            self.optimizer.step(gradient, self.settings.learning_rate(step))
            fresh = ~losses.isfinite() & (self.failed_at < 0)
            self.failed_at.masked_fill_(fresh, step)

    @torch.no_grad()
    def _snapshot(self, step: int) -> dict[str, Tensor]:
        weights = RNNWeights(self.flat.detach(), self.spec)

        def run(inputs: Tensor, state: State | None) -> tuple[Tensor, State]:
            return run_population(weights, inputs, state)

        seed = self.settings.seed
        columns = self.problem.evaluate(run, self.tasks, self.members, seed, step)
        for value in (weights.flat, *columns.values()):
            # Weights can overflow in the last update, and finite outputs in their stored dtype.
            fresh = ~value.isfinite().flatten(1).all(1) if value.ndim > 1 else ~value.isfinite()
            self.failed_at.masked_fill_(fresh & (self.failed_at < 0), step)
        own = {
            "weights": weights.flat,
            "run": torch.tensor(self.members),
            "step": torch.full((len(self.members),), step),
        }
        # Copies: weights go on changing, and a task stands in every snapshot of its group.
        return {name: value.detach().cpu().clone() for name, value in (own | columns).items()}

    def _save(self, path: Path) -> None:
        tensors = {
            "state.flat": self.flat,
            "state.mean": self.optimizer.mean,
            "state.square": self.optimizer.square,
            "state.failed_at": self.failed_at,
        }
        for index, snapshot in enumerate(self.snapshots):
            tensors |= {f"snapshot.{index}.{name}": value for name, value in snapshot.items()}
        about = {"step": self.step_count, "snapshots": len(self.snapshots)}
        write_tensors(path, tensors, about | {"sha256": digest(tensors, about)})

    def _restore(self, path: Path) -> None:
        tensors, metadata = _read_progress(path)
        with torch.no_grad():
            self.flat.copy_(tensors["state.flat"])
            self.optimizer.mean.copy_(tensors["state.mean"])
            self.optimizer.square.copy_(tensors["state.square"])
            self.failed_at.copy_(tensors["state.failed_at"])
        self.optimizer.step_count = metadata["step"]
        for index in range(metadata["snapshots"]):
            prefix = f"snapshot.{index}."
            self.snapshots.append(
                {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}
            )


def _read_progress(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what ``Group._save`` wrote, and be sure of it: nobody could tell afterwards."""
    try:
        tensors = {name: value.clone() for name, value in read_tensors(path).items()}
        metadata = read_metadata(path)
        claimed = metadata.pop("sha256", None)
        if claimed != digest(tensors, metadata):
            raise ZooError(f"{path} is damaged: its checksum differs")
    except ZooError as error:
        raise ZooError(
            f"{error}. It holds the state of the group in training: restore it from a copy, or "
            "delete it to train that group again from its start (finished groups stay)"
        ) from error
    return tensors, metadata


def initial_weights(spec: RNNSpec, seed: int, members: Sequence[int]) -> Tensor:
    """Draw weights as ``torch.nn`` does, uniform in ``+-1/sqrt(H)``: ``(P, N)``.

    Cells and readout have the same bound, since the readout's fan-in is ``H`` as well.
    """
    bound = spec.hidden_size**-0.5
    drawn = [
        stream(seed, Purpose.WEIGHTS, member).uniform(-bound, bound, spec.num_parameters)
        for member in members
    ]
    return torch.from_numpy(np.stack(drawn).astype(np.float32))


def _open_or_create(
    folder: Path, problem: Problem, spec: RNNSpec, settings: BuildSettings
) -> Manifest:
    columns = {
        "weights": Column("F32", (spec.num_parameters,)),
        "run": Column("I64", ()),
        "step": Column("I64", ()),
        **problem.columns(),
    }
    versions = {
        "wsrl": wsrl.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    wanted = Manifest(
        problem.name,
        problem.settings(),
        spec.to_dict(),
        settings.to_dict(),
        columns,
        versions,
    )
    if (folder / MANIFEST).exists():
        found = Manifest.read(folder)
        _check_same(found, wanted, folder)
        return found
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ZooError(f"{folder} exists and holds no zoo: choose an empty or a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    wanted.write(folder)
    return wanted


def _check_same(found: Manifest, wanted: Manifest, folder: Path) -> None:
    differences = []
    if found.problem != wanted.problem:
        differences.append(f"problem: {found.problem} there, {wanted.problem} asked for")
    for part in ("problem_settings", "build"):
        there, asked = getattr(found, part), getattr(wanted, part)
        differences += [
            f"{name}: {there.get(name)!r} there, {asked.get(name)!r} asked for"
            for name in sorted(there.keys() | asked.keys())
            if there.get(name) != asked.get(name)
        ]
    if differences:
        raise ZooError(
            f"{folder} holds a zoo built with other settings; choose another folder or the same "
            "settings:\n  " + "\n  ".join(differences)
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Refuse to build where another process builds; the lock ends with the process, however."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise ZooError(f"another process is building {folder}: wait for it or stop it") from error
    except OSError:
        pass  # a file system without locks
    try:
        yield
    finally:
        os.close(handle)


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        place = torch.device(name)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:  # CUDA's absence is an assertion
        reason = str(error).splitlines()[0]
        raise ValueError(f"device {name!r} cannot be used here ({reason}); try auto") from error
    return place


def _note_backend(manifest: Manifest, device: torch.device) -> None:
    known = manifest.versions.get("backend")
    if known is None or device.type not in known.split(", "):
        manifest.versions["backend"] = f"{known}, {device.type}" if known else device.type
