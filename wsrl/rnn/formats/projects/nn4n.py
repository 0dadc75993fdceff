"""NN4Neurosim/nn4n, ``CTRNN``: weights and the arguments of its constructor in one file."""

from typing import Any

import torch

from wsrl.rnn.formats.content import Candidate, Content, Recogniser, Said
from wsrl.rnn.formats.leaky_units import OPTIONS, LeakyUnits, leak_of
from wsrl.rnn.formats.names import STATE_DICTS, below, check_known
from wsrl.rnn.formats.parts import Parts

_DEFAULTS = {"activation": "relu", "dt": 10, "tau": 100}
_MODULES = ("recurrent_layer.input_layer", "recurrent_layer.hidden_layer", "readout_layer")
_WEIGHTS = [f"{module}.weight" for module in _MODULES]
_BIASES = [f"{module}.bias" for module in _MODULES]


def _find(content: Content, said: Said) -> list[Candidate] | str:
    """Read the weights as they are; masks act in training only, and ``eval`` ignores them."""
    own = below(content.tensors, *_WEIGHTS)
    if own is None:
        return f"no CTRNN of nn4n: no {', '.join(_MODULES)}"
    check_known(own, {*_WEIGHTS, *_BIASES})
    source, recurrent, output = (own[name] for name in _WEIGHTS)
    biases = [own[name] for name in _BIASES[:2] if name in own]
    layer = {"weight_ih": source, "weight_hh": recurrent}
    if biases:
        layer["bias"] = torch.stack(biases).sum(0)
    kwargs: Any = content.settings.get("kwargs")
    known = isinstance(kwargs, dict)
    given: dict[str, Any] = {**_DEFAULTS, **(kwargs if known else {})}
    units = LeakyUnits(
        Parts("leaky", [layer], [(output, own.get(_BIASES[2]))]),
        form="state",
        nonlinearity=str(given["activation"]) if known else None,
        alpha=leak_of(given["dt"], given["tau"]) if known else None,
        assumed=("weights as they are stored: masks and signs act in nn4n's training alone",),
    )
    return units.candidates(said)


NN4N = Recogniser("NN4Neurosim/nn4n", STATE_DICTS, OPTIONS, _find)
