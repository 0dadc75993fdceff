"""``wsrl interrogate``: which strings tell the RNNs of a zoo apart."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsrl.strict_json import to_json
from wsrl.studies.options import seed, whole
from wsrl.terminal import CommandParser

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from wsrl.analysis.interrogation import Interrogation
    from wsrl.zoos import Zoo

RNNS = 20

DESCRIPTION = """\
Find the fewest strings that tell the RNNs of a zoo apart by their answers: fixed in advance, and
one by one, each depending on the answers so far (the strategy is printed as a tree). The strings
are drawn from those that the zoo stores with these RNNs. A string tells two RNNs apart if, at any
step, their outputs differ by more than the tolerance: the total variation between their
distributions where outputs are categorical, else the largest absolute difference.

  wsrl interrogate zoos/small --rnns 20 --probes 100 --tolerance 0.2
  wsrl interrogate zoos/small --rows 0 5 9 --out interrogation.json"""


def interrogate_from_arguments(args: Sequence[str]) -> str:
    """Interrogate RNNs of a zoo as the command line says.

    Returns:
        What to print.

    Raises:
        ValueError: for a folder that is no zoo, rows or a step that it has not, fewer than two
            RNNs, or a tolerance out of range.
        OSError: where the file of the result cannot be written.
    """
    options = _parser().parse_args(args)
    _check(options)
    import torch

    from wsrl.analysis.interrogation import tell_apart
    from wsrl.rnn import RNNWeights
    from wsrl.zoos import open_zoo
    from wsrl.zoos.files import remove_leftovers, write_atomically

    zoo = open_zoo(options.zoo)
    generator = torch.Generator().manual_seed(options.seed)
    rows = choose_rows(zoo, options, generator)
    picks, probes = draw_probes(zoo, rows, options.probes, generator)
    weights = RNNWeights(zoo.read("weights", rows), zoo.spec)
    kind = zoo.problem.output_kind
    found = tell_apart(weights, probes, options.tolerance, kind, options.budget)
    facts = describe(zoo, rows, picks, probes, found)
    if options.out is not None:
        out = Path(options.out)
        remove_leftovers(out.parent, out.name)
        write_atomically(out, (to_json(facts, indent=2) + "\n").encode())
    return to_json(facts, indent=2) if options.json else summarize(facts, found)


def choose_rows(zoo: Zoo, options: argparse.Namespace, generator: Generator) -> Tensor:
    """Return the rows of the zoo to tell apart, ascending, as the options say."""
    import torch

    if options.rows is not None:
        wrong = [row for row in options.rows if not 0 <= row < len(zoo)]
        if wrong:
            raise ValueError(f"the zoo at {zoo.path} has rows 0 to {len(zoo) - 1}, not {wrong[0]}")
        return torch.tensor(sorted(set(options.rows)))
    runs, steps = zoo.read("run"), zoo.read("step")
    if options.step is None:
        _, which = runs.unique(return_inverse=True)
        last = torch.full((int(which.max()) + 1,), -1).scatter_reduce(0, which, steps, "amax")
        rows = (steps == last[which]).nonzero().flatten()
    else:
        rows = (steps == options.step).nonzero().flatten()
        if len(rows) == 0:
            known = ", ".join(map(str, zoo.steps))
            raise ValueError(
                f"the zoo at {zoo.path} has no snapshots at step {options.step}, but at {known}"
            )
    if options.one_per_task:
        _, which = zoo.read("task", rows).unique(dim=0, return_inverse=True)
        firsts = {int(task): row for row, task in reversed(list(enumerate(which)))}
        rows = rows[sorted(firsts.values())]
    drawn = torch.randperm(len(rows), generator=generator)
    return rows[drawn[: options.rnns or RNNS].sort().values]


def draw_probes(zoo: Zoo, rows: Tensor, count: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Draw different sequences from those stored with snapshots.

    Args:
        zoo: the zoo.
        rows: ``(B,)``, the snapshots.
        count: how many; all, if there are fewer.
        generator: of the draw.

    Returns:
        Which they are, ``(S, 2)`` (a row and the sequence's index there), and the RNN inputs
        ``(S, T, I)``.
    """
    import torch

    stored = zoo.sequences_stored
    drawn = torch.randperm(len(rows) * stored, generator=generator)
    picks: list[Tensor] = []
    inputs: list[Tensor] = []
    seen: set[bytes] = set()
    for some in drawn.split(count):
        where = torch.stack([rows[some // stored], some % stored], 1)
        sequences, _ = zoo.read_sequences(where[:, 0], where[:, 1:])
        for pick, probe in zip(where, zoo.problem.encode(sequences)[:, 0], strict=True):
            if len(picks) < count and probe.numpy().tobytes() not in seen:
                seen.add(probe.numpy().tobytes())
                picks.append(pick)
                inputs.append(probe)
        if len(picks) == count:
            break
    return torch.stack(picks), torch.stack(inputs)


def describe(
    zoo: Zoo, rows: Tensor, picks: Tensor, probes: Tensor, found: Interrogation
) -> dict[str, Any]:
    """Return the result as plain values, with the rows, runs and steps of the RNNs."""
    columns = {name: zoo.read(name, rows).tolist() for name in ("run", "step", "task")}
    return {
        "zoo": str(zoo.path),
        "rnns": [
            {"row": row, "run": run, "step": step, "task": task}
            for row, run, step, task in zip(rows.tolist(), *columns.values(), strict=True)
        ],
        "probes": [
            {"row": row, "sequence": sequence, "text": _text(zoo, probe)}
            for (row, sequence), probe in zip(picks.tolist(), probes, strict=True)
        ],
        **{name: v for name, v in found.to_dict().items() if name not in ("rnns", "probes")},
    }


def summarize(facts: dict[str, Any], found: Interrogation) -> str:
    """Return the result to read."""
    rnns, probes = facts["rnns"], facts["probes"]
    pairs = len(rnns) * (len(rnns) - 1) // 2
    kind = "total variation" if found.output_kind == "categorical" else "largest difference"
    fixed, adaptive = found.noninteractive, found.interactive
    strategy = adaptive.strategy

    def name_rnn(index: int) -> str:
        return f"row {rnns[index]['row']}"

    def name_probe(index: int) -> str:
        return f"probe {index}"

    def name_group(group: Sequence[int]) -> str:
        return ", ".join(name_rnn(index) for index in group)

    def spell(index: int) -> str:
        probe = probes[index]
        text = f"  {probe['text']}" if probe["text"] else ""
        return f"  {name_probe(index)} (row {probe['row']}, sequence {probe['sequence']}){text}"

    used = sorted({n.query for n in strategy.nodes if n.query is not None} | set(fixed.queries))
    return "\n".join(
        [
            f"{len(rnns)} RNNs of {facts['zoo']}, {len(probes)} probes, "
            f"tolerance {found.tolerance:g} ({kind})",
            f"told apart: {pairs - len(found.alike)} of {pairs} pairs",
            *(f"  alike on all probes: {name_group(group)}" for group in found.groups),
            f"fixed in advance: {_counted(fixed.lower, fixed.upper)}: "
            f"{', '.join(map(name_probe, fixed.queries)) or 'none'}",
            f"one by one: {_counted(adaptive.lower, adaptive.upper)} in the worst case, "
            f"{strategy.expected:.2f} on average",
            "probes:" if used else "probes: none",
            *map(spell, used),
            "strategy:",
            strategy.render(name_probe, name_rnn),
        ]
    )


def _counted(lower: int, upper: int) -> str:
    probes = f"{upper} probe{'' if upper == 1 else 's'}"
    return f"{probes} (the fewest)" if lower == upper else f"{probes} (at least {lower})"


def _text(zoo: Zoo, probe: Tensor) -> str | None:
    """Return a sequence of tokens to read, where a probe ``(T, I)`` is one."""
    tokens = probe.argmax(1).tolist()
    if not bool(((probe == 0) | (probe == 1)).all() and (probe.sum(1) == 1).all()):
        return None
    if zoo.manifest.problem != "formal_languages":
        return " ".join(map(str, tokens))
    letters = "".join(chr(ord("a") + token) for token in range(probe.shape[1] - 2)) + "^$"
    text = "".join(letters[token] for token in tokens[1:])  # after BOS, the last but one
    return f"{text.rstrip('$')}$" if text.endswith("$") else text


def _check(options: argparse.Namespace) -> None:
    drawn = [options.rnns, options.step, options.one_per_task or None]
    if options.rows is not None and drawn != [None] * 3:
        raise argparse.ArgumentError(
            None, "--rows says which RNNs: leave out --rnns, --step and --one_per_task"
        )
    if options.out is not None:
        out = Path(options.out)
        if out.is_dir() or not out.absolute().parent.is_dir():
            raise ValueError(f"--out must be a file in a folder that exists, not {options.out!r}")


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="wsrl interrogate",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("zoo", metavar="ZOO", help="the zoo's folder")
    add("--rnns", type=whole(2), metavar="N", help=f"draw so many RNNs (default: {RNNS})")
    add("--step", type=whole(), help="of the snapshots at this step (default: each run's last)")
    add("--one_per_task", action="store_true", help="of every task at most one")
    add("--rows", type=whole(), nargs="+", metavar="ROW", help="these snapshots of the zoo instead")
    add(
        "--probes",
        type=whole(1),
        default=100,
        metavar="N",
        help="strings drawn (default: 100)",
    )
    add("--tolerance", type=float, default=0.1, help="how far answers may be apart (default: 0.1)")
    add("--seed", type=seed, default=0, help="of what is drawn (default: 0)")
    add(
        "--budget",
        type=whole(),
        default=500_000,
        help="work of a search (default: 500000)",
    )
    add("--json", action="store_true", help="print JSON for scripts")
    add("--out", metavar="FILE", help="write the JSON to a file as well")
    return parser
