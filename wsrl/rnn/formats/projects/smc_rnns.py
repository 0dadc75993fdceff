"""mackelab/smc_rnns, ``LR_RNNCell``: low rank, a bias that the recurrence alone hears."""

from wsrl.rnn.formats.content import Candidate, Content, Recogniser, Said
from wsrl.rnn.formats.leaky_units import OPTIONS, LeakyUnits
from wsrl.rnn.formats.names import STATE_DICTS, below, check_known
from wsrl.rnn.formats.parts import Parts

_NAMES = ("x0", *(f"rnn.{name}" for name in ("w_inp", "m", "n", "w_out")))
_MAYBE = [f"rnn.{name}" for name in ("w_inp_scale", "w_out_scale", "b_rec")]


def _find(content: Content, said: Said) -> list[Candidate] | str:
    own = below(content.tensors, *_NAMES)
    if own is None:
        return f"no low-rank RNN of smc_rnns: no {', '.join(_NAMES)}"
    check_known(own, {*_NAMES, *_MAYBE})
    start, w_inp, m, n, w_out = (own[name] for name in _NAMES)
    in_scale, out_scale, bias = (own.get(name) for name in _MAYBE)
    size, found = m.shape[0], []
    source = w_inp if in_scale is None else w_inp * in_scale.reshape(-1, 1)
    output = w_out if out_scale is None else w_out * out_scale.reshape(1, -1)
    for scale, shrink in (("1/N", 1 / size), ("1", 1.0)):
        layer = {"weight_ih": source.mT, "m": m * shrink, "n": n}
        rates = {} if bias is None else {"bias_in": "rates"}
        if bias is not None:
            layer["bias"] = bias
        parts = Parts(
            "low_rank",
            [layer],
            [((output * shrink).mT, None)],
            initial=[{"h": start.reshape(-1)}],
        )
        units = LeakyUnits(
            parts,
            cell="low_rank",
            options={"rank": m.shape[1], **rates},
            form="state",
            choices={"scale": scale},
        )
        found += units.candidates(said, ("state",))
    return found


SMC_RNNS = Recogniser(
    "mackelab/smc_rnns",
    STATE_DICTS,
    OPTIONS | {"scale": "1/N, as its LR_RNNCell divides m n and the readout by its size, or 1"},
    _find,
)
