"""adrian-valente/lowrank_inference: ``LowRankRNN`` and ``FullRankRNN``.

The recurrence hears ``f(s + b)``, the readout reads ``f(s)``; before the first step the recurrence
hears ``f(h0)``, without ``b``. What a first state in the sense of the cell is, is solved for.
"""

from functools import partial

import torch
from torch import Tensor

from wsrl.rnn.cells.activations import ACTIVATIONS
from wsrl.rnn.formats.content import Candidate, Content, Recogniser, Said
from wsrl.rnn.formats.leaky_units import OPTIONS, LeakyUnits
from wsrl.rnn.formats.names import STATE_DICTS, below, check_known
from wsrl.rnn.formats.parts import Parts

_ENDS = ("wi", "wo", "h0")
_FULL, _FACTORS = ("wrec",), ("m", "n")
_STEPS = 50  # of Newton's method, which needs about 5


def _find(content: Content, said: Said) -> list[Candidate] | str:
    own = below(content.tensors, *_ENDS, *_FULL) or below(content.tensors, *_ENDS, *_FACTORS)
    if own is None:
        return "no RNN of lowrank_inference: no wi, wo, h0, and wrec or m and n"
    full = _FULL[0] in own
    check_known(own, {*_ENDS, "si", "so", "b", *(_FULL if full else _FACTORS)})
    found = []
    for scale in ("1",) if full else ("1/N", "1"):
        found += _units(own, full, scale).candidates(said, ("state",))
    return found


def _units(own: dict[str, Tensor], full: bool, scale: str) -> LeakyUnits:
    size, bias, start = own["h0"].numel(), own.get("b"), own["h0"].reshape(-1)
    shrink = 1 / size if scale == "1/N" else 1.0
    source = (own["wi"] * own["si"][:, None] if "si" in own else own["wi"]).mT
    output = (own["wo"] * own["so"] if "so" in own else own["wo"]).mT * shrink
    shifted = bias is not None and bool(bias.any())
    layer = {"weight_ih": source}
    if full and not shifted:
        layer["weight_hh"] = own["wrec"]
    else:  # the cell that can hear f(s + b) is kept in factors
        layer["m"], layer["n"] = (
            (own["wrec"], torch.eye(size)) if full else (own["m"] * shrink, own["n"].mT)
        )
    if shifted and bias is not None:
        layer["bias"] = bias
    rank = {"rank": layer["m"].shape[1]} if "m" in layer else {}
    first = partial(_first_state, layer, start) if shifted else None
    return LeakyUnits(
        Parts(
            "low_rank",
            [layer],
            [(output, None)],
            initial=[{"h": start}] if bool(start.any()) else [],
        ),
        cell="low_rank" if rank else "leaky",
        options=rank | ({"bias_in": "rates"} if shifted else {}),
        form="state",
        choices={} if full else {"scale": scale},
        first=first,
    )


@torch.inference_mode(False)
@torch.enable_grad()
def _first_state(layer: dict[str, Tensor], start: Tensor, phi: str, alpha: Tensor) -> Tensor:
    """Return the state from which the cell's first step is the project's from ``h0``.

    ``(1-a) s + a W f(s + b) = (1-a) h0 + a W f(h0)``, by Newton's method.
    """
    recurrent = alpha.double() * (layer["m"].double() @ layer["n"].double())
    bias, kept = layer["bias"].double(), 1 - alpha.double()
    function, state = ACTIVATIONS[phi], start.double()
    wanted = kept * state + recurrent @ function(state)
    for _ in range(_STEPS):
        heard = (state + bias).detach().requires_grad_()
        rates = function(heard)
        (slopes,) = torch.autograd.grad(rates.sum(), heard)
        gap = kept * state + recurrent @ rates.detach() - wanted
        if float(gap.abs().max()) < 1e-12:
            return state.to(start.dtype)
        step, failed = torch.linalg.solve_ex(kept * torch.eye(len(gap)) + recurrent * slopes, gap)
        if bool(failed) or not bool(step.isfinite().all()):
            break
        state = state - step
    raise ValueError(
        f"with {phi} and alpha {alpha.item():.3g} no first state makes the first step that the "
        "project's code makes from h0 without b"
    )


LOWRANK_INFERENCE = Recogniser(
    "adrian-valente/lowrank_inference",
    STATE_DICTS,
    OPTIONS
    | {"scale": "1/N for a LowRankRNN, whose m n^T and readout are divided by its size, or 1"},
    _find,
)
