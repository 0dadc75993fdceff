"""Where a module's encoder comes from: a factory, a configuration or an emulation checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from wsrl.encoders import Encoder, EncoderFactory, build_encoder
from wsrl.rnn import RNNSpec

_ENCODER_PREFIX = "encoder."


def make_encoder(
    encoder: EncoderFactory | Mapping[str, Any],
    spec: RNNSpec,
    defaults: Mapping[str, Any] | None = None,
) -> Encoder:
    """Build an encoder for RNNs of a spec.

    Args:
        encoder: a callable that takes the spec, or what ``Encoder.config`` returned.
        spec: the RNNs it will read.
        defaults: values for those of its options that were left at ``None``.

    Raises:
        ValueError: when the callable does not return an encoder.
    """
    built: object = build_encoder(encoder, spec) if isinstance(encoder, Mapping) else encoder(spec)
    if not isinstance(built, Encoder):
        raise ValueError(
            f"encoder must be a callable that takes an RNNSpec and returns an Encoder; {encoder!r} "
            f"returned {type(built).__name__}"
        )
    config = built.config()
    options: dict[str, Any] = config["init_args"]
    suited = {name: value for name, value in (defaults or {}).items() if name in options}
    left_open = {name: value for name, value in suited.items() if options[name] is None}
    return build_encoder(config | {"init_args": options | left_open}, spec) if left_open else built


def load_pretrained_encoder(path: str, spec: RNNSpec) -> Encoder:
    """Rebuild the encoder of an emulation checkpoint, with its weights.

    Args:
        path: a checkpoint of an ``EmulationModule``.
        spec: the RNNs it will read; they must be of the spec it was trained on.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is no emulation checkpoint, or one for another spec.
    """
    checkpoint = _load_checkpoint(path)
    hparams = checkpoint.get("hyper_parameters", {})
    if not {"encoder", "spec", "emulator_width"} <= set(hparams):
        raise ValueError(
            f"{path} is not a checkpoint of an EmulationModule; give `pretrained` one that "
            "`wsrl fit` wrote for an emulation"
        )
    trained_on = RNNSpec(**hparams["spec"])
    if trained_on != spec:
        raise ValueError(
            f"the encoder in {path} was trained on RNNs of the spec ({trained_on}), the data has "
            f"({spec}); pre-train an encoder on such RNNs"
        )
    encoder = build_encoder(hparams["encoder"], spec)
    state = checkpoint["state_dict"]
    encoder.load_state_dict(
        {
            name.removeprefix(_ENCODER_PREFIX): value
            for name, value in state.items()
            if name.startswith(_ENCODER_PREFIX)
        }
    )
    return encoder


def check_same_encoder(given: Encoder, pretrained: Encoder, path: str) -> None:
    """Check that an encoder given beside a checkpoint is the checkpoint's.

    Raises:
        ValueError: naming both, when class or options differ.
    """
    if given.config() != pretrained.config():
        raise ValueError(
            f"two different encoders: `encoder` is {describe_encoder(given)}, the one in {path} is "
            f"{describe_encoder(pretrained)}; leave `encoder` out to use the checkpoint's"
        )


def describe_encoder(encoder: Encoder) -> str:
    """Return class and options in one line."""
    options = encoder.config()["init_args"]
    return f"{type(encoder).__name__}({', '.join(f'{k}={v!r}' for k, v in options.items())})"


def _load_checkpoint(path: str) -> dict[str, Any]:
    if not Path(path).is_file():
        raise FileNotFoundError(f"no checkpoint at {path} (`pretrained`)")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise ValueError(f"{path} (`pretrained`) cannot be read as a checkpoint") from error
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise ValueError(f"{path} (`pretrained`) is not a Lightning checkpoint")
    return checkpoint
