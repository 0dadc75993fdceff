"""``wsrl interrogate``, ``dynamics`` and ``memory analyze``: what RNNs compute, and how."""

from __future__ import annotations

from argparse import ArgumentError
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wsrl.cli.commands import command
from wsrl.cli.parsing import Count, Index, Options, OutFile, Seed, write
from wsrl.strict_json import to_json
from wsrl.terminal import note

if TYPE_CHECKING:
    from wsrl.analysis.dynamics import DynamicsSettings
    from wsrl.analysis.memory_analysis import MemorySettings
    from wsrl.hints import Hints


@command("interrogate")
def interrogate(
    zoo: str,
    *,
    rnns: Count | None = None,
    step: Index | None = None,
    rows: list[Index] | None = None,
    probes: Count = 100,
    tolerance: float = 0.1,
    seed: Seed = 0,
    budget: Index = 500_000,
    json: bool = False,
    out: OutFile | None = None,
) -> str:
    """Find the strings that tell the RNNs of a zoo apart.

    Finds the fewest strings that tell RNNs apart by their answers: fixed in advance, and one by
    one, each depending on the answers so far (the strategy is printed as a tree). The strings are
    drawn from those that the zoo stores with these RNNs. A string tells two RNNs apart if, at any
    step, their outputs differ by more than the tolerance: the total variation between their
    distributions where outputs are categorical, else the largest absolute difference.

      wsrl interrogate zoos/small --rnns 20 --probes 100 --tolerance 0.2
      wsrl interrogate zoos/small --rows 0 5 9 --out interrogation.json

    Args:
        zoo: the zoo's folder, or a folder of zoos
        rnns: draw so many RNNs (default: 20)
        step: draw from the snapshots at this step (default: each run's last)
        rows: these snapshots of the zoo instead
        probes: strings drawn
        tolerance: how far answers may be apart
        seed: of the draws
        budget: work of a search
        json: print JSON for scripts
        out: write the JSON to this file as well
    """
    if rows is not None and (rnns, step) != (None, None):
        raise ArgumentError(None, "--rows says which RNNs: leave out --rnns and --step")
    import torch

    from wsrl.studies.interrogation import choose_rows, interrogate_zoo, summarize
    from wsrl.zoos import open_zoo

    opened, generator = open_zoo(zoo), torch.Generator().manual_seed(seed)
    chosen = choose_rows(opened, generator, rnns, step, rows)
    facts, found = interrogate_zoo(opened, chosen, probes, tolerance, budget, generator)
    text = to_json(facts, indent=2)
    if out is not None:
        write(out, text)
    return text if json else summarize(facts, found)


@command("dynamics", goes_on=True, settings=Options("wsrl.analysis.dynamics:DynamicsSettings"))
def dynamics(
    zoo: list[str],
    *,
    settings: DynamicsSettings,
    out: str | None = None,
    input: list[float] | None = None,
    step: Index | None = None,
    rows: list[Index] | None = None,
    sequences: Count = 8,
    seed: Seed = 0,
    drawn: Index = 12,
    components: Literal[2, 3] = 2,
    parquet: bool = False,
    workers: Count = 1,
    json: bool = False,
) -> str:
    """Find fixed points, slow points, line attractors and limit cycles of a zoo's RNNs.

    Under a constant input; with their stability, time constants, and what leads where. The table
    has a row for each snapshot; --out gets it as a file, with a table of all points, where these
    are, and a page that draws state spaces. Run the same command again to go on after an
    interruption. The columns become targets of prediction by wsrl zoo label.

      wsrl dynamics zoos/flip_flop --out flip_flop_dynamics
      wsrl dynamics zoos/small --step 3000 --input 0 0 1 0 0 0 --hold 200 --json
      wsrl zoo label zoos/flip_flop --table flip_flop_dynamics/dynamics.csv

    Args:
        zoo: the zoo's folder, a folder of zoos, or several
        settings: how dynamics are analysed
        out: folder for dynamics.csv, points.csv, states.safetensors and dynamics.html
        input: the constant input, a number for each (default: zeros)
        step: the snapshots at this step (default: all)
        rows: these snapshots
        sequences: stored sequences on which an RNN visits states
        seed: of the sequences and states that are drawn
        drawn: RNNs whose state space is drawn
        components: principal components in which it is drawn, 2 or 3
        parquet: write the tables as Parquet
        workers: processes
        json: print JSON for scripts
    """
    if rows is not None and step is not None:
        raise ArgumentError(None, "--rows says which snapshots: leave out --step")
    from wsrl.studies.dynamics import Asked, study
    from wsrl.studies.tables import aligned

    asked = Asked(zoo, settings, input, sequences, seed)
    suffix = ".parquet" if parquet else ".csv"
    found = study(asked, out, rows, step, drawn, components, suffix, workers, quiet=json)
    plain = found.astype(object).where(found.notna(), None)
    records = [
        {str(name): value for name, value in row.items()} for row in plain.to_dict("records")
    ]
    if json:
        return to_json(records, indent=2)
    names = ["row", "run", "step", "performance", "n_stable", "n_unstable", "n_slow"]
    names += ["max_unstable_directions", "dominant_time_constant", "has_line", "has_ring"]
    names += ["period", "n_attractors_reached", "settled"]
    written = [] if out is None else [f"written: {Path(out) / 'dynamics.html'}"]
    return "\n".join([aligned(names, records), *written])


