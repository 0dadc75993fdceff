"""The command ``wsrl``, whose processes wait at gates: ``python -m tests.gated_cli WORDS``.

The gates are in the folder ``GATES``. A process that Lightning has started waits at ``second``
before it does anything, and a build waits at ``work`` before its first update. Where there is a
file ``looks``, each look that Lightning takes at its processes is noted there.
"""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path

from tests.waiting import Gate
from wsrl._process import tune_process
from wsrl.cli import main

LOOKS = "looks"


def hold_before_step(step: int, gate: Gate) -> None:
    """Have this process wait at a gate before its ``step``-th update of any group, from 1."""
    from wsrl.zoos import group

    train, count = group.Group._train_step, itertools.count(1)

    def training(members: group.Group) -> None:
        if next(count) == step:
            gate.wait()
        train(members)

    group.Group._train_step = training  # type: ignore[method-assign]


def watch_lightning(looks: Path) -> None:
    """Have Lightning look all the time, rather than every five seconds, and note that it did."""
    from lightning.fabric.strategies.launchers.subprocess_script import _ChildProcessObserver

    look = _ChildProcessObserver._run

    def looking(observer: _ChildProcessObserver) -> bool:
        ended = look(observer)
        with looks.open("a") as file:
            file.write("for the last time\n" if ended else "looked\n")
        return ended

    _ChildProcessObserver._run = looking  # type: ignore[method-assign]
    _ChildProcessObserver.__init__.__defaults__ = (0.05,)  # type: ignore[misc]


if __name__ == "__main__":
    tune_process()  # first, as the command does
    gates = Path(os.environ["GATES"])
    if os.environ.get("LOCAL_RANK", "0") != "0":
        Gate(gates / "second").wait()
    elif (gates / LOOKS).exists():
        watch_lightning(gates / LOOKS)
    hold_before_step(1, Gate(gates / "work"))
    sys.exit(main())
