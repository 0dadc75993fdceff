"""The command ``wsrl``, whose processes wait at gates: ``python -m tests.gated_cli WORDS``.

The gates are in the folder ``GATES``. A process that Lightning has started waits at ``second``
before it does anything, and a build waits at ``work`` before its first update.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.waiting import Gate
from wsrl._process import tune_process
from wsrl.cli import main

LOOKS = "looks"
"""A file with a line for each time that Lightning looked whether its processes live."""


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

    from tests.zoos.building import hold_before_step

    hold_before_step(1, Gate(gates / "work"))
    gates.mkdir(parents=True, exist_ok=True)
    watch_lightning(gates / LOOKS)
    sys.exit(main())
