"""DurstewitzLab/dendPLRNN: refused, as its inputs overwrite the state."""

from wsrl.rnn.formats.content import Candidate, Content, Recogniser, Said
from wsrl.rnn.formats.names import STATE_DICTS, below


def _find(content: Content, said: Said) -> list[Candidate] | str:
    if below(content.tensors, "latent_step.AW", "latent_step.h") is None:
        return "no PLRNN: no latent_step.AW and latent_step.h"
    raise ValueError(
        "a PLRNN of dendPLRNN has no inputs that a cell could read: they overwrite entries of the "
        "state (teacher forcing), and its piecewise-linear step has no cell here"
    )


DEND_PLRNN = Recogniser("DurstewitzLab/dendPLRNN", STATE_DICTS, {}, _find)
