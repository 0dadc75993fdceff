"""Independent jobs, in this process or in several of this machine."""

from wsrl.jobs.local import LocalPool, ProcessDiedError, listening, report
from wsrl.jobs.lock import locked
from wsrl.jobs.run import Engine, Here, Job, run_jobs

__all__ = [
    "Engine",
    "Here",
    "Job",
    "LocalPool",
    "ProcessDiedError",
    "listening",
    "locked",
    "report",
    "run_jobs",
]
