"""What an encoder is: a Lightning module that maps the weights of RNNs to embeddings."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn import functional as F

from wsrl.recorded import Recorded
from wsrl.rnn import RNNSpec, RNNWeights


class Encoder(Recorded, LightningModule, ABC):
    """Maps the weights of ``B`` RNNs to embeddings ``(B, D)``.

    A subclass implements ``forward``. Options are further arguments of its constructor, with
    defaults and simple types (numbers, strings, booleans): they are recorded, so that a checkpoint
    can rebuild the encoder without any code in the subclass.

    Args:
        spec: the RNNs it reads.
        embedding_dim: size ``D`` of an embedding.

    Attributes:
        permutation_invariant: whether the embedding is the same, by construction, after any
            permutation of the hidden neurons of a layer with all their couplings.

    Raises:
        ValueError: for an embedding size below 1.
    """

    GIVEN: ClassVar[tuple[str, ...]] = ("spec",)
    permutation_invariant: ClassVar[bool] = False

    def __init__(self, spec: RNNSpec, embedding_dim: int = 16) -> None:
        super().__init__()
        check_sizes(embedding_dim=embedding_dim)
        self.spec = spec
        self.embedding_dim = embedding_dim
        self.register_forward_pre_hook(_check_weights, with_kwargs=True)

    @abstractmethod
    def forward(self, weights: RNNWeights) -> Tensor:
        """Encode ``B`` RNNs; return ``(B, D)``, not normalised."""


EncoderFactory: TypeAlias = Callable[[RNNSpec], Encoder]
"""Makes an encoder for the RNNs of a zoo; an encoder class is one."""

if TYPE_CHECKING:
    EncoderLike: TypeAlias = EncoderFactory | str | Mapping[str, Any]
else:  # the command line makes a factory of names and options, and checks them
    EncoderLike = EncoderFactory


def embed(encoder: Encoder, weights: RNNWeights) -> Tensor:
    """Encode RNNs and scale every embedding to unit L2 norm: ``(B, D)``."""
    return F.normalize(encoder(weights), dim=-1)


def check_sizes(**sizes: int) -> None:
    """Refuse sizes that are no whole numbers of at least 1 by a ``ValueError``."""
    for name, value in sizes.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")


def _check_weights(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    given = args[0] if args else kwargs.get("weights")
    name = type(module).__name__
    if not isinstance(given, RNNWeights):
        raise TypeError(f"{name} encodes RNNWeights, not {type(given).__name__}")
    if given.spec != module.spec:
        raise ValueError(
            f"{name} was made for RNNs ({module.spec}), but these are ({given.spec}); "
            "build an encoder for their spec"
        )


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
