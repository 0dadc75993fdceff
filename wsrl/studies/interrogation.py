"""Interrogate RNNs of a zoo: which strings tell them apart."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Generator, Tensor

from wsrl.analysis.interrogation import Interrogation, tell_apart
from wsrl.zoos import AnyZoo

RNNS = 20
"""RNNs that are drawn by default."""


def interrogate_zoo(
    zoo: AnyZoo,
    rows: Tensor,
    probes: int = 100,
    tolerance: float = 0.1,
    budget: int = 500_000,
    generator: Generator | None = None,
) -> tuple[dict[str, Any], Interrogation]:
    """Find the strings, drawn from those stored with them, that tell snapshots of a zoo apart.

    Returns:
        What was found as plain values, with the rows, runs and steps of the RNNs; and as it is.

    Raises:
        ValueError: for fewer than two RNNs, or a tolerance out of range.
    """
    picks, inputs = _draw_probes(zoo, rows, probes, generator or torch.Generator())
    found = tell_apart(zoo.read_weights(rows), inputs, tolerance, zoo.problem.output_kind, budget)
    names = ("row", "run", "step", "task")
    columns = (rows.tolist(), *(zoo.read(name, rows).tolist() for name in names[1:]))
    facts = {
        **found.to_dict(),
        "zoo": zoo.place,
        "rnns": [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)],
        "probes": [
            {"row": row, "sequence": sequence, "text": _text(zoo, probe)}
            for (row, sequence), probe in zip(picks.tolist(), inputs, strict=True)
        ],
    }
    return facts, found


def choose_rows(
    zoo: AnyZoo,
    generator: Generator,
    count: int | None = None,
    step: int | None = None,
    rows: Sequence[int] | None = None,
) -> Tensor:
    """Return the rows of the zoo to tell apart, ascending: ``rows``, or some that are drawn.

    They are drawn from the snapshots at a step, or each run's last.

    Raises:
        ValueError: for rows or a step that the zoo does not have.
    """
    if rows is not None:
        wrong = [row for row in rows if not 0 <= row < len(zoo)]
        if wrong:
            raise ValueError(f"the zoo at {zoo.place} has rows 0 to {len(zoo) - 1}, not {wrong[0]}")
        return torch.tensor(sorted(set(rows)))
    known = pd.DataFrame({name: zoo.read(name).numpy() for name in ("run", "step")})
    wanted = known.groupby("run").step.transform("max") if step is None else step
    chosen = torch.from_numpy(np.flatnonzero(known.step == wanted))
    if len(chosen) == 0:
        raise ValueError(f"the zoo has no snapshots at step {step}, but at {zoo.steps}")
    drawn = torch.randperm(len(chosen), generator=generator)
    return chosen[drawn[: count or RNNS].sort().values]


def _draw_probes(
    zoo: AnyZoo, rows: Tensor, count: int, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Draw different sequences from those stored with snapshots, all where there are fewer.

    Returns:
        Rows and indices of the sequences, ``(S, 2)``, and the RNN inputs ``(S, T, I)``.
    """
    stored = zoo.sequences_stored
    drawn = torch.randperm(len(rows) * stored, generator=generator)
    found: dict[bytes, tuple[Tensor, Tensor]] = {}
    for some in drawn.split(count):
        where = torch.stack([rows[some // stored], some % stored], 1)
        sequences, _ = zoo.read_sequences(where[:, 0], where[:, 1:])
        for pick, probe in zip(where, zoo.problem.encode(sequences)[:, 0], strict=True):
            found.setdefault(probe.numpy().tobytes(), (pick, probe))
        if len(found) >= count:
            break
    picks, inputs = zip(*list(found.values())[:count], strict=True)
    return torch.stack(picks), torch.stack(inputs)


def summarize(facts: dict[str, Any], found: Interrogation) -> str:
    """Return the result to read."""
    rnns, probes = facts["rnns"], facts["probes"]
    pairs = len(rnns) * (len(rnns) - 1) // 2
    kind = "total variation" if found.output_kind == "categorical" else "largest difference"
    fixed, one_by_one = found.noninteractive, found.interactive
    strategy = one_by_one.strategy
    rnn_names, probe_name = [f"row {rnn['row']}" for rnn in rnns], "probe {}".format
    used = sorted({n.query for n in strategy.nodes if n.query is not None} | set(fixed.queries))
    lines = [
        f"{len(rnns)} RNNs of {facts['zoo']}, {len(probes)} probes, "
        f"tolerance {found.tolerance:g} ({kind})",
        f"told apart: {pairs - len(found.alike)} of {pairs} pairs",
    ]
    groups = (", ".join(rnn_names[rnn] for rnn in group) for group in found.groups)
    lines += [
        *(f"  alike on all probes: {group}" for group in groups),
        f"fixed in advance: {fixed.upper} probes (at least {fixed.lower}): "
        f"{', '.join(map(probe_name, fixed.queries)) or 'none'}",
        f"one by one: {one_by_one.upper} probes (at least {one_by_one.lower}) in the worst case, "
        f"{strategy.expected:.2f} on average",
        "probes:",
    ]
    for index in used:
        place = "(row {row}, sequence {sequence})  ".format(**probes[index])
        lines.append(f"  probe {index} {place}{probes[index]['text'] or ''}".rstrip())
    tree = strategy.render(probe_name, rnn_names.__getitem__)
    return "\n".join([*lines, "strategy:", tree])


def _text(zoo: AnyZoo, probe: Tensor) -> str | None:
    """Return a sequence of tokens to read, where a probe ``(T, I)`` is one."""
    if not bool(((probe == 0) | (probe == 1)).all() and (probe.sum(1) == 1).all()):
        return None
    tokens, names = probe.argmax(1).tolist(), zoo.problem.input_names()
    if not names:
        return " ".join(map(str, tokens))
    text = "".join(names[token] for token in tokens).removeprefix("^")
    return f"{text.rstrip('$')}$" if text.endswith("$") else text
