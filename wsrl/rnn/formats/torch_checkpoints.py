"""Files of ``torch.save``: a state dict, alone or in a checkpoint."""

from pathlib import Path
from typing import Any

from torch import Tensor

from wsrl.rnn.formats.content import Container, Content, Head, listed
from wsrl.torch_files import read_torch_file

# The number that begins files of PyTorch before 1.6, as a pickle has it.
_BEFORE_ZIP = bytes.fromhex("fc9c46f9206aa85019")


def _matches(head: Head) -> bool:
    in_zip = any(name.rpartition("/")[2] == "data.pkl" for name in head.members)
    return in_zip or _BEFORE_ZIP in head.start[:64]


def _read(path: Path) -> Content:
    content: Any = read_torch_file(path, "a file of torch.save(model.state_dict(), path)")
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise ValueError(f"expected a state dict, not a {kind}: save model.state_dict()")
    wrong = [str(key) for key, value in content.items() if not isinstance(value, Tensor)]
    if wrong:
        raise ValueError(f"no state dict: {listed(wrong)}")
    return Content(dict(content), {}, "torch")


TORCH = Container("torch", _matches, _read)
