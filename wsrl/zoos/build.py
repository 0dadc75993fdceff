"""Train a population of RNNs, take snapshots, and write them as a zoo.

Members are trained in groups; a group is one shard. A running group keeps its weights, optimiser
state and finished snapshots beside the zoo, so that a build that is killed goes on from there when
the same command is run again. Random streams are functions of seed, member and step, so the step is
all the random state there is.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from wsrl.rnn import Backend
from wsrl.rnn.backends import check_backend, kernels_serve
from wsrl.zoos.folder import locked, open_or_create
from wsrl.zoos.group import Group
from wsrl.zoos.manifest import Manifest
from wsrl.zoos.problems import TrainableProblem, get_trainable_problem
from wsrl.zoos.progress import BuildProgress
from wsrl.zoos.settings import BuildSettings
from wsrl.zoos.store import check_shards, write_shard

PROGRESS = "progress"


def build_zoo(
    out: str | Path,
    problem: TrainableProblem,
    settings: BuildSettings,
    checkpoint_seconds: float = 120.0,
    device: str = "auto",
    backend: Backend = "auto",
    quiet: bool = False,
) -> Manifest:
    """Build a zoo, or go on with one that was interrupted.

    Args:
        out: the zoo's folder; new, empty, or holding this very zoo.
        problem: what the members are trained on.
        settings: how.
        checkpoint_seconds: how often a running group saves its state.
        device: ``auto`` (a GPU where there is one), or a torch device.
        backend: ``eager`` (PyTorch), ``cpu`` (compiled kernels), ``triton`` (kernels for GPUs), or
            ``auto``, the kernels where they can be had. The weights' last bits depend on it; the
            manifest notes which it was.
        quiet: show no progress.

    Returns:
        The manifest of the finished zoo.

    Raises:
        ZooError: when the folder holds something else, a file of the zoo is damaged, or another
            process is building it.
        ValueError: for a device or a backend that is not here, or a problem that nothing can be
            trained on.
    """
    get_trainable_problem(problem.name)  # by its name the zoo will be opened
    folder, place = Path(out), _device(device)
    check_backend(backend, device=place)
    problem.prepare()
    _check_stream(problem, settings)
    spec = problem.spec(settings.cell, settings.hidden_size, settings.num_layers, settings.bias)
    manifest = open_or_create(
        folder, Manifest.of(problem, spec, settings.to_dict(), problem.columns())
    )
    check_shards(folder, manifest)  # before more is trained on top of a lost or damaged file
    if manifest.complete:
        return manifest
    size = settings.group_size
    groups = [range(s, min(s + size, settings.runs)) for s in range(0, settings.runs, size)]
    steps = max(settings.snapshots)
    with (
        locked(folder),
        BuildProgress(settings.runs * steps, settings.runs, quiet) as progress,
    ):
        manifest = Manifest.read(folder)  # another process may have gone on before the lock
        if _note_backend(manifest, place, kernels_serve(backend, torch.empty(1, device=place))):
            manifest.write(folder)  # now: a group that is interrupted goes on from where it was
        for index, members in enumerate(groups):
            progress.start_group(len(members))
            if index < len(manifest.shards):
                progress.advance(steps)
                continue
            group = Group(problem, spec, settings, members, place, backend)
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


def _check_stream(problem: TrainableProblem, settings: BuildSettings) -> None:
    """Let a problem refuse a batch size before anything is written."""
    tasks = problem.draw_tasks(settings.seed, [0])
    problem.training_stream(
        tasks, [0], settings.seed, settings.batch_size, settings.unique_sequences
    )


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


def _note_backend(manifest: Manifest, device: torch.device, kernels: bool) -> bool:
    """Add a backend to those noted; say whether it is new."""
    known = manifest.versions.get("backend")
    name = f"{'kernels' if kernels else 'eager'} on {device.type}"
    if known is not None and name in known.split(", "):
        return False
    manifest.versions["backend"] = f"{known}, {name}" if known else name
    return True
