"""murraylab/PsychRNN: ``Basic`` is read; its ``LSTM`` is another cell than an LSTM."""

from wsrl.rnn.formats.content import Candidate, Content, Recogniser, Said
from wsrl.rnn.formats.leaky_units import OPTIONS, LeakyUnits
from wsrl.rnn.formats.names import TENSORS_BY_NAME, below, check_known
from wsrl.rnn.formats.parts import Parts

_NAMES = ("W_in", "W_rec", "W_out", "b_rec", "b_out", "init_state")
_MASKS = [f"{part}_connectivity" for part in ("input", "rec", "output")] + ["Dale_rec", "Dale_out"]
_GATES = [f"W_{gate}" for gate in "fico"]


def _find(content: Content, said: Said) -> list[Candidate] | str:
    """Read the effective matrices, which is what the project stores, after masks and signs."""
    own = below(content.tensors, *_NAMES)
    if own is None:
        return f"no RNN of PsychRNN: no {', '.join(_NAMES)}"
    if below(content.tensors, *_GATES) is not None:
        raise ValueError(
            "PsychRNN's LSTM computes h' = o * sigmoid(c'), where an LSTM has tanh: no cell here "
            "does. It also has a first state for each place in the training batch, not one"
        )
    slots = [name for name in own if name.endswith(("/Adam", "/Adam_1"))]
    check_known(own, {*_NAMES, *_MASKS, *slots})
    source, recurrent, output, bias, out_bias, start = (own[name] for name in _NAMES)
    units = LeakyUnits(
        Parts(
            "leaky",
            [{"weight_ih": source, "weight_hh": recurrent, "bias": bias}],
            [(output, out_bias)],
            initial=[{"h": start.reshape(-1)}],
        ),
        form="state",
        assumed=("weights as they are stored, after masks and signs",),
    )
    return units.candidates(said)


PSYCHRNN = Recogniser("murraylab/PsychRNN", TENSORS_BY_NAME, OPTIONS, _find)
