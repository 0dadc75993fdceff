"""lucidrains/minGRU-pytorch: one minGRU, and linear layers around it."""

from dataclasses import replace

from wsrl.rnn.formats.content import Candidate, Content, Recogniser, Said
from wsrl.rnn.formats.names import STATE_DICTS, below, check_known
from wsrl.rnn.formats.parts import Parts, folded
from wsrl.rnn.formats.placement import NAMES, placements

_NOTES = ("gates: the candidate, then the update",)
_GATES, _OUT = "to_hidden_and_gate.weight", "to_out.weight"


def _find(content: Content, said: Said) -> list[Candidate] | str:
    own = below(content.tensors, _GATES)
    if own is None:
        return f"no minGRU: no {_GATES}"
    gates = own[_GATES]
    hidden = gates.shape[0] // 2
    cells = [key for key in content.tensors if key.endswith((_GATES, _OUT))]
    others = {key: value for key, value in content.tensors.items() if key not in cells}
    if len(cells) > 2:
        raise ValueError(f"several minGRUs, with more than a line between them: {cells}")
    matrices = {k.removesuffix(".weight"): v for k, v in others.items() if k.endswith(".weight")}
    check_known(others, {f"{k}.{part}" for k in matrices for part in ("weight", "bias")})
    linear = {name: (value, others.get(f"{name}.bias")) for name, value in matrices.items()}
    out = own.get(_OUT)
    found = []
    for place in placements(linear, gates.shape[1], hidden if out is None else out.shape[0]):
        first, *others_after = place.layers
        layers = (first if out is None else folded((out, None), first), *others_after)
        after = replace(place, layers=layers)
        parts = Parts(
            "min_gru",
            [{"weight_ih": gates}],
            after.readout,
            place.source,
            (),
            place.readout_activation,
        )
        found.append(Candidate(parts.weights(), place.choices, _NOTES, place.usual))
    return found


MIN_GRU = Recogniser(
    "lucidrains/minGRU-pytorch",
    STATE_DICTS,
    NAMES,
    _find,
)
