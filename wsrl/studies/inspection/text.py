"""An inspection to read."""

from __future__ import annotations

import math

from wsrl.analysis.calibration import FEWEST, Placement
from wsrl.rnn import RNNSpec
from wsrl.studies.inspection.records import Inspection, Property
from wsrl.studies.tables import aligned, listed

_VERDICTS = {
    "within": "within what the encoder was trained on",
    "outside": "outside what the encoder was trained on",
    "unknown": f"unknown: fewer than {FEWEST} validation RNNs do not tell what is ordinary",
}


def render(found: Inspection) -> str:
    """Return an inspection as lines of text."""
    spec = RNNSpec(**found.spec)
    imitation, fit = found.imitation, found.fit
    metric = imitation.metric.replace("_", " ")
    lines = {
        "RNN": f"{found.source or 'from memory'} ({spec})",
        "performs": found.skill.text,
        **{each.name: _property(each, found.coverage) for each in found.properties},
        f"imitation, {metric}": _placed(imitation.zoo) + " on the zoo's sequences",
    }
    if imitation.own is not None:
        lines["  on its own sequences"] = _placed(imitation.own)
    lines |= {
        "nearest RNN of the zoo": f"distance {_placed(fit.distance)}",
        "sizes of its weights": f"{_placed(fit.weights)} standard deviations from the zoo's",
        "verdict": _VERDICTS[fit.verdict],
    }
    if fit.reasons:
        lines["because"] = "; ".join(fit.reasons)
    lines["embedding"] = " ".join(f"{value:.3f}" for value in found.embedding)
    header = ["row", "run", "step", "split", "performance", "distance", "cosine", "task"]
    rows = [
        [
            str(each.row),
            str(each.run),
            str(each.step),
            each.split,
            "-" if math.isnan(each.performance) else f"{each.performance:.3f}",
            f"{each.distance:.3f}",
            f"{each.cosine:.3f}",
            each.name,
        ]
        for each in found.neighbours
    ]
    return f"{listed(lines)}\n\nNearest RNNs of {found.zoo}:\n{aligned(header, rows)}"


def _property(found: Property, coverage: float) -> str:
    source = "" if found.source == "neighbours" else f", by {found.source}"
    if found.exact is None:  # of numbers
        return f"{found.text} at {coverage:.0%}{source}"
    if math.isnan(found.exact):
        return f"{found.text}, how often right no RNN held out tells{source}"
    if len(found.probabilities) == 1:
        return f"{found.text}, right {found.probabilities[0]:.0%} of the time{source}"
    parts = ", ".join(f"{share:.0%}" for share in found.probabilities)
    return f"{found.text}, right {found.exact:.0%} of the time (its parts {parts}){source}"


def _placed(found: Placement) -> str:
    return f"{found.value:.3f} (typical {found.typical:.3f}, percentile {found.percentile:.0f})"
