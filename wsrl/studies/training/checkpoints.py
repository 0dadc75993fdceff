"""What a checkpoint says about itself, and where a command line contradicts it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from wsrl.class_paths import class_path, find_class
from wsrl.data import ZooDataModule
from wsrl.encoders.registry import ENCODERS
from wsrl.plugins import UnknownNameError
from wsrl.recorded import is_plain, read_config
from wsrl.rnn import read_interface
from wsrl.tasks import PredictionModule, TaskModule
from wsrl.tasks.heads import HEADS
from wsrl.tasks.optimizers import describe_optimizer, describe_scheduler
from wsrl.torch_files import read_torch_file
from wsrl.validation import check_arguments, checked, short

LINKED = ("spec", "targets", "output_kind", "encoder_defaults")
"""Arguments of the models that come from the data, never from the user."""

OPTIMIZERS = {"optimizer": describe_optimizer, "lr_scheduler": describe_scheduler}
"""Arguments of the models that have options of their own, and what checks them."""

NOT_RECORDED = ("stage_to",)
"""Arguments of the data that checkpoints never hold: one that does was tampered with."""

SPLIT_OPTIONS = ("split_by", "split_seed", "ood_criterion", "test_fraction")
"""Settings of the data that decide which tasks are held out."""


@checked
class CheckpointRecord:
    """The settings in a checkpoint: constructor arguments of the model and of the datamodule."""

    path: Path
    class_path: str
    model: dict[str, Any]
    data: dict[str, Any]
    pretrained: str | None  # the emulation checkpoint that the encoder's weights once came from
    step: int

    @classmethod
    def read(cls, path: Path, named: Collection[str] = frozenset()) -> CheckpointRecord:
        """Read a checkpoint's settings; ``ValueError`` for a file that wsrl did not write.

        The parser would import, and even call, whatever a setting names: they are checked here.
        Classes that are ``named``, words of the user's command line, may be imported.
        """
        content = read_torch_file(path, mmap=True)
        try:
            _check_parts(content)
            own, data = content["wsrl"], content["datamodule_hyper_parameters"]
            settings = (own["class_path"], content["hyper_parameters"], data)
            record = cls(path, *settings, own.get("pretrained"), content["global_step"])
            return record._checked(named)
        except UnknownNameError as error:
            raise ValueError(f"{path}: {error}") from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise ValueError(
                f"{path} is no checkpoint of a model that `wsrl fit` trained, or not to be trusted "
                f"({reason})"
            ) from error

    def _checked(self, named: Collection[str]) -> CheckpointRecord:
        """Check the settings, and add the defaults of options that were not there yet."""
        for what, settings in (("model", self.model), ("data", self.data)):
            if not is_plain(settings):
                raise ValueError(f"the settings of its {what} are no plain values")
        base: type[TaskModule] = TaskModule  # type: ignore[type-abstract]  # never made itself
        task = find_class(self.class_path, base, named)
        encoder, options = read_config(self.model["encoder"], ENCODERS, named)
        if self.model.get("head") is not None:
            read_config(self.model["head"], HEADS, named)
        for name, describe in OPTIMIZERS.items():
            if not isinstance(self.model.get(name), dict | None):
                raise ValueError(f"{name} is no description: {self.model[name]!r:.200}")
            describe(self.model.get(name))
        read_interface(self.model["spec"])
        apart = {"encoder", "head", "spec", *OPTIMIZERS}  # which are checked by now
        for cls, settings in ((task, self.model), (ZooDataModule, self.data)):
            check_arguments(cls, {n: v for n, v in settings.items() if n not in apart})
        known = inspect.signature(ZooDataModule).parameters.keys() - set(NOT_RECORDED)
        if unknown := sorted(self.data.keys() - known):
            raise ValueError(
                f"{', '.join(unknown)!r:.200} is no setting that runs keep of their data"
            )
        if issubclass(task, PredictionModule) and self.model.get("pretrained") is not None:
            raise ValueError("`pretrained` is set: its own weights are the encoder's")
        whole = self.model["encoder"] | {"init_args": _defaults(encoder) | options}
        return replace(self, model=_defaults(task) | self.model | {"encoder": whole})

    def as_config(self) -> dict[str, Any]:
        """Return the settings as a config, without what comes from the data."""
        apart = {name: self.model[name] for name in OPTIMIZERS if self.model.get(name)}
        own = {n: value for n, value in self.model.items() if n not in (*LINKED, *OPTIMIZERS)}
        model = {"class_path": self.class_path, "init_args": own}
        return {"model": model, "data": self.data, **apart}

    def check_model(self, model: TaskModule) -> None:
        """Check that a model is the one in the checkpoint, and that this reads the RNNs."""
        own = {**model.hparams, "spec": self.model["spec"]}
        try:
            model.encoder.check_reads(read_interface(self.model["spec"]), [model.spec])
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from error
        here = _flat(class_path(type(model)), own)
        differences = _differences(here, _flat(self.class_path, self.model))
        # Other classes have other options: naming these as well would only hide the reason.
        classes = [each for each in differences if each.startswith(("model:", "model.encoder:"))]
        advice = "leave these options out to use the checkpoint's"
        _refuse(f"the command line contradicts {self.path}", classes or differences, advice)

    def check_pretrained(self, given: str) -> None:
        """Check that the encoder was once taken from this checkpoint."""
        if str(Path(given).resolve()) != self.pretrained:
            raise ValueError(
                f"model.pretrained is {given}, but the encoder in {self.path} is from "
                f"{self.pretrained or 'no checkpoint'}; leave it out to use the checkpoint's"
            )

    def check_repeated(self, data: Mapping[str, Any], seed: int | None, began_with: Any) -> None:
        """Check that the data, and the seed where both name one, are those that began the run."""
        differences = self.data_differences(data, self.data.keys())
        if seed is not None and began_with is not None:
            differences += _differences({"seed_everything": seed}, {"seed_everything": began_with})
        _refuse(
            f"auto goes on with the run it began, but {self.path} is of another",
            differences,
            "choose another folder (--run DIR); or go on all the same (--ckpt_path last)",
        )

    def data_differences(
        self, data: Mapping[str, Any], only: Collection[str] | None = None
    ) -> list[str]:
        """Describe the data settings that differ: those named, or all but the zoo's path."""
        names = (data.keys() | self.data.keys()) - {"zoo"} if only is None else only
        return _differences(
            *({f"data.{name}": of.get(name) for name in names} for of in (data, self.data))
        )


