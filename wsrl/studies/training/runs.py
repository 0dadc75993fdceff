"""A run's folder, and what a command line says about it before it is parsed in full.

A run has one folder with ``checkpoints/best.ckpt`` and ``last.ckpt``, ``logs/`` for TensorBoard,
``config.yaml`` (all settings, resolved), ``cost.json`` (what training took) and what its tests
found: ``test.json`` the metrics, ``test.safetensors`` the same of every RNN.
"""

from __future__ import annotations

import argparse
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wsrl.safe_files import check_inside
from wsrl.strict_json import to_json
from wsrl.studies.configs import Config, configs_apart, read_config
from wsrl.zoos.files import remove_leftovers

WORDS = ("best", "last")
"""Checkpoints that can be named without a path."""

AUTO = "auto"
"""Stands for the last checkpoint if there is one, and for none if there is not."""

WRITTEN = (
    "config.yaml",
    "cost.json",
    "test.json",
    "test.safetensors",
    "validate.json",
    "embeddings.safetensors",
)
"""Files that commands write into a run's folder."""

_HELP = ("-h", "--help", "--print_config", "--model.help", "--model.encoder.help")


@dataclass(frozen=True)
class Run:
    """The folder of one run."""

    folder: Path

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.folder / "checkpoints"

    @property
    def logs(self) -> Path:
        """Folder of the TensorBoard logs."""
        return self.folder / "logs"

    @property
    def config(self) -> Path:
        """The resolved settings of the run."""
        return self.folder / "config.yaml"

    @property
    def cost(self) -> Path:
        """What training took."""
        return self.folder / "cost.json"

    def checkpoint(self, word: str) -> Path:
        """Path of the ``best`` or the ``last`` checkpoint."""
        return self.checkpoints / f"{word}.ckpt"

    def holds_a_run(self) -> bool:
        """Whether something was trained here."""
        return self.config.exists() or self.checkpoints.exists()

    def is_begun(self) -> bool:
        """Whether a run began here and was killed before its first checkpoint."""
        return {"model", "data"} <= self.settings().keys() and not self.checkpoint("last").is_file()

    def settings(self) -> dict[str, Any]:
        """Return the top level of the resolved settings; nothing where there are none."""
        return read_config(str(self.config)) if self.config.exists() else {}

    def remove_leftovers(self) -> None:
        """Delete what commands that were killed left half written; what is being written stays.

        Raises:
            ValueError: where a link leads out of the run's folder.
        """
        check_inside(self.folder, self.checkpoints.name)
        for folder in (self.folder, self.checkpoints):
            remove_leftovers(folder)

    def clear(self) -> None:
        """Delete what a run wrote here, and nothing else."""
        for folder in (self.checkpoints, self.logs):
            shutil.rmtree(folder, ignore_errors=True)
        for name in WRITTEN:
            (self.folder / name).unlink(missing_ok=True)

    @classmethod
    def of_checkpoint(cls, path: Path) -> Run:
        """The run that a checkpoint belongs to."""
        inside = path.parent.name == "checkpoints"
        return cls(path.parent.parent if inside else path.parent)


@dataclass
class Request:
    """A training command line, split into what concerns the run and all the rest.

    Attributes:
        configs: the config files in order; they come before every other option, so that the
            command line beats them wherever it stands.
        options: the other options.
        run: folder of the run as given, if it was.
        ckpt_path: checkpoint as given: a path, ``best``, ``last`` or ``auto``.
        wants_help: whether help or the resolved config is asked for and nothing is run.
    """

    options: list[str]
    configs: list[Config] = field(default_factory=list)
    run: str | None = None
    ckpt_path: str | None = None
    wants_help: bool = False

    @classmethod
    def read(cls, args: Sequence[str]) -> Request:
        """Read a command line.

        Raises:
            ValueError: for a config file that is missing, or holds something else.
        """
        configs, rest = configs_apart(args)
        parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
        parser.add_argument("--run")
        parser.add_argument("--ckpt_path")
        known, options = parser.parse_known_args(rest)
        wants_help = any(option.split("=")[0] in _HELP for option in options)
        for config in reversed(configs):  # the later one wins
            _check_sections(config)
            run, checkpoint = config.text_at("run"), config.text_at("ckpt_path")
            known.run, known.ckpt_path = known.run or run, known.ckpt_path or checkpoint
        return cls(options, configs, known.run, known.ckpt_path, wants_help)

    def names(self) -> set[str]:
        """Return all names on the command line and in its configs, those of classes among them."""
        words = [*self.options, *(to_json(config.content) for config in self.configs)]
        return set(re.findall(r"[A-Za-z_][\w.]*", " ".join(words)))

    def resolve(self, subcommand: str) -> tuple[Run, Path | None]:
        """Say which folder and which checkpoint are meant.

        Raises:
            ValueError: when the command line does not say, or there is no such checkpoint.
        """
        if subcommand != "fit" and self.ckpt_path in (None, AUTO):
            raise ValueError(
                f"say which to {subcommand}: best or last (--run RUN --ckpt_path best), or a path "
                "(--ckpt_path RUN/checkpoints/best.ckpt)"
            )
        path = None if self.ckpt_path in (None, *WORDS, AUTO) else Path(str(self.ckpt_path))
        if self.run is not None:
            run = Run(Path(self.run))
        elif path is not None and not (subcommand == "fit" and self.configs):
            run = Run.of_checkpoint(path)
        else:
            run = self._named_run()
        if self.ckpt_path == AUTO:
            last = run.checkpoint("last")
            return run, last if last.is_file() else None
        if self.ckpt_path in WORDS:
            path = run.checkpoint(str(self.ckpt_path))
        if path is not None and not path.is_file():
            others = ", ".join(map(str, sorted(path.parent.glob("*.ckpt"))))
            further = f"; there are {others}" if others else ""
            if not others and subcommand == "fit":
                further = ": nothing to resume. Leave --ckpt_path out to train from the start"
            raise ValueError(f"no checkpoint at {path}{further}")
        return run, path

    def _named_run(self) -> Run:
        if not self.configs:
            raise ValueError("say where the run is: --run DIR, or a --config whose name it gets")
        paths = [Path(config.path) for config in self.configs]
        for path in paths:
            if path.name == Run(path.parent).config.name:
                return Run(path.parent)  # the settings that a run keeps
        return Run(Path("runs") / "-".join(path.stem for path in paths))


def _check_sections(config: Config) -> None:
    """Check what each part of a training config is, before the parser reads it."""
    for name in ("trainer", "model", "data"):
        value = config.content.get(name, {})
        if not isinstance(value, dict | str):  # text names a class, or another file
            raise ValueError(
                f"{config.path}: {name} must hold settings by name, not {to_json(value):.100}: "
                "leave it out where there is nothing to set"
            )
