"""What RNNs of any cell and size have in common, and the bounds of sizes."""

import reprlib
from dataclasses import dataclass
from typing import Any

# No RNN has more; a file that says so would have lists made for every layer of them.
MAX_LAYERS = 1000
# No layer, input or output is larger; with it the numbers of an RNN can be counted in 63 bits.
MAX_SIZE = 1 << 24


@dataclass(frozen=True)
class RNNInterface:
    """What RNNs of any cell and size may have in common: the sizes of inputs and outputs.

    Attributes:
        input_size: size ``I`` of an input vector.
        output_size: size ``O`` of an output vector.
    """

    input_size: int
    output_size: int

    def __post_init__(self) -> None:
        check_sizes(self, ("input_size", "output_size"))

    @property
    def interface(self) -> "RNNInterface":
        """Itself, as ``RNNSpec.interface`` returns one."""
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain values."""
        return {"input_size": self.input_size, "output_size": self.output_size}

    def __str__(self) -> str:
        return f"any cell and size, {self.input_size} inputs, {self.output_size} outputs"


def check_sizes(of: object, names: tuple[str, ...]) -> None:
    """Check the sizes that are attributes of these names, as ``check_size`` does."""
    for name in names:
        check_size(name, getattr(of, name))


def check_size(name: str, value: object) -> None:
    """Refuse, by a ``ValueError`` that names it, what is no size of an RNN."""
    most = MAX_LAYERS if name == "num_layers" else MAX_SIZE
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ValueError(
            f"{name} must be a whole number of at least 1 and at most {most}, not "
            f"{reprlib.repr(value)}"
        )