def _refuse(what: str, differences: list[str], advice: str) -> None:
    if differences:
        raise ValueError("\n  ".join([f"{what}:", *differences]) + f"\n{advice}")


def seen_splits(pretrained: Path, data: Mapping[str, Any]) -> list[str]:
    """Describe where the encoder of a checkpoint has seen tasks that these data hold out now."""
    try:
        source = CheckpointRecord.read(pretrained)
    except ValueError:  # trained from Python on bare loaders: it knows of no split
        return []
    differences = source.data_differences(data, SPLIT_OPTIONS)
    return differences and [*differences, "the encoder has seen tasks that are held out here"]


def _check_parts(content: Any) -> None:
    """Check the parts of a checkpoint that Lightning reads without a check of its own."""
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}")
    weights, version = content["state_dict"], content["pytorch-lightning_version"]
    if not isinstance(weights, dict) or not all(isinstance(name, str) for name in weights):
        raise ValueError("its state_dict holds no tensors by name")
    for name, value in weights.items():
        if not isinstance(value, Tensor) and not name.endswith("_extra_state"):
            raise ValueError(f"in its state_dict {name!r:.200} is a {type(value).__name__}")
    if not isinstance(version, str) or not re.match(r"[2-9]\.|[1-9]\d+\.", version):
        raise ValueError(f"its pytorch-lightning_version is {short(version)}")
    if not isinstance(content.get("callbacks", {}), dict):
        raise ValueError(f"its callbacks are a {type(content['callbacks']).__name__}")


def _defaults(cls: type) -> dict[str, Any]:
    parameters = inspect.signature(cls.__init__).parameters  # type: ignore[misc]  # its very own
    return {n: p.default for n, p in parameters.items() if p.default is not p.empty}


def _differences(here: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
    return [
        f"{name}: {here.get(name)!r} given, {there.get(name)!r} in the checkpoint"
        for name in sorted(here.keys() | there.keys())
        if here.get(name) != there.get(name)
    ]


def _flat(class_path: str, model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the class of a model, that of its encoder, and the options of both, by name."""
    encoder = model["encoder"]
    options = {f"model.{name}": value for name, value in model.items()}
    options |= {f"model.encoder.{name}": value for name, value in encoder["init_args"].items()}
    return {**options, "model": class_path, "model.encoder": encoder["class_path"]}
