"""engellab/trainRNNbrain: JSON that holds all; RNNs without the cubic leak can be read."""

from wsrl.rnn.formats.content import Candidate, Content, Recogniser, Said
from wsrl.rnn.formats.leaky_units import OPTIONS, LeakyUnits, leak_of
from wsrl.rnn.formats.parts import Parts

_NAMES = ("W_inp", "W_rec", "W_out", "y_init")
_FORMS = {"s": "rate", "h": "state"}


def _find(content: Content, said: Said) -> list[Candidate] | str:
    """Read the weights, which are stored as they act."""
    tensors, facts = content.tensors, content.settings
    if missing := [name for name in _NAMES if name not in tensors]:
        return f"no RNN of trainRNNbrain: no {', '.join(missing)}"
    gamma, kind = facts.get("gamma", 0), facts.get("equation_type")
    if gamma != 0:
        raise ValueError(f"trainRNNbrain's cubic leak (gamma {gamma}) has no cell: train with 0")
    activation = facts.get("activation_args", {})
    if kind not in _FORMS or activation.get("slope", 1) != 1:
        raise ValueError(f"equation_type {kind!r} with {activation} has no cell")
    source, recurrent, output, start = (tensors[name] for name in _NAMES)
    layer = {"weight_ih": source, "weight_hh": recurrent}
    if "bias" in tensors:
        layer["bias"] = tensors["bias"]
    units = LeakyUnits(
        Parts(
            "leaky",
            [layer],
            [(output, None)],
            initial=[{"h": start}] if bool(start.any()) else [],
        ),
        form=_FORMS[kind],
        nonlinearity=activation.get("name"),
        alpha=leak_of(facts.get("dt"), facts.get("tau")),
        assumed=("an output has read its own input, where the project's is a step late",),
    )
    return units.candidates(said)


TRAINRNNBRAIN = Recogniser("engellab/trainRNNbrain", frozenset({"json"}), OPTIONS, _find)
