"""Train a population of RNNs, take snapshots, and write them as a zoo.

Members are trained in groups; a group is one shard. A running group keeps its weights, optimiser
state and finished snapshots beside the zoo, so that a build that is killed goes on from there when
the same command is run again. Random streams are functions of seed, member and step, so the step is
all the random state there is.
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

import wsrl
from wsrl.rnn import RNNSpec
from wsrl.zoos.group import Group
from wsrl.zoos.manifest import MANIFEST, Manifest, ZooError
from wsrl.zoos.problems import Column, Problem
from wsrl.zoos.progress import BuildProgress
from wsrl.zoos.settings import BuildSettings
from wsrl.zoos.store import (
    check_shards,
    write_shard,
)

PROGRESS = "progress"


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
