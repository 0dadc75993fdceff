"""Files of other people, read as weights: containers, recognisers, and references that prove them.

A container turns a file into tensors by name (``containers.py``); a recogniser turns these into
RNNs that they can be (``Recogniser``). A new kind of file, or a new origin, is one file here, and
one line in ``CONTAINERS`` or ``RECOGNISERS``.
"""

from wsrl.rnn.formats.choosing import AGREES
from wsrl.rnn.formats.containers import CONTAINERS, read_container
from wsrl.rnn.formats.content import (
    Candidate,
    Container,
    Content,
    Head,
    OpenChoiceError,
    Recogniser,
    Said,
    flag,
    listed,
)
from wsrl.rnn.formats.reading import (
    RECOGNISERS,
    Reading,
    read,
    read_content,
    read_rnn,
    read_weights,
)
from wsrl.rnn.formats.reference import Reference
from wsrl.rnn.formats.state_dicts import read_state_dict, weights_from_state_dict
from wsrl.rnn.formats.torch_checkpoints import content_of

__all__ = [
    "AGREES",
    "CONTAINERS",
    "RECOGNISERS",
    "Candidate",
    "Container",
    "Content",
    "Head",
    "OpenChoiceError",
    "Reading",
    "Recogniser",
    "Reference",
    "Said",
    "content_of",
    "flag",
    "listed",
    "read",
    "read_container",
    "read_content",
    "read_rnn",
    "read_state_dict",
    "read_weights",
    "weights_from_state_dict",
]
