"""What a user says of files: one object that commands take as options, and pass on."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Hints:
    """What files of RNNs do not say themselves.

    Attributes:
        cell: such as lstm, gru, tanh or relu; needed where several cells have the same tensors: the
            state dict of an nn.RNN does not say which nonlinearity it has
        reference: safetensors file with inputs (S, T, I), and the outputs (S, T, O) that the RNN's
            own code gives before any last nonlinearity. An RNN whose outputs differ is refused;
            what the file leaves open is settled. Of many files: its name beside each, in which
            {stem} is the file's name without ending
        ignore: keys, or modules with all their keys, that are no part of the RNN
        said: more that a file does not say, by name: --said.readout_activation relu

    >>> Hints(reference="{stem}.io.safetensors").beside("runs/a.pt").reference
    'runs/a.io.safetensors'
    """

    cell: str | None = None
    reference: str | None = None
    ignore: list[str] | str = field(default_factory=list)
    said: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.ignore, str):
            object.__setattr__(self, "ignore", [self.ignore])

    def beside(self, file: str | Path) -> "Hints":
        """Return what is said of one of many files."""
        if self.reference is None:
            return self
        place = Path(file).parent / self.reference.replace("{stem}", Path(file).stem)
        return replace(self, reference=str(place))
