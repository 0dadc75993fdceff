"""Train a population of RNNs, take snapshots, and write them as a zoo.

Members are trained in groups; a group is one shard. A running group keeps its weights, optimiser
state and finished snapshots beside the zoo, so that a build that is killed goes on from there when
the same command is run again. Random streams are functions of seed, member and step, so the step is
all the random state there is, and any process may train any group.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from wsrl.jobs import report
from wsrl.problems import TrainableProblem, get_trainable_problem
from wsrl.resources import check_fits, visible_gpus
from wsrl.rnn import Backend
from wsrl.rnn.backends import ELEMENTWISE, check_backend
from wsrl.stopping import StopRequests
from wsrl.zoos.folder import Part, check_collection
from wsrl.zoos.group import Group
from wsrl.zoos.making import Making, make_zoos
from wsrl.zoos.manifest import Manifest
from wsrl.zoos.settings import BuildSettings
from wsrl.zoos.shards import state_path, write_finished


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
    cluster: str | None = None,
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
        workers: processes that train groups at once, each on a GPU of its own where there are GPUs.
            The zoo is the same for any number.
        cluster: have a Dask cluster train the groups: the address of its scheduler, the file in
            which that wrote its address, or a YAML file that says which cluster to start (of so
            many ``workers``). All its machines must see the zoo's folder.

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
    how = (checkpoint_seconds, device, backend, quiet, part, workers, cluster)
    return build_zoos(out, problem, {".": settings}, *how)[0]


def build_zoos(
    out: str | Path,
    problem: TrainableProblem,
    settings: Mapping[str, BuildSettings],
    checkpoint_seconds: float = 120.0,
    device: str = "auto",
    backend: Backend = "auto",
    quiet: bool = False,
    part: Part | None = None,
    workers: int = 1,
    cluster: str | None = None,
) -> list[Manifest]:
    """Build several zoos of one problem in one folder, which ``open_zoo`` opens as a collection.

    Their groups are trained by the same workers, and shared out as one list. Errors are those of
    ``build_zoo``.

    Args:
        out: the folder; new, empty, or holding zoos.
        problem: what all members are trained on.
        settings: of each zoo by its folder in ``out`` (``.`` for ``out`` itself), as
            ``settings_grid`` gives them.
        checkpoint_seconds: as of ``build_zoo``, like all that follow.
        device: where it trains.
        backend: what runs the RNNs.
        quiet: show no progress.
        part: share of the groups of all zoos.
        workers: processes.
        cluster: what trains instead of this machine.

    Returns:
        The manifests of the zoos in their order.

    >>> from tempfile import mkdtemp
    >>> from wsrl.problems import FormalLanguages
    >>> from wsrl.zoos import open_zoo, settings_grid
    >>> problem = FormalLanguages(2, 8, evaluated_strings=20, stored_strings=4)
    >>> grid = settings_grid(BuildSettings(runs=4, snapshots=(0, 20)), ["lstm", "gru"], [4])
    >>> folder = mkdtemp()
    >>> _ = build_zoos(folder, problem, grid, backend="eager", quiet=True)
    >>> sorted(grid), len(open_zoo(folder))
    (['gru-4', 'lstm-4'], 16)
    """
    folder = Path(out)
    if "." not in settings:
        check_collection(folder)
    get_trainable_problem(problem.name)  # by its name the zoo will be opened
    if cluster is None:
        check_backend(backend, ELEMENTWISE, torch.empty(1, device=_device(device)))
    problem.prepare()
    how = (checkpoint_seconds, device, backend)
    makings = [_making(folder / name, problem, each, how) for name, each in settings.items()]
    gpus = visible_gpus() if cluster is None and _device(device).type == "cuda" else []
    return make_zoos(
        makings, part=part, workers=workers, cluster=cluster, devices=gpus, quiet=quiet
    )


def _making(
    folder: Path, problem: TrainableProblem, settings: BuildSettings, how: tuple[Any, ...]
) -> Making:
    """Check what one zoo is made of, before anything is written."""
    drawn = (settings.seed, settings.batch_size, settings.unique_sequences)
    problem.training_stream(problem.draw_tasks(settings.seed, [0]), [0], *drawn)  # may refuse them
    spec = settings.spec(problem)
    groups = shard_members(settings)
    manifest = Manifest.of(problem, spec, settings.to_dict(), problem.columns())
    check_fits(
        f"a group of {len(groups[0])} RNNs with {len(settings.snapshots)} snapshots",
        len(groups[0])
        * len(settings.snapshots)
        * sum(column.row_bytes for column in manifest.columns.values()),
        "choose a smaller group_size, smaller RNNs, or fewer sequences to store",
    )
    sizes = [len(group) for group in groups]
    return Making(folder, manifest, sizes, train_shard, [(problem, settings, *how)] * len(groups))


def train_shard(
    folder: Path,
    index: int,
    problem: TrainableProblem,
    settings: BuildSettings,
    checkpoint_seconds: float,
    device: str,
    backend: Backend,
) -> None:
    """Train the members of one shard, or go on with them, and write it; see ``build_zoo``."""
    spec = settings.spec(problem)
    members, last = shard_members(settings)[index], max(1, *settings.snapshots)

    with StopRequests() as stop:

        def between(step: int) -> None:
            stop.raise_if_any()
            report(step / last)

        group = Group(problem, spec, settings, members, _device(device), backend)
        group.train(state_path(folder, index), checkpoint_seconds, between)
        write_finished(folder, index, group.columns(), group.failures(), sorted(group.backends))


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
