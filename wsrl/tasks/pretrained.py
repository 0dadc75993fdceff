"""Where a module's encoder comes from: a factory, a configuration or an emulation checkpoint."""

from collections.abc import Mapping
from typing import Any

from wsrl.class_paths import class_path
from wsrl.encoders import Encoder, build_encoder, get_encoder
from wsrl.encoders.base import EncoderLike
from wsrl.rnn import RNNInterface, RNNSpec, read_interface
from wsrl.tasks.state_dicts import checked_load, not_finite
from wsrl.torch_files import read_torch_file


def make_encoder(
    encoder: EncoderLike, spec: RNNSpec | RNNInterface, defaults: Mapping[str, Any] | None = None
) -> Encoder:
    """Build an encoder for RNNs of a spec, or of any with the same inputs and outputs.

    Options of it that were left at ``None`` take the values of ``defaults``, where there are some.
    A callable that returns no encoder, or fails, is a ``ValueError``.
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
            f"encoder must make an Encoder of a spec; {encoder!r} returned {type(built).__name__}"
        )
    config = built.config()
    options, known = config["init_args"], defaults or {}
    left_open = {n: known[n] for n, value in options.items() if value is None and n in known}
    return build_encoder(config | {"init_args": options | left_open}, spec) if left_open else built


def load_pretrained_encoder(path: str, spec: RNNSpec | RNNInterface) -> Encoder:
    """Rebuild the encoder of an emulation checkpoint for RNNs that it reads, with its weights.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is no emulation checkpoint, or its encoder does not read such RNNs.
    """
    try:
        checkpoint = read_torch_file(path)
    except (FileNotFoundError, ValueError) as error:
        raise type(error)(f"`pretrained`: {error}") from error
    content: dict[str, Any] = checkpoint if isinstance(checkpoint, dict) else {}
    hparams, state = content.get("hyper_parameters"), content.get("state_dict")
    known = isinstance(hparams, dict) and {"encoder", "spec", "emulator_width"} <= hparams.keys()
    if not isinstance(hparams, dict) or not known or not isinstance(state, Mapping):
        raise ValueError(
            f"{path} is not a checkpoint of an EmulationModule; give `pretrained` one that "
            "`wsrl fit` wrote for an emulation"
        )
    try:
        trained_on = read_interface(hparams["spec"])
        encoder = make_encoder(hparams["encoder"], trained_on)
        encoder.check_reads(trained_on, [spec])
        start = "encoder."
        own = {n.removeprefix(start): v for n, v in state.items() if str(n).startswith(start)}
        with checked_load(encoder, own):
            encoder.load_state_dict(own)
        if unusable := not_finite(encoder):
            raise ValueError(f"{unusable} is not finite, as after training that diverged")
    except (TypeError, ValueError) as error:
        raise ValueError(f"the encoder in {path} cannot be rebuilt: {error}") from error
    return encoder


def _name(encoder: EncoderLike) -> str:
    inside = (encoder, *getattr(encoder, "args", ()))  # the command line's are partial functions
    classes = [class_path(each) for each in inside if isinstance(each, type)]
    return classes[0] if classes else f"{encoder!r:.200}"
