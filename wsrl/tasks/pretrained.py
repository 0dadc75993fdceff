"""Where a module's encoder comes from: a factory, a configuration or an emulation checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wsrl.class_paths import class_path
from wsrl.encoders import Encoder, build_encoder, get_encoder
from wsrl.encoders.base import EncoderLike
from wsrl.rnn import RNNSpec
from wsrl.tasks.state_dicts import load_checked, not_finite
from wsrl.torch_files import read_torch_file

_ENCODER_PREFIX = "encoder."


def make_encoder(
    encoder: EncoderLike,
    spec: RNNSpec,
    defaults: Mapping[str, Any] | None = None,
) -> Encoder:
    """Build an encoder for RNNs of a spec.

    Args:
        encoder: its name, a callable that takes the spec, or what ``Encoder.config`` returned.
        spec: the RNNs it will read.
        defaults: values for those of its options that were left at ``None``.

    Raises:
        ValueError: when the callable does not return an encoder, or fails.
    """
    try:
        make = get_encoder(encoder) if isinstance(encoder, str) else encoder
        built: object = build_encoder(make, spec) if isinstance(make, Mapping) else make(spec)
    except ValueError:
        raise
    except Exception as error:  # of a class of one's own, which may have changed since
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(
            f"no encoder {_name(encoder)} can be made for RNNs ({spec}): {reason:.300}"
        ) from error
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
    hparams = checkpoint.get("hyper_parameters")
    if not isinstance(hparams, dict) or not {"encoder", "spec", "emulator_width"} <= hparams.keys():
        raise ValueError(
            f"{path} is not a checkpoint of an EmulationModule; give `pretrained` one that "
            "`wsrl fit` wrote for an emulation"
        )
    try:
        trained_on = RNNSpec(**hparams["spec"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} holds no spec of RNNs: {error}") from error
    if trained_on != spec:
        raise ValueError(
            f"the encoder in {path} was trained on RNNs of the spec ({trained_on}), the data has "
            f"({spec}); pre-train an encoder on such RNNs"
        )
    try:
        encoder = make_encoder(hparams["encoder"], spec)
        state = _encoder_state(checkpoint["state_dict"])
        load_checked(encoder, state, lambda: encoder.load_state_dict(state))
        if unusable := not_finite(encoder):
            raise ValueError(f"{unusable} is not finite, as after training that diverged")
    except (TypeError, ValueError) as error:
        raise ValueError(f"the encoder in {path} cannot be rebuilt: {error}") from error
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


def _name(encoder: EncoderLike) -> str:
    if isinstance(encoder, str):
        return encoder
    if isinstance(encoder, Mapping):
        return str(encoder["class_path"])
    inside = (encoder, *getattr(encoder, "args", ()))  # the command line's are partial functions
    classes = [class_path(each) for each in inside if isinstance(each, type)]
    return classes[0] if classes else repr(encoder)[:200]


def _load_checkpoint(path: str) -> dict[str, Any]:
    if not Path(path).is_file():
        raise FileNotFoundError(f"no checkpoint at {path} (`pretrained`)")
    try:
        checkpoint = read_torch_file(path)
    except ValueError as error:
        raise ValueError(f"`pretrained`: {error}") from error
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise ValueError(f"{path} (`pretrained`) is not a Lightning checkpoint")
    return checkpoint


def _encoder_state(state: Any) -> dict[str, Any]:
    if not isinstance(state, Mapping):
        raise ValueError(f"its state_dict is a {type(state).__name__}")
    prefix = _ENCODER_PREFIX
    return {n.removeprefix(prefix): v for n, v in state.items() if str(n).startswith(prefix)}
