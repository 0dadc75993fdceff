"""Independent jobs, on this process or on several of this machine."""

from wsrl.jobs.local import LocalPool, ProcessDiedError
from wsrl.jobs.lock import locked
from wsrl.jobs.run import Engine, Here, Job, run_jobs

__all__ = ["Engine", "Here", "Job", "LocalPool", "ProcessDiedError", "locked", "run_jobs"]
