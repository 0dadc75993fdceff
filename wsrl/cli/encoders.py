"""``wsrl encoders``: the registered encoders, or measured properties of some."""

from typing import Any

from wsrl.cli.commands import command
from wsrl.cli.parsing import Count, OutFile, write
from wsrl.strict_json import to_json


@command("encoders", own_modules=True)
def encoders(
    *,
    json: bool = False,
    measure: list[str] | None = None,
    out: OutFile | None = None,
    hidden_sizes: list[Count] | None = None,
) -> str:
    """List the encoders, or measure what they tell apart.

    Lists the registered encoders, other packages' included, with their parameters for the published
    RNNs (lstm 2x32) and default options. Or measures some of them, with fresh weights: what each
    tells apart, and how its cost grows, as JSON.

      wsrl encoders
      wsrl encoders --measure InteractiveProbing my_encoder.TensorNorms

    Args:
        json: print the list as JSON, too
        measure: names or class paths of encoders
        out: write what was measured to this file too, as JSON (of several encoders: a list)
        hidden_sizes: at which the cost is measured
    """
    if measure is None:
        if out is not None or hidden_sizes is not None:
            raise ValueError("--out and --hidden_sizes are for --measure NAME")
        return _list(json)
    from wsrl.analysis.encoder_properties import HIDDEN_SIZES, measure_encoder
    from wsrl.encoders import get_encoder
    from wsrl.studies.tables import PUBLISHED_SPEC

    for name in measure:
        get_encoder(name)  # all of them before the first is measured
    sizes = [*map(int, hidden_sizes or HIDDEN_SIZES)]  # a Count is a class of its own
    found: list[dict[str, Any]] = [
        {"name": name, **measure_encoder(name, PUBLISHED_SPEC, sizes)} for name in measure
    ]
    text = to_json(found[0] if len(found) == 1 else found, indent=1)
    if out is not None:
        write(out, text)
    return text


def _list(json: bool) -> str:
    from wsrl.encoders import create_encoder, get_encoder, list_encoders
    from wsrl.studies.tables import PUBLISHED_SPEC, aligned

    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "parameters": sum(
                each.numel() for each in create_encoder(name, spec=PUBLISHED_SPEC).parameters()
            ),
            "reads": get_encoder(name).reads,
            "permutation_invariant": get_encoder(name).permutation_invariant,
        }
        for name in list_encoders()
    ]
    return to_json(rows, indent=2) if json else aligned([*rows[0]], rows)
