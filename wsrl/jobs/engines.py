"""Choose what runs jobs: this process, several of this machine, or a cluster."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from wsrl.jobs.local import LocalPool
from wsrl.jobs.run import Engine, Here
from wsrl.resources import threads_each


@contextmanager
def open_engine(
    workers: int,
    cluster: str | None,
    lock: Path,
    devices: Sequence[str] = (),
    preload: Sequence[str] = (),
    here: bool = True,
) -> Iterator[Engine]:
    """Have what runs jobs for as long as the body runs.

    Args:
        workers: jobs that run at once; on a cluster that is started here, its workers.
        cluster: address or file of a cluster, as of ``Cluster``; ``None`` for this machine.
        lock: a lock file that this process holds; a cluster's workers must see it.
        devices: numbers of GPUs to deal out on this machine.
        preload: modules that processes import once, rather than with every job.
        here: run the jobs in this very process where there is one worker on this machine.
    """
    if cluster is not None:
        from wsrl.jobs.cluster import Cluster  # needs an extra package

        with Cluster(cluster, workers, lock, preload) as engine:
            yield engine
    elif workers == 1 and here:
        yield Here()
    else:
        with LocalPool(workers, devices, threads_each(workers), preload) as pool:
            yield pool
