"""Independent jobs: in this process, in several of this machine, or on a cluster."""

from wsrl.jobs.engines import open_engine
from wsrl.jobs.local import LocalPool
from wsrl.jobs.lock import locked
from wsrl.jobs.report import listening, report
from wsrl.jobs.run import Engine, EngineError, Here, Job, ProcessDiedError, run_jobs

__all__ = [
    "Engine",
    "EngineError",
    "Here",
    "Job",
    "LocalPool",
    "ProcessDiedError",
    "listening",
    "locked",
    "open_engine",
    "report",
    "run_jobs",
]
