"""What an encoder is: a Lightning module that maps the weights of RNNs to embeddings."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn import functional as F

from wsrl.recorded import Recorded
from wsrl.rnn import BlackBox, MixedRNNs, RNNInterface, RNNs, RNNSpec, RNNWeights, check_finite

Reads: TypeAlias = Literal["one spec", "any weights", "any"]
"""What RNNs an encoder reads; see ``Encoder``."""


class Encoder(Recorded, LightningModule, ABC):
    """Maps the weights of ``B`` RNNs to embeddings ``(B, D)``.

    A subclass implements ``forward``. Options are further arguments of its constructor, with
    defaults and simple types (numbers, strings, booleans): they are recorded, so that a checkpoint
    can rebuild the encoder without any code in the subclass.

    Args:
        spec: the RNNs it reads: their spec, or what is enough for encoders that read any RNN, the
            sizes of inputs and outputs.
        embedding_dim: size ``D`` of an embedding.
        unit_norm: scale embeddings to unit norm, as published, before anything reads them.

    Attributes:
        reads: ``one spec`` (weights of the spec that it was made for), ``any weights`` (of any cell
            and size, inputs and outputs being as many as it was made for), or ``any`` (black boxes,
            too).
        permutation_invariant: whether the embedding is the same, by construction, after any
            permutation of the hidden neurons of a layer with all their couplings.

    Raises:
        ValueError: for an embedding size below 1, or only sizes where a spec is needed.
    """

    GIVEN: ClassVar[tuple[str, ...]] = ("spec",)
    reads: ClassVar[Reads] = "one spec"
    permutation_invariant: ClassVar[bool] = False

    def __init__(
        self, spec: RNNSpec | RNNInterface, embedding_dim: int = 16, unit_norm: bool = True
    ) -> None:
        super().__init__()
        check_sizes(embedding_dim=embedding_dim)
        if self.reads == "one spec" and not isinstance(spec, RNNSpec):
            raise ValueError(
                f"{type(self).__name__} reads RNNs of one spec, not {spec}; {_readers()}"
            )
        self.spec = spec
        self.embedding_dim, self.unit_norm = embedding_dim, unit_norm
        self.register_forward_pre_hook(_check_input, with_kwargs=True)

    def check(self, rnns: RNNs) -> None:
        """Check that the encoder reads these RNNs, as ``check_reads``."""
        name = type(self).__name__
        if not isinstance(rnns, RNNWeights | MixedRNNs | BlackBox):
            raise TypeError(f"{name} encodes RNNWeights, not {type(rnns).__name__}")
        groups = rnns.groups if isinstance(rnns, MixedRNNs) else (rnns,)
        if self.reads != "any" and any(isinstance(group, BlackBox) for group in groups):
            raise ValueError(
                f"{name} reads weights, of which a black box has none to show; those that ask are "
                f"{_names_of('any')}"
            )
        self.check_reads(self.spec, rnns.specs)

    @classmethod
    def check_reads(
        cls, made_for: RNNSpec | RNNInterface, given: Sequence[RNNSpec | RNNInterface]
    ) -> None:
        """Check that one that was made for some RNNs reads RNNs of the given specs.

        Raises:
            ValueError: naming, where it reads one spec, the encoders that read any RNN.
        """
        are = f"was made for RNNs ({made_for}), but these are ({'), ('.join(map(str, given))})"
        if cls.reads != "one spec":
            if any(each.interface != made_for.interface for each in given):
                raise ValueError(f"{cls.__name__} {are}: inputs and outputs must be as many")
        elif {*map(_without_end, given)} != {_without_end(made_for)}:
            raise ValueError(f"{cls.__name__} {are}: it reads one spec; {_readers()}")

    @abstractmethod
    def forward(self, weights: Any) -> Tensor:
        """Encode ``B`` RNNs; return ``(B, D)``, not normalised.

        They are ``RNNWeights`` of the encoder's spec, or, where it reads any, ``RNNs``.
        """


_AT_ONCE = 256  # RNNs that are embedded at once

EncoderFactory: TypeAlias = Callable[[Any], Encoder]
"""Makes an encoder of the ``RNNSpec`` of a zoo's RNNs, or of their ``RNNInterface`` where they have
several specs; an encoder class is one."""

if TYPE_CHECKING:
    EncoderLike: TypeAlias = EncoderFactory | str | Mapping[str, Any]
else:  # the command line makes a factory of names and options, and checks them
    EncoderLike = EncoderFactory


@torch.no_grad()
def embed(encoder: Encoder, rnns: RNNs) -> Tensor:
    """Return the embeddings of ``B`` RNNs, ``(B, D)``, of unit norm if so is the encoder's.

    They are those that emulators and prediction heads read, and that ``wsrl predict`` and
    ``wsrl inspect`` write: of the encoder in evaluation mode (without dropout), on its device and
    in its precision. Many RNNs are read part by part.

    Raises:
        ValueError: for RNNs that the encoder does not read, or whose weights are not finite.

    >>> from wsrl.encoders import create_encoder
    >>> from wsrl.rnn import concatenate
    >>> specs = [RNNSpec("lstm", 3, 8, 1, 2), RNNSpec("gru", 3, 5, 1, 2)]
    >>> rnns = concatenate([RNNWeights(torch.randn(2, s.num_parameters), s) for s in specs])
    >>> embed(create_encoder("FreeRunningProbing", specs[0]), rnns).shape
    torch.Size([4, 16])
    """
    check_finite(rnns)
    training = encoder.training
    try:
        encoder.eval()
        starts = range(0, max(1, len(rnns)), _AT_ONCE)
        parts = [rnns[start : start + _AT_ONCE] for start in starts]
        found = [normalized(encoder, part.to(encoder.device, encoder.dtype)) for part in parts]
    finally:
        encoder.train(training)
    return torch.cat(found)


def normalized(encoder: Encoder, rnns: RNNs) -> Tensor:
    """Encode RNNs as in training, in the mode that the encoder is in.

    Returns:
        ``(B, D)``, of unit norm unless the encoder's ``unit_norm`` is ``False``.
    """
    if len(rnns) == 0:  # a process without a share of a small split
        return torch.zeros(0, encoder.embedding_dim, dtype=rnns.dtype, device=encoder.device)
    embedding: Tensor = encoder(rnns)
    return F.normalize(embedding, dim=-1) if encoder.unit_norm else embedding


def check_sizes(**sizes: int) -> None:
    """Refuse sizes that are no whole numbers of at least 1 by a ``ValueError``."""
    for name, value in sizes.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")


def check_dropout(dropout: float) -> None:
    """Refuse what is no probability to drop a value by a ``ValueError``."""
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be at least 0 and below 1, not {dropout}")


def _check_input(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    module.check(args[0] if args else kwargs.get("weights"))


def _without_end(spec: RNNSpec | RNNInterface) -> RNNSpec | RNNInterface:
    """Leave out the output activation, which is only recorded."""
    return replace(spec, output_activation="none") if isinstance(spec, RNNSpec) else spec


def _readers() -> str:
    return f"those that read any RNN are {_names_of('any', 'any weights')}"


def _names_of(*reads: Reads) -> str:
    """Name the registered encoders that read such RNNs."""
    from wsrl.encoders.registry import ENCODERS  # which imports this file

    return ", ".join(name for name in ENCODERS.names() if ENCODERS.get(name).reads in reads)


class Mlp(nn.Sequential):
    """Linear layers with ReLU between: ``(..., inputs)`` to ``(..., outputs)``.

    Hidden layers start with He's initialisation, which keeps the scale of what passes: the small
    differences between the weights of RNNs then arrive at the output. ``depth`` counts them.
    With ``dropout``, what comes into a linear layer is dropped with that probability in training.
    """

    def __init__(
        self, inputs: int, width: int, depth: int, outputs: int, dropout: float = 0.0
    ) -> None:
        layers: list[nn.Module] = []
        dropped = [nn.Dropout(dropout)] if dropout else []
        for layer in range(depth):
            hidden = nn.Linear(width if layer else inputs, width)
            nn.init.kaiming_normal_(hidden.weight, nonlinearity="relu")
            nn.init.zeros_(hidden.bias)
            layers += [*dropped, hidden, nn.ReLU()]
        super().__init__(*layers, *dropped, nn.Linear(width, outputs))
