"""Dynamics of a whole zoo: fixed points, lines and cycles as tables, state spaces on a page."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from wsrl.analysis.dynamics import DynamicsSettings, find_portraits
from wsrl.jobs import Job, locked, open_engine, run_jobs
from wsrl.rnn import RNNWeights, state_size, visited_states
from wsrl.safe_files import naming
from wsrl.strict_json import to_json
from wsrl.studies.dynamics_tables import POINT, Record, labels_of, point_records, summary
from wsrl.studies.report.pages import write_page
from wsrl.studies.report.state_space import sections
from wsrl.studies.tables import write_table
from wsrl.zoos import AnyZoo, open_zoo
from wsrl.zoos.files import remove_leftovers, write_atomically
from wsrl.zoos.tensors import read_metadata, read_tensors, write_tensors

TOGETHER = 2048
"""Numbers of the states of the RNNs of a part, which are analysed together."""


@dataclass(frozen=True)
class Asked:
    """What is looked for.

    Attributes:
        zoo: the folder, or folders.
        settings: how dynamics are analysed.
        input: the constant input, ``I`` numbers; zeros by default.
        sequences: stored sequences of each RNN that it passes through, to visit states.
        seed: of the sequences and states that are drawn.
    """

    zoo: str | list[str]
    settings: DynamicsSettings
    input: list[float] | None = None
    sequences: int = 8
    seed: int = 0


def study(
    asked: Asked,
    out: str | Path | None = None,
    rows: Sequence[int] | None = None,
    step: int | None = None,
    drawn: int = 12,
    components: int = 2,
    suffix: str = ".csv",
    workers: int = 1,
    quiet: bool = False,
) -> pd.DataFrame:
    """Analyse the dynamics of a zoo's RNNs.

    The folder ``out`` gets ``dynamics`` and ``points``, tables of RNNs and of their points;
    ``states.safetensors``, where these points are; ``asked.json``; and ``dynamics.html``. What is
    done is kept there until all is: the same call goes on after an interruption, if the zoo is
    still the same.

    Args:
        asked: what is looked for.
        out: the folder.
        rows: these snapshots; all by default.
        step: those at this training step.
        drawn: RNNs whose state space is drawn.
        components: principal components in which they are, 2 or 3.
        suffix: of the tables, ``.csv`` or ``.parquet``.
        workers: processes.
        quiet: show no progress.

    Returns:
        The table of RNNs.

    Raises:
        ZooError: where there is no readable zoo.
        ValueError: for rows, steps or inputs that the zoo does not have.
    """
    zoo = open_zoo(asked.zoo)
    chosen = _rows(zoo, rows, step)
    if asked.input is not None and len(asked.input) != zoo.interface.input_size:
        wanted, given = zoo.interface.input_size, len(asked.input)
        raise ValueError(f"the RNNs have {wanted} inputs, not {given}: give a number for each")
    pictured = chosen[torch.linspace(0, len(chosen) - 1, min(drawn, len(chosen))).round().long()]
    with ExitStack() as held:
        if out is None:
            folder = Path(held.enter_context(tempfile.TemporaryDirectory()))
        else:
            folder = Path(out)
            folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(folder)
        lock = folder / "dynamics.lock"
        held.enter_context(locked(lock, _refuse))
        of = {"zoos": [each.identity for each in zoo.zoos], "rows": chosen.tolist()}
        said = to_json({**asdict(asked), **of, "drawn": pictured.tolist()})
        parts = folder / f"parts-{hashlib.sha256(said.encode()).hexdigest()[:8]}"
        jobs = [
            Job(
                f"part {index}",
                make_part,
                (asked, own.tolist(), pictured.tolist(), parts / f"{index}.safetensors"),
                done=parts / f"{index}.safetensors",
                kind="RNNs",
                size=len(own),
            )
            for index, own in enumerate(_parts(zoo, chosen))
        ]
        with open_engine(workers, None, lock, preload=(make_part.__module__,)) as engine:
            failed = run_jobs(jobs, engine, quiet=quiet)
        for error in failed.values():
            raise error
        found = [job.done for job in jobs if job.done is not None]
        table = _assemble(zoo, found, folder, suffix, said, components)
        shutil.rmtree(parts, ignore_errors=True)
    return table


def _refuse(holder: str) -> None:
    raise ValueError(f"{holder} analyses dynamics into the same folder: wait for it or stop it")


def _rows(zoo: AnyZoo, rows: Sequence[int] | None, step: int | None) -> Tensor:
    if rows is not None:
        if wrong := [row for row in rows if not 0 <= row < len(zoo)]:
            raise ValueError(f"the zoo at {zoo.place} has rows 0 to {len(zoo) - 1}, not {wrong[0]}")
        return torch.tensor(sorted(set(rows)))
    chosen = torch.arange(len(zoo))
    chosen = chosen if step is None else chosen[zoo.read("step") == step]
    if not len(chosen):
        raise ValueError(f"the zoo has no snapshots at step {step}, but at {zoo.steps}")
    return chosen


def _parts(zoo: AnyZoo, rows: Tensor) -> Iterator[Tensor]:
    """Yield the rows of parts, each of RNNs of one spec."""
    specs = zoo.spec_of(rows)
    for spec in dict.fromkeys(specs):
        own = rows[torch.tensor([other == spec for other in specs])]
        yield from own.split(max(4, min(64, TOGETHER // state_size(spec))))


def make_part(asked: Asked, rows: list[int], pictured: list[int], path: Path) -> None:
    """Analyse RNNs of one spec, and write what was found to a file."""
    zoo, at = open_zoo(asked.zoo), torch.tensor(rows)
    weights, states = read_visited(zoo, at, asked)
    inputs = None
    if asked.input is not None:
        inputs = torch.tensor(asked.input, dtype=torch.float64).expand(len(rows), -1)
    portraits = find_portraits(weights, states, inputs, asked.settings)
    tensors = {
        "states": torch.cat([found.states for found in portraits]),
        "eigenvalues": torch.view_as_real(torch.cat([found.eigenvalues for found in portraits])),
    }
    for row, found, own in zip(rows, portraits, states, strict=True):
        if row in pictured:
            tensors[f"{row}.visited"] = own.double()
            tensors |= {f"{row}.line.{i}": line.states for i, line in enumerate(found.lines)}
            tensors |= {f"{row}.cycle.{i}": cycle.states for i, cycle in enumerate(found.cycles)}
    about = labels_of(zoo, at)
    content = {
        "rnns": [label | summary(found) for label, found in zip(about, portraits, strict=True)],
        "points": [
            {"row": row, **point}
            for row, found in zip(rows, portraits, strict=True)
            for point in point_records(found)
        ],
    }
    write_tensors(path, tensors, content)


def read_visited(zoo: AnyZoo, rows: Tensor, asked: Asked) -> tuple[RNNWeights, Tensor]:
    """Return RNNs of one spec, and states that they pass on stored sequences, ``(B, K, n)``."""
    generator = torch.Generator().manual_seed(asked.seed)
    stored = zoo.sequences_stored
    picks = torch.rand(len(rows), stored, generator=generator).argsort(1)[:, : asked.sequences]
    sequences, _ = zoo.read_sequences(rows, picks)
    weights = zoo.read_weights(rows)
    if not isinstance(weights, RNNWeights):
        raise ValueError(
            "dynamics are found of RNNs whose weights are known, of one spec at a time"
        )
    inputs = zoo.problem.encode(sequences)
    return weights, visited_states(weights, inputs, asked.settings.starts, generator)


def _assemble(
    zoo: AnyZoo, parts: Sequence[Path], out: Path, suffix: str, said: str, components: int
) -> pd.DataFrame:
    """Join what parts hold, and write it; return the table of RNNs in the order of the zoo."""
    known, tensors = [read_metadata(part) for part in parts], [read_tensors(part) for part in parts]
    rnns = pd.DataFrame([row for part in known for row in part["rnns"]])
    points = pd.DataFrame([p for part in known for p in part["points"]], columns=["row", *POINT])
    order = rnns.row.argsort(kind="stable")
    rnns = rnns.iloc[order].reset_index(drop=True)
    write_table(out / f"dynamics{suffix}", rnns)
    write_table(out / f"points{suffix}", points)
    write_tensors(out / "states.safetensors", _states(known, tensors), {})
    write_atomically(out / "asked.json", f"{said}\n".encode())
    pictures = sections(known, tensors, components)
    place = f"{len(rnns)} RNNs of {zoo.place}"
    with naming(out / "dynamics.html"):
        write_page(out / "dynamics.html", "Dynamics", [place], pictures)
    return rnns


def _states(known: Sequence[Record], tensors: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return of all points the ``row``, ``point``, ``states (P, n)`` and ``eigenvalues (P, n, 2)``.

    Of RNNs with different numbers of states, those of ``n`` come by names like ``{n}.states``.
    """
    found: dict[int, list[dict[str, Tensor]]] = {}
    for part, held in zip(known, tensors, strict=True):
        numbers = {name: torch.tensor([p[name] for p in part["points"]]) for name in _PLACES}
        kept = {name: held[name] for name in ("states", "eigenvalues")}
        found.setdefault(held["states"].shape[1], []).append(
            {name: number.long() for name, number in numbers.items()} | kept
        )
    return {
        f"{size}.{name}" if len(found) > 1 else name: torch.cat([own[name] for own in parts])
        for size, parts in found.items()
        for name in parts[0]
    }


_PLACES = ("row", "point")
