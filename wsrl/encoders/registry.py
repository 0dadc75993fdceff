"""Encoders by name: registered by decorator, or by another package's entry point."""

from collections.abc import Mapping
from inspect import isabstract
from typing import Any, TypeVar

from wsrl.class_paths import import_class
from wsrl.encoders.base import Encoder
from wsrl.plugins import Registry
from wsrl.recorded import check_options, read_config
from wsrl.rnn import RNNInterface, RNNSpec

_Encoder = TypeVar("_Encoder", bound=Encoder)

ENCODERS: Registry[type[Encoder]] = Registry("encoder", "wsrl.encoders", base=Encoder)
"""Every encoder by the name of its class."""


def register_encoder(cls: type[_Encoder]) -> type[_Encoder]:
    """Register an encoder under the name of its class; a decorator, as ``Registry.register``."""
    return ENCODERS.register(cls)


list_encoders = ENCODERS.names
"""Return the names of all registered encoders, other packages' included, in order."""


def get_encoder(name: str) -> type[Encoder]:
    """Return the class of a registered encoder, or of one that is named by its class path."""
    if "." not in name:
        return ENCODERS.get(name)
    base: type[Encoder] = Encoder  # type: ignore[type-abstract]  # only its subclasses are made
    found = import_class(name, base)
    if isabstract(found):
        raise ValueError(f"{name} lacks a forward: it is no encoder yet")
    return found


def create_encoder(
    name: str, spec: RNNSpec | RNNInterface, embedding_dim: int = 16, **options: Any
) -> Encoder:
    """Build an encoder of embeddings of size ``D``.

    Args:
        name: one of ``list_encoders()``, or a class path: ``package.module.Name``.
        spec: the RNNs it is to read; for those that read any, the ``RNNInterface`` is enough.
        embedding_dim: ``D``.
        options: the encoder's own options.

    Raises:
        ValueError: for an unknown name or option, with the choices.

    >>> spec = RNNSpec("lstm", input_size=3, hidden_size=8, num_layers=2, output_size=3)
    >>> create_encoder("LayerwiseStatistics", spec, embedding_dim=4, width=8).config()["init_args"]
    {'embedding_dim': 4, 'width': 8, 'depth': 3, 'unit_norm': True}
    """
    cls = get_encoder(name)
    check_options(cls, options)
    return cls(spec=spec, embedding_dim=embedding_dim, **options)


def build_encoder(config: Mapping[str, Any], spec: RNNSpec | RNNInterface) -> Encoder:
    """Build the encoder that ``Encoder.config`` describes, with fresh weights.

    A path that leads to no encoder, or an option that it does not have, is a ``ValueError``.
    """
    cls, options = read_config(config, ENCODERS)
    return cls(spec=spec, **options)
