"""Train a population of RNNs, take snapshots, and write them as a zoo.

Members are trained in groups; a group is one shard. A running group keeps its weights, optimiser
state and finished snapshots beside the zoo, so that a build that is killed goes on from there when
the same command is run again. Random streams are functions of seed, member and step, so the step is
all the random state there is, and any process may train any group.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from wsrl.jobs import Here, Job, LocalPool, ProcessDiedError, listening, report, run_jobs
from wsrl.minutes import Minutes
from wsrl.problems import TrainableProblem, get_trainable_problem
from wsrl.resources import check_fits, visible_gpus
from wsrl.rnn import Backend
from wsrl.rnn.backends import ELEMENTWISE, check_backend
from wsrl.stopping import StopRequests
from wsrl.zoos.folder import Part, locked_zoo, open_or_create
from wsrl.zoos.group import Group
from wsrl.zoos.manifest import Manifest, ZooError
from wsrl.zoos.settings import BuildSettings
from wsrl.zoos.shards import complete, missing_shards, shares, state_path, write_finished


def build_zoo(
    out: str | Path,
    problem: TrainableProblem,
    settings: BuildSettings,
    checkpoint_seconds: float = 120.0,
    device: str = "auto",
    backend: Backend = "auto",
    quiet: bool = False,
    part: Part | None = None,
    workers: int = 1,
) -> Manifest:
    """Build a zoo, or go on with one that was interrupted.

    Told to end by a signal, each process saves the state of its group first.

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
        part: ``(i, n)``: train only every ``n``-th group from the ``i``-th on. Processes of other
            parts may work at the same time; the last of them completes the zoo.
        workers: processes of this machine that train groups at once, each on a GPU of its own where
            there are GPUs. The zoo is the same for any number.

    Returns:
        The manifest: of a complete zoo, unless the rest is others' part.

    Raises:
        ZooError: when the folder holds something else, another process builds the same, a file of
            the zoo is damaged, or a process of this build died again and again.
        OSError: naming the file, where it cannot be written.
        ValueError: for a device or a backend that is not here, a part that is not in 1..``n``, what
            does not fit in memory, or a problem that nothing can be trained on.
        KeyboardInterrupt, SystemExit: at a signal to end; the state is saved.

    >>> from tempfile import mkdtemp
    >>> from wsrl.problems import FormalLanguages
    >>> problem = FormalLanguages(2, 8, evaluated_strings=20, stored_strings=4)
    >>> settings = BuildSettings(runs=4, hidden_size=4, snapshots=(0, 20))
    >>> manifest = build_zoo(mkdtemp(), problem, settings, backend="eager", quiet=True)
    >>> manifest.build["runs"], len(manifest.shards)  # they were trained together
    (4, 1)
    """
    get_trainable_problem(problem.name)  # by its name the zoo will be opened
    folder, place = Path(out), _device(device)
    check_backend(backend, ELEMENTWISE, torch.empty(1, device=place))
    problem.prepare()
    how = (settings.seed, settings.batch_size, settings.unique_sequences)
    problem.training_stream(problem.draw_tasks(settings.seed, [0]), [0], *how)  # may refuse them
    spec = problem.spec(settings.cell, settings.hidden_size, settings.num_layers, settings.bias)
    groups = shard_members(settings)
    shares(len(groups), part)
    manifest = Manifest.of(problem, spec, settings.to_dict(), problem.columns())
    check_fits(
        f"a group of {len(groups[0])} RNNs with {len(settings.snapshots)} snapshots",
        len(groups[0])
        * len(settings.snapshots)
        * sum(column.row_bytes for column in manifest.columns.values()),
        "choose a smaller group_size, smaller RNNs, or fewer sequences to store",
    )
    open_or_create(folder, manifest)
    with StopRequests(at_once=True), locked_zoo(folder, part):
        missing = missing_shards(folder, len(groups), part)
        given = (folder, problem, settings, checkpoint_seconds, str(place), backend)
        jobs = [Job(f"shard {i}", train_shard, (*given, i)) for i in missing]
        steps = max(settings.snapshots)
        made = {i: steps for i in range(len(groups)) if i not in missing}
        progress = BuildProgress([len(group) for group in groups], steps, made, quiet)
        with progress.bar, listening(progress.show), _engine(workers, place) as engine:
            run_jobs(jobs, engine, ended=_end_with_the_first_error)
        return complete(folder, len(groups))


def train_shard(
    folder: Path,
    problem: TrainableProblem,
    settings: BuildSettings,
    checkpoint_seconds: float,
    device: str,
    backend: Backend,
    index: int,
) -> None:
    """Train the members of one shard, or go on with them, and write it; see ``build_zoo``."""
    spec = problem.spec(settings.cell, settings.hidden_size, settings.num_layers, settings.bias)
    members = shard_members(settings)[index]

    with StopRequests() as stop:

        def between(step: int) -> None:
            stop.raise_if_any()
            report((index, step))

        group = Group(problem, spec, settings, members, torch.device(device), backend)
        group.train(state_path(folder, index), checkpoint_seconds, between)
        report((index, max(settings.snapshots)))
        write_finished(folder, index, group.columns(), group.failures(), sorted(group.backends))


def _end_with_the_first_error(name: str, result: object, error: Exception | None) -> None:
    """A full disk or a bug meets all shards: the others save their states rather than go on."""
    if isinstance(error, ProcessDiedError):
        raise ZooError(f"{name}: {error}; run the same command again to go on") from error
    if error is not None:
        raise error


def _engine(workers: int, device: torch.device) -> Here | LocalPool:
    """Return what trains groups: this process, or several."""
    if workers == 1:
        return Here()
    threads = max(1, torch.get_num_threads() // workers)
    gpus = visible_gpus() if device.type == "cuda" else []
    return LocalPool(workers, gpus, threads, preload=[__name__])


def shard_members(settings: BuildSettings) -> list[range]:
    """Return the members of every shard."""
    size = settings.group_size
    return [range(s, min(s + size, settings.runs)) for s in range(0, settings.runs, size)]


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


class BuildProgress:
    """Shows how far a build is: a bar in a terminal, elsewhere a line a minute.

    Args:
        members: RNNs of every shard.
        steps: updates of an RNN.
        made: by shard, the updates that were made before.
        quiet: show nothing.

    Attributes:
        bar: a context manager, as rich makes it.
    """

    def __init__(
        self, members: Sequence[int], steps: int, made: dict[int, int], quiet: bool
    ) -> None:
        self._members, self._made, self._total = members, made, sum(members) * steps
        self._quiet, self._minutes = quiet, Minutes()
        self.bar = Progress(
            TextColumn("members {task.fields[members]}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%  {task.fields[speed]} RNN-steps/s  left"),
            TimeRemainingColumn(),
            disable=quiet,
        )
        self._task = self.bar.add_task("build", total=self._total, members="", speed="-")

    def show(self, made: tuple[int, int]) -> None:
        """Show that of a shard ``(number, updates)`` so many updates are made."""
        shard, step = made
        self._made[shard] = step
        speed = self.bar.tasks[0].speed
        completed = sum(self._members[i] * n for i, n in self._made.items())
        members = f"{sum(self._members[i] for i in self._made)}/{sum(self._members)}"
        speed_text = f"{speed:,.0f}" if speed else "-"
        self.bar.update(self._task, completed=completed, members=members, speed=speed_text)
        console = self.bar.console
        if not console.is_terminal and not self._quiet and self._minutes.passed():
            share = f"{completed / self._total:.0%}" if self._total else "all"
            console.print(f"{share} built: {members} members")
