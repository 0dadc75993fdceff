"""What an encoder is: a Lightning module that maps the weights of RNNs to embeddings."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar, TypeAlias, TypeVar

from lightning.pytorch import LightningModule
from torch import Tensor
from torch.nn import functional as F

from wsrl.class_paths import find_class
from wsrl.rnn import RNNSpec, RNNWeights

_Self = TypeVar("_Self", bound="Encoder")
_UNNAMED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Encoder(LightningModule, ABC):
    """Maps the weights of ``B`` RNNs to embeddings ``(B, D)``.

    A subclass implements ``forward``. Options are further arguments of its constructor, with
    defaults and simple types (numbers, strings, booleans): they are recorded here, so that
    ``config`` can describe the encoder and a checkpoint can rebuild it without any code in the
    subclass.

    Args:
        spec: the RNNs it reads.
        embedding_dim: size ``D`` of an embedding.

    Attributes:
        permutation_invariant: whether the embedding is the same, by construction, after any
            permutation of the hidden neurons of a layer with all their couplings.

    Raises:
        ValueError: for an embedding size below 1.
    """

    permutation_invariant: ClassVar[bool] = False
    _recorded: dict[str, Any]

    def __new__(cls: type[_Self], *args: Any, **kwargs: Any) -> _Self:
        """Record the constructor's arguments; copies and pickles come here without any."""
        encoder = super().__new__(cls)
        # Not through nn.Module, whose __setattr__ expects that its __init__ has run.
        object.__setattr__(encoder, "_recorded", _bind(cls, args, kwargs))
        return encoder

    def __init__(self, spec: RNNSpec, embedding_dim: int = 16) -> None:
        super().__init__()
        check_sizes(embedding_dim=embedding_dim)
        self.spec = spec
        self.embedding_dim = embedding_dim
        self.register_forward_pre_hook(_check_weights, with_kwargs=True)

    @abstractmethod
    def forward(self, weights: RNNWeights) -> Tensor:
        """Encode ``B`` RNNs; return ``(B, D)``, not normalised."""

    def config(self) -> dict[str, Any]:
        """Describe the encoder for a checkpoint, in plain values.

        Returns:
            ``{"class_path": ..., "init_args": {...}}``: every constructor argument but ``spec``,
            defaults included. ``build_encoder`` reads it.

        Raises:
            TypeError: where an argument is no plain value.
        """
        arguments = {name: value for name, value in self._recorded.items() if name != "spec"}
        for name, value in arguments.items():
            if not is_plain(value):
                raise TypeError(
                    f"{type(self).__name__}: the option {name} must be made of numbers, strings, "
                    f"booleans, lists and dictionaries to go into a checkpoint, not {value!r}"
                )
        return {"class_path": class_path(type(self)), "init_args": arguments}


EncoderFactory: TypeAlias = Callable[[RNNSpec], Encoder]
"""Makes an encoder for the RNNs of a zoo; an encoder class is one."""


def embed(encoder: Encoder, weights: RNNWeights) -> Tensor:
    """Encode RNNs and scale every embedding to unit L2 norm: ``(B, D)``."""
    return F.normalize(encoder(weights), dim=-1)


def class_path(cls: type) -> str:
    """Return the path that ``build_encoder`` imports: ``package.module.Name``."""
    return f"{cls.__module__}.{cls.__qualname__}"


def build_encoder(config: Mapping[str, Any], spec: RNNSpec) -> Encoder:
    """Build the encoder that ``Encoder.config`` describes, with fresh weights.

    Args:
        config: ``{"class_path": ..., "init_args": {...}}``; without ``init_args``, the defaults.
        spec: the RNNs it is to read.

    Raises:
        ValueError: where the path leads to no encoder, or for an option it does not have.
    """
    cls, arguments = read_config(config)
    return cls(spec=spec, **arguments)


def read_config(
    config: object, named: Collection[str] = frozenset()
) -> tuple[type[Encoder], dict[str, Any]]:
    """Return class and options of what ``Encoder.config`` describes; it may be anybody's.

    Args:
        config: the description.
        named: paths of classes that the user's command line names.

    Raises:
        ValueError: as ``build_encoder``.
    """
    if not isinstance(config, Mapping) or not isinstance(config.get("class_path"), str):
        raise ValueError(f"an encoder's config needs a class_path; given: {config!r:.500}")
    base: type[Encoder] = Encoder  # type: ignore[type-abstract]  # only its subclasses are made
    cls = find_class(config["class_path"], base, named)
    arguments = config.get("init_args") or {}
    if not isinstance(arguments, dict) or not is_plain(arguments):
        raise ValueError(f"init_args must be plain values by name; given: {arguments!r:.500}")
    if "spec" in arguments:
        raise ValueError("init_args must not hold a spec: it comes from the data")
    check_options(cls, arguments)
    parameters = _constructor(cls).parameters.values()
    required = [each.name for each in parameters if each.default is each.empty]
    if lacking := [name for name in required if name not in ("spec", *arguments)]:
        raise ValueError(
            f"{cls.__name__} needs {', '.join(lacking)} as well, which init_args lack; given: "
            f"{arguments!r:.500}"
        )
    return cls, dict(arguments)


def option_names(cls: type[Encoder]) -> list[str]:
    """Name the constructor's arguments but ``spec``."""
    return [name for name in _constructor(cls).parameters if name != "spec"]


def check_options(cls: type[Encoder], options: Mapping[str, Any]) -> None:
    """Check that an encoder's constructor has these options.

    Raises:
        ValueError: naming the unknown ones and those there are.
    """
    known = option_names(cls)
    unknown = [name for name in options if name not in known]
    if unknown:
        raise ValueError(
            f"{cls.__name__} has no option {', '.join(unknown)}; it has: {', '.join(known)}"
        )


def check_sizes(**sizes: int) -> None:
    """Check that sizes are whole numbers of at least 1.

    Raises:
        ValueError: naming the first that is not.
    """
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


def _constructor(cls: type[Encoder]) -> inspect.Signature:
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]  # without self
    if any(parameter.kind in _UNNAMED for parameter in parameters):
        raise TypeError(
            f"{cls.__name__}: an encoder's constructor must name all its arguments, for its "
            "config; it has *args or **kwargs"
        )
    return inspect.Signature(parameters)


def _bind(cls: type[Encoder], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    signature = _constructor(cls)
    bound = signature.bind_partial(*args, **kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)


def is_plain(value: object) -> bool:
    """Whether a value is made of numbers, strings, booleans, lists and dictionaries by name.

    It must be small: a list of a file may hold itself, or the same list again and again, and would
    then never come to an end for whoever copies or prints it.
    """
    level, count = [value], 0
    for _ in range(_DEEPEST):
        inside: list[object] = []
        for item in level:
            if isinstance(item, dict):
                if not all(isinstance(key, str) for key in item):
                    return False
                inside += item.values()
            elif isinstance(item, list | tuple):
                inside += item
            elif item is not None and type(item) not in {bool, int, float, str}:
                return False
            if count + len(inside) > _MOST:
                return False
        if not inside:
            return True
        level, count = inside, count + len(inside)
    return False


_DEEPEST, _MOST = 20, 100_000  # of settings: far more than any has
