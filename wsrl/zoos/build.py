"""Train a population of RNNs, take snapshots, and write them as a zoo.

Members are trained in groups; a group is one shard. A running group keeps its weights, optimiser
state and finished snapshots beside the zoo, so that a build that is killed goes on from there when
the same command is run again. Random streams are functions of seed, member and step, so the step is
all the random state there is, and any process may train any group.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import torch

from wsrl.problems import TrainableProblem, get_trainable_problem
from wsrl.resources import check_fits
from wsrl.rnn import Backend
from wsrl.rnn.backends import ELEMENTWISE, check_backend
from wsrl.stopping import StopRequests
from wsrl.zoos.assembly import Made, Part, assemble, shares
from wsrl.zoos.folder import open_or_create
from wsrl.zoos.group import Group
from wsrl.zoos.leases import Lease, LeaseLostError
from wsrl.zoos.manifest import Manifest
from wsrl.zoos.overview import Overview
from wsrl.zoos.progress import BuildProgress
from wsrl.zoos.records import state_path
from wsrl.zoos.settings import BuildSettings


def build_zoo(
    out: str | Path,
    problem: TrainableProblem,
    settings: BuildSettings,
    checkpoint_seconds: float = 120.0,
    device: str = "auto",
    backend: Backend = "auto",
    quiet: bool = False,
    part: Part | None = None,
    stop: StopRequests | None = None,
) -> Manifest:
    """Build a zoo, or go on with one that was interrupted, alone or together with others.

    Any number of processes may build one zoo at once, on any machines that share its folder: each
    takes the next free group. At a signal to end, a process saves the state of its
    group first.

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
        part: ``(i, n)``: train only every ``n``-th group from the ``i``-th on, and do not wait for
            the others; the last process completes the zoo.
        stop: signals that the caller notes; by default they are noted here.

    Returns:
        The manifest: of a complete zoo, unless the rest is others' part.

    Raises:
        ZooError: when the folder holds something else, or a file of the zoo is damaged.
        OSError: naming the file, where it cannot be written.
        ValueError: for a device or a backend that is not here, a part that is not in 1..``n``, what
            does not fit in memory, or a problem that nothing can be trained on.
        KeyboardInterrupt, SystemExit: at a signal to end; the state is saved.
    """
    get_trainable_problem(problem.name)  # by its name the zoo will be opened
    folder, place = Path(out), _device(device)
    check_backend(backend, ELEMENTWISE, torch.empty(1, device=place))
    problem.prepare()
    _check_stream(problem, settings)
    spec = problem.spec(settings.cell, settings.hidden_size, settings.num_layers, settings.bias)
    groups = shard_members(settings)
    shares(len(groups), part)
    manifest = Manifest.of(problem, spec, settings.to_dict(), problem.columns())
    _check_memory(manifest, settings)
    open_or_create(folder, manifest)
    steps = max(settings.snapshots)
    with (
        nullcontext(stop) if stop else StopRequests(at_once=True) as signals,
        BuildProgress(settings.runs * steps, settings.runs, quiet) as progress,
    ):
        overview = None if quiet else Overview(folder, groups, steps, progress)

        def make(index: int, lease: Lease) -> Made:
            def between(step: int) -> None:
                lease.done = step
                if lease.lost:
                    raise LeaseLostError
                signals.raise_if_any()
                if overview:
                    overview.show(index, step)

            group = Group(problem, spec, settings, groups[index], place, backend)
            group.train(state_path(folder, index), checkpoint_seconds, between, lease.check)
            return Made(group.columns(), group.failures(), sorted(group.backends))

        waiting = overview.show if overview else lambda: None
        manifest = assemble(folder, len(groups), make, signals, part, waiting)
        if overview:
            overview.end()
    return manifest


def shard_members(settings: BuildSettings) -> list[range]:
    """Return the members of every shard."""
    size = settings.group_size
    return [range(s, min(s + size, settings.runs)) for s in range(0, settings.runs, size)]


def _check_memory(manifest: Manifest, settings: BuildSettings) -> None:
    """Refuse groups whose snapshots, which stay in memory until they are written, do not fit."""
    row = sum(column.row_bytes for column in manifest.columns.values())
    members = min(settings.group_size, settings.runs)
    check_fits(
        f"a group of {members} RNNs with {len(settings.snapshots)} snapshots",
        members * len(settings.snapshots) * row,
        "choose a smaller group_size, smaller RNNs, or fewer sequences to store",
    )


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
        torch.ones(1, device=place).cpu()  # a device like meta holds no numbers
    except (RuntimeError, AssertionError) as error:  # CUDA's absence is an assertion
        reason = str(error).splitlines()[0]
        raise ValueError(f"device {name!r} cannot be used here ({reason}); try auto") from error
    return place
