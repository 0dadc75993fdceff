"""keith-murray/ctrnn-jax: ``s' = (1-a) s + a (f(s) W + b + x U)``, kernels ``(from, to)``."""

import torch

from wsrl.rnn.formats.content import Candidate, Content, Recogniser, Said
from wsrl.rnn.formats.leaky_units import OPTIONS, LeakyUnits
from wsrl.rnn.formats.names import TENSORS_BY_NAME, below, check_known, with_slashes
from wsrl.rnn.formats.parts import Parts

_KERNELS = [f"{part}_kernel/kernel" for part in ("input", "recurrent", "output")]
_BIASES = [f"{part}_kernel/bias" for part in ("recurrent", "output")]


def _find(content: Content, said: Said) -> list[Candidate] | str:
    content = with_slashes(content)
    own = below(content.tensors, *_KERNELS)
    if own is None:
        return f"no CTRNN of ctrnn-jax: no {', '.join(_KERNELS)}"
    check_known(own, {*_KERNELS, *_BIASES})
    source, recurrent, output = (own[name].mT for name in _KERNELS)
    layer = {"weight_ih": source, "weight_hh": recurrent}
    if _BIASES[0] in own:
        layer["bias"] = own[_BIASES[0]]
    found = []
    for name, start in (("ones", torch.ones), ("zeros", torch.zeros)):
        parts = Parts(
            "leaky",
            [layer],
            [(output, own.get(_BIASES[1]))],
            initial=[{"h": start(recurrent.shape[0])}] if name == "ones" else [],
        )
        units = LeakyUnits(parts, form="state", choices={"initial_state": name})
        found += units.candidates(said)
    return found


CTRNN_JAX = Recogniser(
    "keith-murray/ctrnn-jax",
    TENSORS_BY_NAME | {"flax"},
    OPTIONS | {"initial_state": "ones, as its carry_init makes them, or zeros"},
    _find,
)
