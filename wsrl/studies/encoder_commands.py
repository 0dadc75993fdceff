"""``wsrl encoders``: what there is, or what was measured of some."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from wsrl.analysis.encoder_properties import HIDDEN_SIZES, EncoderProperties, measure_encoder
from wsrl.encoders import get_encoder
from wsrl.strict_json import to_json
from wsrl.studies.options import whole
from wsrl.studies.tables import PUBLISHED_SPEC, encoder_rows, print_table
from wsrl.terminal import CommandParser, say
from wsrl.zoos.files import remove_leftovers, write_atomically


def encoders_from_arguments(args: Sequence[str]) -> None:
    """List the registered encoders, or measure those named.

    Raises:
        ValueError: for an unknown encoder or device, or an option that belongs to the other use.
        FileNotFoundError: where the folder of ``--out`` is not there.
    """
    options = _parser().parse_args(args)
    if options.measure is None:
        for name in ("out", "hidden_sizes", "device"):
            if getattr(options, name) is not None:
                raise ValueError(f"--{name} is for what --measure finds; give --measure NAME")
        _list(options.json)
        return
    for name in options.measure:
        get_encoder(name)  # all of them before the first is measured
    out = None if options.out is None else Path(options.out)
    if out is not None and not out.parent.is_dir():
        raise FileNotFoundError(f"no folder {out.parent} to write {out.name} to (--out)")
    device = _device(options.device or "cpu")
    sizes = options.hidden_sizes or HIDDEN_SIZES
    found = {
        name: measure_encoder(name, PUBLISHED_SPEC, sizes, device=device)
        for name in options.measure
    }
    facts = [_facts(name, properties) for name, properties in found.items()]
    text = to_json(facts[0] if len(facts) == 1 else facts, indent=1) + "\n"
    if out is not None:
        remove_leftovers(out.parent, out.name)
        write_atomically(out, text.encode())
    if options.json:
        say(text.rstrip())
        return
    for name, properties in found.items():
        say(name)
        _print_properties(properties)


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="wsrl encoders",
        description="List the registered encoders, other packages' included, with their parameters "
        f"for the published RNNs ({PUBLISHED_SPEC}) and default options. Or measure some of them, "
        "with fresh weights: what each tells apart, and how its cost grows.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")
    parser.add_argument(
        "--measure", nargs="+", metavar="NAME", help="measure these: names or class paths"
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="write what was measured there too, as JSON (of several: a list)",
    )
    parser.add_argument(
        "--hidden_sizes",
        nargs="+",
        type=whole(1),
        metavar="H",
        help=f"where cost is measured (default: {' '.join(map(str, HIDDEN_SIZES))})",
    )
    parser.add_argument("--device", help="where to measure (default: cpu)")
    return parser


def _device(name: str) -> torch.device:
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # the latter where torch has no such devices
        reason = str(error).splitlines()[0]
        raise ValueError(f"--device {name} cannot be used here: {reason}") from error


def _list(as_json: bool) -> None:
    rows = encoder_rows()
    if as_json:
        say(to_json(rows, indent=2))
        return
    yes = {True: "yes", False: "no"}
    cells = [
        [row["name"], f"{row['parameters']:,}", yes[row["permutation_invariant"]]] for row in rows
    ]
    print_table(["encoder", "parameters", "permutation invariant"], cells)


def _facts(name: str, properties: EncoderProperties) -> dict[str, Any]:
    """Return what was measured as JSON takes it."""
    changes, costs = properties.changes, properties.costs
    return {
        "name": name,
        "changes": {kind: change.largest for kind, change in changes.items()},
        "same_function": list(properties.same_function),
        "tells_apart": {kind: change.told_apart for kind, change in changes.items()},
        "parameters": {str(size): cost.parameters for size, cost in costs.items()},
        "seconds": {str(size): cost.seconds for size, cost in costs.items()},
        "growth": properties.growth,
    }


def _print_properties(properties: EncoderProperties) -> None:
    """Print what is told apart, and the cost."""
    cells = []
    for kind, change in properties.changes.items():
        function = "same" if kind in properties.same_function else "other"
        embedding = "other" if change.told_apart else "same"
        cells.append([kind, function, embedding, f"{change.largest:.1e}"])
    print_table(["pairs of RNNs", "function", "embedding", "largest change"], cells)
    growth = properties.growth
    cells = [
        [str(size), f"{cost.parameters:,}", f"{1e3 * cost.seconds:.1f}"]
        for size, cost in properties.costs.items()
    ]
    cells.append(["growth: H to the", *(f"{growth[of]:.2f}" for of in ("parameters", "seconds"))])
    print_table(["hidden size H", "parameters", "ms for 64 RNNs"], cells)
