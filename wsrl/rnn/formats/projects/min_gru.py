"""lucidrains/minGRU-pytorch: one minGRU, and linear layers around it."""

from wsrl.rnn.formats.content import Candidate, Content, Recogniser, Said
from wsrl.rnn.formats.names import STATE_DICTS, below, check_known
from wsrl.rnn.formats.placement import NAMES, placements
from wsrl.rnn.formats.torch_parts import keys_of, linear_layers

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
    linear = linear_layers(others)
    check_known(others, {key for path in linear for key in keys_of(path, linear[path]).values()})
    out = own.get(_OUT)
    places = placements(linear, gates.shape[1], hidden if out is None else out.shape[0])
    if out is not None:
        places = [place.reading_through(out) for place in places]
    return [place.candidate("min_gru", [{"weight_ih": gates}], _NOTES) for place in places]


MIN_GRU = Recogniser("lucidrains/minGRU-pytorch", STATE_DICTS, NAMES, _find)
