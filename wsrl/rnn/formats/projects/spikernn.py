"""rkim35/spikeRNN, rate models: all that is needed is in the MATLAB file."""

import torch

from wsrl.rnn.formats.content import Candidate, Content, Recogniser, Said
from wsrl.rnn.formats.leaky_units import OPTIONS, LeakyUnits
from wsrl.rnn.formats.parts import Parts

_NAMES = ("w", "m", "som_m", "w_in", "w_out", "b_out", "taus", "taus_gaus")


def _find(content: Content, said: Said) -> list[Candidate] | str:
    """Read a model of the one activation that is not clipped, from a state of zeros.

    The activities in the file are of another moment of training, and noisy.
    """
    if missing := [name for name in _NAMES if name not in content.tensors]:
        return f"no rate model of spikeRNN: no {', '.join(missing)}"
    w, m, som_m, w_in, w_out, b_out, taus, gaus = (content.tensors[name] for name in _NAMES)
    activation = content.settings.get("activation", "none that is named")
    if activation != "sigmoid":
        raise ValueError(f"spikeRNN's activation {activation} is clipped to [0, 20]: no cell is")
    low, high = float(taus.min()), float(taus.max())
    tau = torch.full_like(gaus, low) if taus.numel() == 1 else gaus.sigmoid() * (high - low) + low
    layer = {"weight_ih": w_in, "weight_hh": (w.relu() @ m) * som_m}
    units = LeakyUnits(
        Parts("leaky", [layer], [(w_out, b_out.reshape(-1))]),
        form="state",
        nonlinearity=activation,
        alpha=1 / tau,
        assumed=("a first state of zeros, where the project's code draws a small one", "no noise"),
    )
    return units.candidates(said)


SPIKERNN = Recogniser("rkim35/spikeRNN", frozenset({"matlab"}), OPTIONS, _find)
