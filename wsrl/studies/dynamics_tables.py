"""What is said of the dynamics of RNNs, as rows of tables."""

import math
from typing import Any

import torch
from torch import Tensor

from wsrl.analysis.dynamics import Portrait
from wsrl.zoos import AnyZoo

Record = dict[str, Any]

POINT = (
    *("point", "kind", "speed", "unstable_directions", "time_constant", "angle", "line"),
    *("share", "leads_to"),
)
"""Columns of the table of points."""


def labels_of(zoo: AnyZoo, rows: Tensor) -> list[Record]:
    """Return what the zoo says of RNNs."""
    columns = [zoo.read(name, rows).tolist() for name in ("run", "step", "performance", "task")]
    facts = zip(rows.tolist(), zoo.names(rows), *columns, zoo.spec_of(rows), strict=True)
    return [
        {
            "row": row,
            "name": name,
            "run": run,
            "step": step,
            "task": zoo.problem.task_name(task),
            "performance": performance if math.isfinite(performance) else None,
            "cell": spec.cell,
            "hidden_size": spec.hidden_size,
        }
        for row, name, run, step, performance, task, spec in facts
    ]


def summary(found: Portrait) -> Record:
    """Return the dynamics of an RNN as the columns of the table; points on lines do not count.

    What does not exist is None.
    """
    alone = (found.line < 0).tolist()
    kinds = [kind for kind, free in zip(found.kinds, alone, strict=True) if free]
    stable = [p for p, kind in enumerate(found.kinds) if kind == "stable" and alone[p]]
    main = max(stable, key=lambda p: found.share("point", p), default=None)
    speeds = zip(found.residual.tolist(), found.kinds, alone, strict=True)
    slow = [speed for speed, kind, free in speeds if kind == "slow" and free]
    growing = found.unstable_directions[torch.tensor(alone, dtype=torch.bool) & found.fixed]
    longest = max((line.length for line in found.lines), default=None)
    cycle = max(found.cycles, key=lambda one: one.size, default=None)
    return {
        "n_fixed": len(kinds) - kinds.count("slow"),
        "n_stable": kinds.count("stable"),
        "n_unstable": kinds.count("unstable"),
        "n_slow": kinds.count("slow"),
        "max_unstable_directions": int(growing.max()) if len(growing) else 0,
        "dominant_time_constant": None if main is None else float(found.time_constants[main, 0]),
        "slowest_speed": min(slow, default=None),
        "has_line": any(not line.closed for line in found.lines),
        "has_ring": any(line.closed for line in found.lines),
        "line_length": None if longest is None else longest / found.range,
        "has_cycle": bool(found.cycles),
        "n_cycles": len(found.cycles),
        "period": None if cycle is None else cycle.period,
        "n_attractors": len(stable) + len(found.lines) + len(found.cycles),
        "n_attractors_reached": len({end for end in found.ends if end is not None}),
        "settled": sum(end is not None for end in found.ends) / len(found.ends),
    }


def point_records(found: Portrait) -> list[Record]:
    """Return the points of an RNN, as rows of their table."""
    numbers = zip(
        found.kinds,
        found.residual.tolist(),
        found.unstable_directions.tolist(),
        found.time_constants[:, 0].tolist(),
        found.eigenvalues[:, 0].angle().abs().tolist(),
        found.line.tolist(),
        strict=True,
    )
    rows = (
        (
            point,
            kind,
            speed,
            growing,
            constant if math.isfinite(constant) else None,
            angle,
            line if line >= 0 else None,
            found.share("point", point),
            "; ".join(f"{c.kind} {c.which}" for c in found.connections if c.point == point),
        )
        for point, (kind, speed, growing, constant, angle, line) in enumerate(numbers)
    )
    return [dict(zip(POINT, row, strict=True)) for row in rows]
