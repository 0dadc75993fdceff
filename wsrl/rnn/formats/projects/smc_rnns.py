"""mackelab/smc_rnns: ``LR_RNNCell``, low rank with a bias that the recurrence alone hears, and
``RNNCell``, whose bias nothing hears."""

from torch import Tensor

from wsrl.rnn.formats.content import Candidate, Content, Recogniser, Said
from wsrl.rnn.formats.leaky_units import OPTIONS, LeakyUnits
from wsrl.rnn.formats.names import STATE_DICTS, below, check_known
from wsrl.rnn.formats.parts import Parts

_ENDS = ("x0", "rnn.w_inp", "rnn.w_out")
_FULL, _FACTORS = ("rnn.w_rec",), ("rnn.m", "rnn.n")
_MAYBE = ("rnn.w_inp_scale", "rnn.w_out_scale", "rnn.b_rec")
_TAUS = "rnn.taus_gaus"


def _find(content: Content, said: Said) -> list[Candidate] | str:
    own = below(content.tensors, *_ENDS, *_FACTORS) or below(content.tensors, *_ENDS, *_FULL)
    if own is None:
        return f"no RNN of smc_rnns: no {', '.join(_ENDS)}, and rnn.w_rec or rnn.m and rnn.n"
    full = _FULL[0] in own
    check_known(own, {*_ENDS, *_MAYBE, *((*_FULL, _TAUS) if full else _FACTORS)})
    return _full_rank(own, said) if full else _low_rank(own, said)


def _ends(own: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return the matrices of inputs and readout with their scales, ``(I, H)`` and ``(H, O)``."""
    source, output = own["rnn.w_inp"], own["rnn.w_out"]
    in_scale, out_scale = (own.get(name) for name in _MAYBE[:2])
    source = source if in_scale is None else source * in_scale.reshape(-1, 1)
    return source, output if out_scale is None else output * out_scale.reshape(1, -1)


def _full_rank(own: dict[str, Tensor], said: Said) -> list[Candidate]:
    source, output = _ends(own)
    units = LeakyUnits(
        Parts(
            "leaky",
            [{"weight_ih": source.mT, "weight_hh": own[_FULL[0]]}],
            [(output.mT, None)],
            initial=[{"h": own["x0"].reshape(-1)}],
        ),
        form="state",
        assumed=(
            "rnn.w_rec without the masks that the project keeps in params.pkl",
            "rnn.b_rec and rnn.taus_gaus are not read: the project's update has no bias",
        ),
    )
    return units.candidates(said, ("state",))


def _low_rank(own: dict[str, Tensor], said: Said) -> list[Candidate]:
    start, m, n = (own[name] for name in ("x0", *_FACTORS))
    bias = own.get(_MAYBE[2])
    source, output = _ends(own)
    size, found = m.shape[0], []
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
