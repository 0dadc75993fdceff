"""NicolasZucchet/minimal-LRU: one linear recurrent unit between ``Dense`` layers."""

import torch
from torch import Tensor
from torch.nn.functional import pad

from wsrl.rnn.formats.content import Candidate, Content, Recogniser, Said
from wsrl.rnn.formats.flax_cells import linear_layers, modules_of
from wsrl.rnn.formats.names import TENSORS_BY_NAME, below, with_slashes
from wsrl.rnn.formats.placement import NAMES, placements

_MODES, _INWARD, _OUTWARD = ("nu_log", "theta_log", "gamma_log"), ("B_re", "B_im"), ("C_re", "C_im")
_NAMES = (*_MODES, *_INWARD, *_OUTWARD, "D")


def _find(content: Content, said: Said) -> list[Candidate] | str:
    """Read a unit alone; the skip ``D * u`` becomes a diagonal matrix."""
    content = with_slashes(content)
    own = below(content.tensors, *_NAMES)
    if own is None:
        return f"no LRU: no {', '.join(_NAMES)}"
    modules = modules_of(content, 1)
    units = [place for place, leaves in modules.items() if _MODES[0] in leaves]
    if len(units) > 1:
        raise ValueError(
            f"several LRUs ({', '.join(units)}): a stack has norms and gates between them, which "
            "no cell here has"
        )
    others = {place: leaves for place, leaves in modules.items() if place not in units}
    width, layer = own["D"].numel(), _square(own)
    kept = torch.eye(width, len(layer["D"]))
    places = placements(linear_layers(others), width, width)
    return [place.reading_through(kept).candidate("lru", [layer]) for place in places]


def _square(own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors of as many modes as neurons; those that are added are read by nobody."""
    modes, width = own["nu_log"].numel(), own["D"].numel()
    size = max(modes, width)
    layer = {name: pad(own[name], (0, size - modes)) for name in _MODES}
    layer |= {name: pad(own[name], (0, 0, 0, size - modes)) for name in _INWARD}
    layer |= {name: pad(own[name], (0, size - modes, 0, size - width)) for name in _OUTWARD}
    return layer | {"D": pad(torch.diag(own["D"]), (0, 0, 0, size - width))}


MINIMAL_LRU = Recogniser("NicolasZucchet/minimal-LRU", TENSORS_BY_NAME | {"flax"}, NAMES, _find)
