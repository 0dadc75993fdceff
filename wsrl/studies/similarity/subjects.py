"""Which RNNs are compared, and on which inputs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Generator, Tensor

from wsrl.analysis.readouts import draw_probes
from wsrl.hints import Hints
from wsrl.problems import InputKind
from wsrl.rnn import RNNs, RNNSpec, concatenate
from wsrl.studies.embeddings import SPEC_COLUMNS
from wsrl.studies.interrogation import choose_rows
from wsrl.zoos import AnyZoo, open_zoo, zoo_folders
from wsrl.zoos.packing.models import read_model

RNNS, SEQUENCES, STEPS = 50, 32, 50
"""RNNs drawn from a zoo; sequences; steps of random ones where no zoo says how long."""

_DRAWN_AS = {"tokens": "softmax", "range": "sigmoid", "real": "identity"}


@dataclass(frozen=True)
class Subjects:
    """RNNs with inputs to compare them on.

    Attributes:
        rnns: ``B`` RNNs.
        table: a row for each: name, source, and what a zoo knows of it.
        inputs: ``(S, T, I)``, of a zoo's task, or random.
        counts: ``(S, T)``, which steps count.
        outside: random inputs unlike those of training, ``(S, 2 T, I)``; ``None`` where all are.
        output_kind: ``categorical`` or ``real``.
    """

    rnns: RNNs
    table: pd.DataFrame
    inputs: Tensor
    counts: Tensor
    outside: Tensor | None
    output_kind: str

    @property
    def lengths(self) -> Tensor:
        """Steps of each sequence, ``(S,)``: a trial lasts until its last step that counts."""
        steps = torch.arange(1, self.counts.shape[1] + 1)
        return (steps * (self.counts > 0)).amax(1).clamp(min=1)


def find_subjects(
    sources: Sequence[str | Path],
    generator: Generator,
    count: int | None = None,
    step: int | None = None,
    rows: Sequence[int] | None = None,
    sequences: int = SEQUENCES,
    hints: Hints | None = None,
    say: Callable[[str], object] = lambda text: None,
) -> Subjects:
    """Read RNNs of zoos (folders) and of files, and draw inputs.

    These are of the task of the first zoo: new trials, or sequences stored with the RNNs that were
    drawn. Without a zoo they are random numbers of a normal distribution.

    Args:
        sources: folders of zoos and files of RNNs.
        generator: of all draws.
        count: RNNs drawn from each zoo; 50 by default.
        step: of the snapshots; by default each run's last.
        rows: these snapshots of each zoo instead.
        sequences: how many.
        hints: of files.
        say: is told what was assumed of files.

    Raises:
        ValueError: for fewer than two RNNs, a source that is given twice, or RNNs of different
            inputs, outputs or kinds of outputs.
    """
    zoo_folders([*sources])  # refuses what is given twice, also files
    found: list[tuple[str, RNNs, pd.DataFrame]] = []
    zoos: list[tuple[AnyZoo, Tensor]] = []
    for source in map(str, sources):
        if Path(source).is_dir():
            zoo = open_zoo(source)
            chosen = choose_rows(zoo, generator, count or RNNS, step, rows)
            zoos.append((zoo, chosen))
            found.append((source, zoo.read_weights(chosen), _facts(source, zoo, chosen)))
        else:
            weights, notes = read_model(source, (hints or Hints()).beside(source))
            if notes:
                say(f"{source}: {'; '.join(notes)}")
            about = {"name": source, "source": source, **_spec(weights.spec)}
            found.append((source, weights.to("cpu", torch.float32), pd.DataFrame([about])))
    table = pd.concat([facts for _, _, facts in found], ignore_index=True)
    if len(table) < 2:
        raise ValueError(f"there must be at least two RNNs to compare, not {len(table)}")
    first, interface = found[0][0], found[0][1].interface
    for source, rnns, _ in found:
        if rnns.interface != interface:
            raise ValueError(
                f"the RNNs of {first} have {_sizes(found[0][1])}, those of {source} "
                f"{_sizes(rnns)}: only RNNs of the same inputs and outputs are compared"
            )
    if len(kinds := sorted({zoo.problem.output_kind for zoo, _ in zoos})) > 1:
        raise ValueError(
            f"the outputs of some zoos are {kinds[0]}, those of others {kinds[1]}: only RNNs whose "
            "outputs are of one kind are compared"
        )
    rnns = concatenate([rnns for _, rnns, _ in found])
    if not zoos:
        drawn = torch.randn(sequences, STEPS, interface.input_size, generator=generator)
        return Subjects(rnns, table, drawn, torch.ones(drawn.shape[:2]), None, "real")
    zoo, chosen = zoos[0]
    inputs, counts = _of_zoo(zoo, chosen, sequences, generator)
    shape = (len(inputs), 2 * inputs.shape[1], inputs.shape[2])
    outside = random_inputs(zoo.problem.input_kind, shape, generator)
    return Subjects(rnns, table, inputs, counts, outside, zoo.problem.output_kind)


def runs_of(table: pd.DataFrame) -> list[int]:
    """Return a number for each RNN of a table of ``Subjects``, equal for snapshots of one run."""
    names = ["source", "run"]
    known = table.reindex(columns=names).groupby(names).ngroup().tolist()
    return [run if run >= 0 else -1 - place for place, run in enumerate(known)]  # files have none


def random_inputs(
    kind: InputKind | None, shape: tuple[int, int, int], generator: Generator
) -> Tensor:
    """Draw inputs ``(S, T, I)`` of a kind: tokens, numbers of a range, or any (normal ones)."""
    values = "tokens" if kind is None else kind.values
    drawn = draw_probes(*shape, _DRAWN_AS[values], generator)
    return drawn if kind is None or values != "range" else kind.low + (kind.high - kind.low) * drawn


def _of_zoo(zoo: AnyZoo, rows: Tensor, count: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Return inputs of a zoo's task, and which steps count."""
    drawn = zoo.problem.new_sequences(zoo.read("task", rows), count, generator)
    if drawn is not None:
        return drawn
    picks = torch.randperm(len(rows) * zoo.sequences_stored, generator=generator)[:count]
    own = rows[picks // zoo.sequences_stored], picks[:, None] % zoo.sequences_stored
    inputs = zoo.problem.encode(zoo.read_sequences(*own)[0])[:, 0]
    return inputs, torch.ones(inputs.shape[:2])


def _facts(source: str, zoo: AnyZoo, rows: Tensor) -> pd.DataFrame:
    known = {name: zoo.read(name, rows).tolist() for name in ("run", "step", "task", "performance")}
    known["task"] = [zoo.problem.task_name(task) for task in known["task"]]
    specs = pd.DataFrame([_spec(spec) for spec in zoo.spec_of(rows)])
    names = {"name": zoo.names(rows), "source": source, "row": rows.tolist()}
    return pd.DataFrame({**names, **known}).join(specs)


def _spec(spec: RNNSpec) -> dict[str, object]:
    return {name: getattr(spec, name) for name in SPEC_COLUMNS}


def _sizes(rnns: RNNs) -> str:
    sizes = rnns.interface
    return f"{sizes.input_size} inputs and {sizes.output_size} outputs"
