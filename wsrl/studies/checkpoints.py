"""What a checkpoint says about itself, and where a command line contradicts it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch

from wsrl.rnn import RNNSpec

LINKED = ("spec", "targets", "output_kind", "encoder_defaults")
"""Arguments of the models that come from the data, never from the user."""

SPLIT_OPTIONS = ("split_by", "split_seed", "ood_criterion", "test_fraction")
"""Settings of the data that say which tasks are held out."""


@dataclass(frozen=True)
class CheckpointRecord:
    """The settings in a checkpoint.

    Attributes:
        path: the file.
        class_path: of the model.
        model: the model's constructor arguments.
        data: the datamodule's.
        pretrained: the emulation checkpoint that the encoder's weights once came from, if any.
        logs: how long the files of its run's curves were, by name.
    """

    path: Path
    class_path: str
    model: dict[str, Any]
    data: dict[str, Any]
    pretrained: str | None
    logs: dict[str, int]

    @classmethod
    def read(cls, path: Path) -> CheckpointRecord:
        """Read a checkpoint's settings, and compare the whole file with its own checksums.

        Raises:
            ValueError: for a file that is damaged, or no checkpoint of a wsrl model trained on a
                zoo.
        """
        try:
            with ZipFile(path) as parts:  # the format of torch; which checks nothing on reading
                damaged = parts.testzip()
            if damaged is not None:
                raise ValueError(f"{damaged} in it has changed")
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except (BadZipFile, UnpicklingError, RuntimeError, EOFError, ValueError) as error:
            best = path.with_name("best.ckpt")
            other = f"; {best} is there as well (--ckpt_path best)"
            raise ValueError(
                f"{path} cannot be read as a checkpoint"
                + (other if path != best and best.is_file() else "")
            ) from error
        try:
            return cls(
                path,
                content["wsrl"]["class_path"],
                dict(content["hyper_parameters"]),
                dict(content["datamodule_hyper_parameters"]),
                content["wsrl"].get("pretrained"),
                dict(content.get("logs", {})),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"{path} is no checkpoint of a model that `wsrl fit` trained ({error} is missing)"
            ) from error

    def as_config(self) -> dict[str, Any]:
        """Return the settings as a config, without what comes from the data."""
        own = {name: value for name, value in self.model.items() if name not in LINKED}
        return {"model": {"class_path": self.class_path, "init_args": own}, "data": self.data}

    def check_model(self, class_path: str, model: Mapping[str, Any]) -> None:
        """Check that a model is the one in the checkpoint.

        Args:
            class_path: of the model.
            model: its constructor arguments.

        Raises:
            ValueError: naming every setting that differs, with both values.
        """
        if model["spec"] != self.model["spec"]:
            raise ValueError(
                f"the zoo's RNNs are ({RNNSpec(**model['spec'])}), but {self.path} was trained on "
                f"({RNNSpec(**self.model['spec'])}); give a zoo of such RNNs"
            )
        levels = [
            ({"model": class_path}, {"model": self.class_path}),
            (_encoder_class(model), _encoder_class(self.model)),
            (_options(model), _options(self.model)),
        ]
        # Other classes have other options: naming these as well would only hide the reason.
        differences = next((found for level in levels if (found := _differences(*level))), [])
        if differences:
            raise ValueError(
                f"the command line contradicts {self.path}:\n  " + "\n  ".join(differences) + "\n"
                "leave these options out to use the checkpoint's"
            )

    def check_pretrained(self, given: str) -> None:
        """Check that a checkpoint given to take the encoder from is the one it was taken from.

        Raises:
            ValueError: naming both, where it is another.
        """
        if str(Path(given).resolve()) != self.pretrained:
            raise ValueError(
                f"model.pretrained is {given}, but the encoder in {self.path} "
                + (f"is from {self.pretrained}" if self.pretrained else "was not pre-trained")
                + "; leave it out to use the checkpoint's"
            )

    def data_differences(
        self, data: Mapping[str, Any], only: Collection[str] | None = None
    ) -> list[str]:
        """Describe the data settings that differ: those named, or all but the zoo's path."""
        names = (data.keys() | self.data.keys()) - {"zoo"} if only is None else only
        here, there = (
            {f"data.{name}": settings.get(name) for name in names} for settings in (data, self.data)
        )
        return _differences(here, there)


def seen_splits(pretrained: Path, data: Mapping[str, Any]) -> list[str]:
    """Describe where an encoder has seen tasks that are held out now.

    Args:
        pretrained: the checkpoint that the encoder is from.
        data: the settings of the data now.
    """
    try:
        source = CheckpointRecord.read(pretrained)
    except ValueError:  # trained from Python on bare loaders: it knows of no split
        return []
    differences = source.data_differences(data, SPLIT_OPTIONS)
    return (
        [*differences, "the encoder has seen tasks that are held out here"] if differences else []
    )


def _differences(here: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
    return [
        f"{name}: {here.get(name)!r} given, {there.get(name)!r} in the checkpoint"
        for name in sorted(here.keys() | there.keys())
        if here.get(name) != there.get(name)
    ]


def _encoder_class(model: Mapping[str, Any]) -> dict[str, Any]:
    return {"model.encoder": model["encoder"]["class_path"]}


def _options(model: Mapping[str, Any]) -> dict[str, Any]:
    options = {f"model.{name}": value for name, value in model.items() if name != "encoder"}
    encoder = model["encoder"]["init_args"]
    return options | {f"model.encoder.{name}": value for name, value in encoder.items()}
