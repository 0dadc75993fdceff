"""gyyang/nn-brain: ``CTRNN`` and ``EIRNN``, which have the same tensors."""

import torch

from wsrl.rnn.formats.content import Candidate, Content, Recogniser, Said
from wsrl.rnn.formats.leaky_units import OPTIONS, LeakyUnits
from wsrl.rnn.formats.names import STATE_DICTS, below, the_linear
from wsrl.rnn.formats.parts import Parts

_INPUT, _RECURRENT = "input2h", "h2h"


def _find(content: Content, said: Said) -> list[Candidate] | str:
    """Read both; with Dale's law ``|W| * mask``, where the diagonal of the mask is zero.

    A readout of fewer neurons than there are reads the excitatory ones, which come first.
    """
    own = below(content.tensors, f"{_INPUT}.weight", f"{_RECURRENT}.weight")
    if own is None:
        return "no CTRNN or EIRNN of nn-brain: no input2h and h2h"
    used = {f"{part}.{kind}" for part in (_INPUT, _RECURRENT) for kind in ("weight", "bias")}
    prefixed = {key for key in content.tensors if any(key.endswith(name) for name in used)}
    readout, bias = the_linear({k: v for k, v in content.tensors.items() if k not in prefixed})
    recurrent, read = own[f"{_RECURRENT}.weight"], readout.shape[1]
    biases = [own[key] for part in (_INPUT, _RECURRENT) if (key := f"{part}.bias") in own]
    layer = {"weight_ih": own[f"{_INPUT}.weight"], "weight_hh": recurrent}
    if biases:
        layer["bias"] = torch.stack(biases).sum(0)
    size = recurrent.shape[0]
    if read > size:
        raise ValueError(f"the readout reads {read} values, the RNN has {size} neurons")
    padded = torch.nn.functional.pad(readout, (0, size - read))
    excitatory = said.get("excitatory", read if read < size else None)
    some = f"a readout of the first {read} neurons alone"
    plain = LeakyUnits(
        Parts("leaky", [layer], [(padded, bias)]),
        choices={"constraint": "none"},
        assumed=(some,) if read < size else (),
    )
    found = plain.candidates(said)
    if excitatory is None:
        return found
    if str(excitatory) not in map(str, range(size + 1)):
        raise ValueError(f"excitatory is a number of neurons, at most {size}, not {excitatory!r}")
    signs = torch.where(torch.arange(size) < int(excitatory), 1.0, -1.0)
    bound = {**layer, "sign": signs, "mask": 1 - torch.eye(size)}
    signed = LeakyUnits(
        Parts("leaky", [bound], [(padded, bias)]),
        options={"constraint": "dale"},
        choices={"constraint": "dale"},
        assumed=(
            f"the first {int(excitatory)} neurons are excitatory, the others inhibitory, none has "
            "a coupling with itself",
        ),
    )
    return found + signed.candidates(said)


NN_BRAIN = Recogniser(
    "gyyang/nn-brain",
    STATE_DICTS,
    OPTIONS
    | {
        "constraint": "dale for an EIRNN, whose weights are |h2h.weight| * mask, or none",
        "excitatory": "how many neurons of an EIRNN are excitatory, if the readout reads them all",
    },
    _find,
)