@command(
    "memory analyze",
    settings=Options("wsrl.analysis.memory_analysis:MemorySettings"),
    hints=Options("wsrl.hints:Hints"),
)
def analyze(
    source: str,
    *,
    settings: MemorySettings,
    hints: Hints,
    row: int | None = None,
    json: bool = False,
    out: str | None = None,
    task: str | None = None,
    steps: int | None = None,
    dims: int | None = None,
) -> str:
    """Look for variable memories, and say whether to trust them.

    Looks for the variables of a task of variable binding in the hidden states of RNNs: how the task
    moves them (Phi), whether the RNN does the same in some basis, linearised at a fixed point or
    along its trajectories, how well the variables are read there, whether outputs follow when their
    contents are changed, and whether to trust all that.

      wsrl memory analyze zoos/binding                       every snapshot: a table
      wsrl memory analyze zoos/binding --row 12 --out look   one of them, with pictures
      wsrl memory analyze model.pt --task repeat_copy --steps 8 --dims 8 --cell tanh --out look

    Args:
        source: a zoo's folder, or the file of one RNN
        settings: how RNNs are analysed
        hints: of a file
        row: one snapshot of a zoo (its row in the table)
        json: print one JSON object
        out: folder for memory.json, memory.csv, and pictures of one RNN
        task: of a file: a name (repeat_copy, compose_copy, ...) or an id a,b,c
        steps: of a file: s, vectors of input
        dims: of a file: d, numbers of a vector
    """
    is_zoo = Path(source).is_dir()
    if is_zoo and ((task, steps, dims) != (None,) * 3 or any(vars(hints).values())):
        raise ArgumentError(None, "a zoo says its RNNs: no --task, --steps, --dims, --cell")
    if not is_zoo and (row is not None or None in (task, steps, dims)):
        raise ArgumentError(None, "for one RNN give --task, --steps, --dims, and no --row")
    from wsrl.problems.binding_tasks import BindingTask
    from wsrl.studies.memory_study import study

    wanted = None if task is None else BindingTask.parse(task, steps or 0, dims or 0)
    content, files = study(source, settings, row, out, wanted, hints, lambda text: note([text]))
    if json:
        return to_json(content, indent=2)
    return _table(content["snapshots"]) if is_zoo and row is None else _phrased(content, files)


def _table(records: Sequence[dict[str, Any]]) -> str:
    from wsrl.studies.tables import aligned

    names = ["row", "run", "step", "task", "performance", "rank_found", "rank_expected"]
    names += ["spectral_error", "explained_variance", "mean_variables_read", "flip_right"]
    names += ["along", "verdict"]
    counts = Counter(one["verdict"] for one in records).most_common()
    summary = ", ".join(f"{count} {verdict}" for verdict, count in counts)
    return f"{aligned(names, records)}\n{len(records)} snapshots: {summary}"


def _phrased(about: dict[str, Any], files: Sequence[Path]) -> str:
    from wsrl.studies.tables import listed, shown

    basis = f"{about['grounding']}, " + "{dual}, moduli {moduli}".format(**about["settings"])
    lines = {**about, "basis": basis}
    lines["reasons"] = "; ".join(about["reasons"]) or "no rule is broken"
    lines["written"] = ", ".join(map(str, files)) or "no pictures (--out DIR)"
    left_out = ("settings", "grounding")
    return listed({k.replace("_", " "): shown(lines[k]) for k in lines if k not in left_out})
