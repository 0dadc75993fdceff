"""Runs that are interrupted for real: signals, kills and full disks at chosen moments.

As a program it carries out a list of runs, each in a process of its own, forked after the imports
that take seconds.
"""

import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import wsrl  # noqa: F401 first: it lets Lightning be imported beside a CPU torch

# isort: split
import numpy as np
import torch
from lightning.pytorch import Callback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

from wsrl.encoders import Encoder
from wsrl.rnn import RNNSpec, RNNWeights

ROOT = Path(__file__).parents[3]
HERE = "tests.studies.training.interruptions"
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
EMULATION = ["--model", "wsrl.EmulationModule", "--model.clone_rnns", "2"]
EMULATION += ["--model.clone_sequences", "2", "--model.emulator_width", "6"]
EMULATION += ["--model.emulator_layers", "1", "--model.figures", "false"]
SHORT = [*EMULATION, "--model.warmup_steps", "5", "--trainer.max_steps", "6"]
NEVER = "no 0 0 0"


class Drawing(Encoder):
    """Draws from every generator, in evaluations as well."""

    def __init__(self, spec: RNNSpec, embedding_dim: int = 4, fails: bool = False) -> None:
        super().__init__(spec, embedding_dim)
        self.linear = nn.LazyLinear(embedding_dim)
        self.linear(torch.zeros(1, spec.num_parameters))
        self.dropout = nn.Dropout(0.3)
        self.fails = fails

    def forward(self, weights: RNNWeights) -> Tensor:
        if self.fails and self.training and self.trainer.global_rank == 1:
            raise RuntimeError("this process fails")
        scale = torch.rand(()) + np.random.rand() + random.random()  # noqa: NPY002
        return self.dropout(self.linear(weights.flat)) * scale + torch.randn(self.embedding_dim)


class Interrupt(Callback):
    """Sends this process a signal, at the moment that ``INTERRUPT`` names.

    It is "moment step signal rank"; ``write n`` means the n-th file that is being written, ``log``
    just before values are logged. Besides signals there are TWICE (Ctrl-C), GROUP (Ctrl-C, to all
    processes) and LIMIT (the disk is full).
    """

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self.moment, step, self.what, rank = os.environ.get("INTERRUPT", NEVER).split()
        self.step = int(step)
        if trainer.global_rank != int(rank):
            self.moment = "no"
        if self.moment == "write":
            sync, files = os.fsync, [0]

            def fsync(handle: int) -> None:
                if os.readlink(f"/proc/self/fd/{handle}").endswith(".partial"):
                    files[0] += 1
                    if files[0] == self.step:
                        self._act()
                sync(handle)

            os.fsync = fsync
        if self.moment == "log":
            log_metrics = trainer.logger.log_metrics

            def act_and_log(*metrics: Any, **more: Any) -> None:
                self.at("log", trainer)
                log_metrics(*metrics, **more)

            trainer.logger.log_metrics = act_and_log

    def _act(self) -> None:
        if self.what == "LIMIT":
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        elif self.what == "GROUP":
            os.killpg(0, signal.SIGINT)
        elif self.what == "TWICE":
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        else:
            os.kill(os.getpid(), signal.Signals[self.what])

    def at(self, moment: str, trainer: Any) -> None:
        checking = trainer.sanity_checking and moment != "sanity"
        if self.moment == moment and trainer.global_step == self.step and not checking:
            self._act()


def hook(moment: str) -> Any:
    return lambda self, trainer, *rest: self.at(moment, trainer)


HOOKS = {
    "on_sanity_check_start": "sanity",
    "on_train_start": "start",
    "on_train_batch_start": "batch",
    "on_before_optimizer_step": "backward",
    "on_train_batch_end": "batch_end",
    "on_validation_batch_start": "validation",
    "on_validation_end": "validated",
    "on_train_epoch_end": "epoch",
    "on_train_end": "end",
    "on_fit_end": "saved",
}
for name, moment in HOOKS.items():
    setattr(Interrupt, name, hook(moment))


def fit(zoo: Path, folder: Path, model: list[str], *options: str) -> list[str]:
    """Return a command of 12 steps with a validation after every third."""
    settings = (
        "--data.batch_size 4 --data.steps_per_epoch 6 --data.eval_batch_size 7 "
        "--trainer.val_check_interval 3 --trainer.limit_val_batches 2 --trainer.max_steps 12 "
        "--trainer.log_every_n_steps 1 --trainer.accelerator cpu "
        "--trainer.enable_model_summary false --ckpt_path auto "
        f"--trainer.callbacks {HERE}.Interrupt"
    )
    place = ["fit", "--run", str(folder), "--data.zoo", str(zoo)]
    return [*place, *settings.split(), *model, "--model.encoder", f"{HERE}.Drawing", *options]


def log(folder: Path) -> Path:
    return folder.with_suffix(".log")


def carry_out(runs: list[dict[str, Any]]) -> list[list[int]]:
    """Carry out runs as ``run_all`` does, in a process of their own; return its statuses."""
    done = subprocess.run(
        [sys.executable, "-m", HERE],
        input=json.dumps(runs),
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=ENVIRONMENT,
        check=True,
        start_new_session=True,  # GROUP is for these processes only
    )
    statuses: list[list[int]] = json.loads(done.stdout.splitlines()[-1])
    return statuses


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Read every scalar of a run, with its steps."""
    events = EventAccumulator(str(folder / "logs"), {"scalars": 0}).Reload()
    tags = events.Tags()["scalars"]
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags}


def weights(folder: Path, word: str = "last") -> dict[str, Any]:
    """Read what a checkpoint holds of the model and of how far it came."""
    content = torch.load(folder / "checkpoints" / f"{word}.ckpt", weights_only=True)
    return {"step": content["global_step"], **content["state_dict"]}


def run_all(runs: list[dict[str, Any]]) -> None:
    """Carry out runs one after another; print the exit statuses of each one's processes.

    Each is ``{"args", "interrupt", "log"}`` and, if wanted, ``processes`` (started as ``torchrun``
    does), ``folders`` that each works in, and ``environment``.
    """
    import wsrl.studies.training.command  # noqa: F401 imported once for all

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # GROUP is for the runs
    statuses = []
    for run in runs:
        count, port = run.get("processes", 1), _free_port()
        pids = [_start(run, rank, count, port) for rank in range(count)]
        statuses.append([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids])
    print(json.dumps(statuses))


def _start(run: dict[str, Any], rank: int, count: int, port: int) -> int:
    from wsrl.cli import main

    if pid := os.fork():
        return pid
    status = 70
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        log = os.open(run["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ["INTERRUPT"] = run["interrupt"]
        os.environ.update(run.get("environment", {}))
        if count > 1:
            known = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "MASTER_PORT": port}
            known |= {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "TORCHELASTIC_RUN_ID": "run"}
            os.environ.update({name: str(value) for name, value in known.items()})
            os.environ["MASTER_ADDR"] = "127.0.0.1"
        if "folders" in run:  # what the processes of a run see as one folder need not be one
            os.chdir(run["folders"][rank])
        status = main(run["args"])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


if __name__ == "__main__":
    run_all(json.loads(sys.stdin.read()))
