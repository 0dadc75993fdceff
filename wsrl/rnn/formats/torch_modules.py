"""State dicts of ``torch.nn`` modules: a recurrent part and a linear readout, under any names."""

from wsrl.rnn.formats.content import Candidate, Content, OpenChoiceError, Recogniser, Said
from wsrl.rnn.state_dicts import OpenCellError, read_state_dict


def _find(content: Content, said: Said) -> list[Candidate] | str:
    try:
        return [Candidate(read_state_dict(content.tensors, said.get("cell")))]
    except OpenCellError as error:
        raise OpenChoiceError(str(error), {"cell": ("relu", "tanh")}) from error


TORCH_MODULES = Recogniser(
    "torch.nn modules", frozenset({"torch", "safetensors", "memory"}), {}, _find
)
