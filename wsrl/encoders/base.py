"""What an encoder is: a Lightning module that maps the weights of RNNs to embeddings."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn import functional as F

from wsrl.recorded import Recorded
from wsrl.rnn import MixedRNNs, RNNInterface, RNNs, RNNSpec, RNNWeights


class Encoder(Recorded, LightningModule, ABC):
    """Maps the weights of ``B`` RNNs to embeddings ``(B, D)``.

    A subclass implements ``forward``. Options are further arguments of its constructor, with
    defaults and simple types (numbers, strings, booleans): they are recorded, so that a checkpoint
    can rebuild the encoder without any code in the subclass.

    Args:
        spec: the RNNs it reads: their spec, or what is enough for encoders that read any RNN, the
            sizes of inputs and outputs.
        embedding_dim: size ``D`` of an embedding.

    Attributes:
        reads: ``one spec`` (weights of the spec that it was made for), or ``any`` (RNNs of any cell
            and size whose inputs and outputs have the sizes that it was made for).
        permutation_invariant: whether the embedding is the same, by construction, after any
            permutation of the hidden neurons of a layer with all their couplings.

    Raises:
        ValueError: for an embedding size below 1, or only sizes where a spec is needed.
    """

    GIVEN: ClassVar[tuple[str, ...]] = ("spec",)
    reads: ClassVar[Literal["one spec", "any"]] = "one spec"
    permutation_invariant: ClassVar[bool] = False

    def __init__(self, spec: RNNSpec | RNNInterface, embedding_dim: int = 16) -> None:
        super().__init__()
        check_sizes(embedding_dim=embedding_dim)
        if self.reads == "one spec" and not isinstance(spec, RNNSpec):
            raise ValueError(
                f"{type(self).__name__} reads RNNs of one spec, not {spec}; {_readers_of_any()}"
            )
        self.spec = spec
        self.embedding_dim = embedding_dim
        self.register_forward_pre_hook(_check_weights, with_kwargs=True)

    @abstractmethod
    def forward(self, weights: Any) -> Tensor:
        """Encode ``B`` RNNs; return ``(B, D)``, not normalised.

        They are ``RNNWeights`` of the encoder's spec, or, where it reads any, ``RNNs``.
        """


EncoderFactory: TypeAlias = Callable[[Any], Encoder]
"""Makes an encoder of the ``RNNSpec`` of a zoo's RNNs, or of their ``RNNInterface`` where they have
several specs; an encoder class is one."""

if TYPE_CHECKING:
    EncoderLike: TypeAlias = EncoderFactory | str | Mapping[str, Any]
else:  # the command line makes a factory of names and options, and checks them
    EncoderLike = EncoderFactory


def embed(encoder: Encoder, rnns: RNNs) -> Tensor:
    """Encode RNNs and scale every embedding to unit L2 norm: ``(B, D)``."""
    return F.normalize(encoder(rnns), dim=-1)


def check_sizes(**sizes: int) -> None:
    """Refuse sizes that are no whole numbers of at least 1 by a ``ValueError``."""
    for name, value in sizes.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")


def _check_weights(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    given = args[0] if args else kwargs.get("weights")
    name, wanted = type(module).__name__, module.spec
    if not isinstance(given, RNNWeights | MixedRNNs):
        raise TypeError(f"{name} encodes RNNWeights, not {type(given).__name__}")
    found = {given.spec: None} if isinstance(given, RNNWeights) else dict.fromkeys(given.specs)
    if module.reads == "any":
        if given.interface != wanted.interface:
            raise ValueError(
                f"{name} was made for RNNs of {wanted.interface}, but these are "
                f"({next(iter(found))}); build an encoder for their sizes"
            )
    elif list(found) != [wanted]:
        raise ValueError(
            f"{name} was made for RNNs ({wanted}), but these are ({'), ('.join(map(str, found))}); "
            f"build an encoder for their spec; {_readers_of_any()}"
        )


def _readers_of_any() -> str:
    from wsrl.encoders.registry import ENCODERS  # which imports this file

    names = [name for name in ENCODERS.names() if ENCODERS.get(name).reads == "any"]
    return f"those that read any RNN are {', '.join(names)}"


class Mlp(nn.Sequential):
    """Linear layers with ReLU between: ``(..., inputs)`` to ``(..., outputs)``.

    Hidden layers start with He's initialisation, which keeps the scale of what passes: the small
    differences between the weights of RNNs then arrive at the output. ``depth`` counts them.
    """

    def __init__(self, inputs: int, width: int, depth: int, outputs: int) -> None:
        layers: list[nn.Module] = []
        for layer in range(depth):
            hidden = nn.Linear(width if layer else inputs, width)
            nn.init.kaiming_normal_(hidden.weight, nonlinearity="relu")
            nn.init.zeros_(hidden.bias)
            layers += [hidden, nn.ReLU()]
        super().__init__(*layers, nn.Linear(width, outputs))
