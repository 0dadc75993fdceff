"""arsedler9/lfads-torch: its ``ClippedGRUCell`` has the names and shapes of ``nn.GRUCell``.

It is another cell: blocks z, r, n, and the reset before the product. Factors are read by rows of
``fac_linear`` of length 1.
"""

from wsrl.rnn.formats.content import Candidate, Content, Recogniser, Said
from wsrl.rnn.formats.names import STATE_DICTS, below, the_linear
from wsrl.rnn.formats.parts import Parts, blocks, folded

_CELL = "gen_cell."
_FACTORS = "fac_linear.weight"
_NAMES = [f"{kind}_{end}" for kind in ("weight", "bias") for end in ("ih", "hh")]


def _find(content: Content, said: Said) -> list[Candidate] | str:
    own = below(content.tensors, *(f"{_CELL}{name}" for name in _NAMES))
    if own is None:
        return "no decoder of LFADS: no gen_cell"
    used = {*(f"{_CELL}{name}" for name in _NAMES), _FACTORS}
    others = {k: v for k, v in content.tensors.items() if not k.endswith(tuple(used))}
    readout = [the_linear(others)]
    if _FACTORS in own:
        factors = own[_FACTORS]
        readout.insert(0, (factors / factors.norm(dim=1, keepdim=True), None))
    w_ih, w_hh, b_ih, b_hh = (own[f"{_CELL}{name}"] for name in _NAMES)
    linear, order = [folded(*readout)], (1, 0, 2)
    clipped = {
        "weight_ih": blocks(w_ih, order),
        "weight_hh": blocks(w_hh, order),
        "bias": blocks(b_ih + b_hh, order),
    }
    torch_s = {"weight_ih": w_ih, "weight_hh": w_hh, "bias_ih": b_ih, "bias_hh": b_hh}
    notes = "rows of fac_linear of length 1", "a state that is never clipped"
    return [
        Candidate(Parts(cell, [layer], linear).weights(), {"cell": cell}, assumed)
        for cell, layer, assumed in (
            ("gru_reset_before", clipped, notes),
            ("gru", torch_s, notes[:1]),
        )
    ]


LFADS_TORCH = Recogniser("arsedler9/lfads-torch", STATE_DICTS, {}, _find)
