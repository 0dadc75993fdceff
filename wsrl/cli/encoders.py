"""``wsrl encoders``: the registered encoders, or measured properties of some."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wsrl.cli.commands import command
from wsrl.cli.parsing import Count
from wsrl.strict_json import to_json
from wsrl.terminal import say

if TYPE_CHECKING:
    from wsrl.analysis.encoder_properties import EncoderProperties


@command("encoders", own_modules=True)
def encoders(
    *,
    json: bool = False,
    measure: list[str] | None = None,
    out: str | None = None,
    hidden_sizes: list[Count] | None = None,
) -> str | None:
    """List the encoders, or measure what they tell apart.

    Lists the registered encoders, other packages' included, with their parameters for the published
    RNNs (lstm 2x32) and default options. Or measures some of them, with fresh weights: what each
    tells apart, and how its cost grows.

      wsrl encoders
      wsrl encoders --measure InteractiveProbing my_encoder.TensorNorms

    Args:
        json: print JSON for scripts
        measure: names or class paths of encoders
        out: write what was measured to this file too, as JSON (of several encoders: a list)
        hidden_sizes: at which the cost is measured
    """
    if measure is None:
        for name, value in {"out": out, "hidden_sizes": hidden_sizes}.items():
            if value is not None:
                raise ValueError(f"--{name} is for what --measure finds; give --measure NAME")
        return _list(json)
    from wsrl.analysis.encoder_properties import HIDDEN_SIZES, measure_encoder
    from wsrl.encoders import get_encoder
    from wsrl.studies.tables import PUBLISHED_SPEC
    from wsrl.zoos.files import remove_leftovers, write_atomically

    for name in measure:
        get_encoder(name)  # all of them before the first is measured
    file = None if out is None else Path(out)
    if file is not None and not file.parent.is_dir():
        raise FileNotFoundError(f"no folder {file.parent} to write {file.name} to (--out)")
    sizes = hidden_sizes or HIDDEN_SIZES
    found = {name: measure_encoder(name, PUBLISHED_SPEC, sizes) for name in measure}
    facts = [{"name": name, **properties.to_dict()} for name, properties in found.items()]
    text = to_json(facts[0] if len(facts) == 1 else facts, indent=1)
    if file is not None:
        remove_leftovers(file.parent, file.name)
        write_atomically(file, f"{text}\n".encode())
    if json:
        return text
    for name, properties in found.items():
        say(name)
        _print(properties)
    return None


def _list(json: bool) -> str | None:
    from wsrl.studies.tables import encoder_rows, print_table

    rows = encoder_rows()
    if json:
        return to_json(rows, indent=2)
    cells = [
        [row["name"], f"{row['parameters']:,}", "yes" if row["permutation_invariant"] else "no"]
        for row in rows
    ]
    print_table(["encoder", "parameters", "permutation invariant"], cells)
    return None


def _print(properties: EncoderProperties) -> None:
    """Print which RNNs are told apart, and the cost."""
    from wsrl.studies.tables import print_table

    cells = []
    for kind, change in properties.changes.items():
        function = "same" if kind in properties.same_function else "other"
        embedding = "other" if change.told_apart else "same"
        cells.append([kind, function, embedding, f"{change.largest:.1e}"])
    print_table(["pairs of RNNs", "function", "embedding", "largest change"], cells)
    growth = properties.growth
    cells = [
        [str(size), f"{number:,}", f"{1e3 * properties.seconds[size]:.1f}"]
        for size, number in properties.parameters.items()
    ]
    cells.append(["growth: H to the", *(f"{growth[of]:.2f}" for of in ("parameters", "seconds"))])
    print_table(["hidden size H", "parameters", "ms for 64 RNNs"], cells)
