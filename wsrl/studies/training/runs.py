"""A run's folder, and what a command line says about it before it is parsed in full.

A run has one folder with ``checkpoints/best.ckpt`` and ``last.ckpt``, ``logs/`` for TensorBoard,
``config.yaml`` (all settings, resolved), ``cost.json`` (what training took) and what its tests
found: ``test.json`` the metrics, ``test.safetensors`` the same of every RNN.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsrl.jobs import locked
from wsrl.safe_files import check_inside
from wsrl.strict_json import to_json
from wsrl.studies.configs import Config, configs_apart, read_config
from wsrl.zoos.files import remove_leftovers

WORDS = ("best", "last")
"""Checkpoints that can be named without a path."""

AUTO = "auto"
"""Stands for the last checkpoint if there is one, and for none if there is not."""

_RESULTS = ("test.json", "test.safetensors", "validate.json", "embeddings.safetensors")
_LOCK = "fit.lock"
_HELP = ("-h", "--help", "--print_config", "--model.help", "--model.encoder.help")


class Run:
    """The folder of one run, and the paths in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkpoints, self.logs = folder / "checkpoints", folder / "logs"
        self.config, self.cost = folder / "config.yaml", folder / "cost.json"

    @classmethod
    def of_checkpoint(cls, path: Path) -> Run:
        """The run that a checkpoint belongs to."""
        inside = path.parent.name == "checkpoints"
        return cls(path.parent.parent if inside else path.parent)

    def checkpoint(self, word: str) -> Path:
        """Path of the ``best`` or the ``last`` checkpoint."""
        return self.checkpoints / f"{word}.ckpt"

    def owns(self, checkpoint: Path | None) -> bool:
        """Whether a checkpoint is one of the run's own."""
        return checkpoint is not None and checkpoint.parent.resolve() == self.checkpoints.resolve()

    def holds_a_run(self) -> bool:
        """Whether something was trained here."""
        return self.config.exists() or self.checkpoints.exists()

    def settings(self) -> dict[str, Any]:
        """Return the top level of the resolved settings; empty if there are none."""
        return read_config(str(self.config)) if self.config.exists() else {}

    def remove_leftovers(self) -> None:
        """Delete partial files of killed commands; files of living processes stay."""
        check_inside(self.folder, self.checkpoints.name)
        for folder in (self.folder, self.checkpoints):
            remove_leftovers(folder)

    def clear(self) -> None:
        """Delete what a run wrote here, and nothing else."""
        for folder in (self.checkpoints, self.logs):
            shutil.rmtree(folder, ignore_errors=True)
        for path in (self.config, self.cost, *map(self.folder.joinpath, _RESULTS)):
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def owned(
        self, goes_on: bool = False, auto: bool = False, overwrite: bool = False
    ) -> Iterator[None]:
        """Have the folder for one command: two would mix their checkpoints and curves.

        The command goes on with what the folder holds, or does so if there is something
        (``auto``), or deletes it (``overwrite``).
        """
        if overwrite and (auto or goes_on):
            raise ValueError(
                "--overwrite deletes the run that --ckpt_path goes on with: leave one of them out"
            )
        check_inside(self.folder, _LOCK, self.checkpoints.name, self.logs.name)

        def refuse(holder: str) -> None:
            raise ValueError(
                f"{holder} trains in {self.folder} right now: choose another folder (--run DIR), "
                "or end it first"
            )

        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / _LOCK, refuse):
            # A run that was killed before its first checkpoint is begun again.
            killed = auto and not self.checkpoint("last").is_file()
            began = killed and {"model", "data"} <= self.settings().keys()
            if self.holds_a_run() and not (goes_on or overwrite or began):
                raise ValueError(
                    f"{self.folder} holds a run already: go on with it (--ckpt_path last), "
                    "choose another folder (--run DIR), or delete what it holds (--overwrite)"
                )
            if overwrite:
                self.clear()
            yield


@dataclass
class Request:
    """A training command line, split into what concerns the run and all the rest.

    The config files come before every other option: the command line beats them wherever it stands.
    """

    options: list[str]
    configs: list[Config]
    run: str | None
    ckpt_path: str | None  # a path, ``best``, ``last`` or ``auto``
    wants_help: bool  # or the resolved config: nothing is run

    @classmethod
    def read(cls, args: Sequence[str]) -> Request:
        """Read a command line; a config that is missing, or something else, is a ``ValueError``."""
        configs, rest = configs_apart(args)
        parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
        parser.add_argument("--run")
        parser.add_argument("--ckpt_path")
        known, options = parser.parse_known_args(rest)
        for config in reversed(configs):  # the later one wins
            for name in ("trainer", "model", "data"):
                value = config.content.get(name, {})
                if not isinstance(value, dict | str):  # text names a class, or another file
                    said = f"must hold settings by name, not {to_json(value):.100}"
                    raise ValueError(f"{config.path}: {name} {said}")
            run, checkpoint = config.text_at("run"), config.text_at("ckpt_path")
            known.run, known.ckpt_path = known.run or run, known.ckpt_path or checkpoint
        _check_places(configs, options)
        wants_help = any(option.split("=")[0] in _HELP for option in options)
        return cls(options, configs, known.run, known.ckpt_path, wants_help)

    def names(self) -> set[str]:
        """Return all names on the command line and in its configs, those of classes among them."""
        words = [*self.options, *(to_json(config.content) for config in self.configs)]
        return set(re.findall(r"[A-Za-z_][\w.]*", " ".join(words)))

    def resolve(self, command: str) -> tuple[Run, Path | None]:
        """Say which folder and which checkpoint are meant; neither is guessed."""
        if command != "fit" and self.ckpt_path in (None, AUTO):
            raise ValueError(
                f"say which to {command}: best or last (--run RUN --ckpt_path best), or a path "
                "(--ckpt_path RUN/checkpoints/best.ckpt)"
            )
        path = None if self.ckpt_path in (None, *WORDS, AUTO) else Path(str(self.ckpt_path))
        if self.run is not None:
            run = Run(Path(self.run))
        elif path is not None and not (command == "fit" and self.configs):
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
            raise ValueError(f"no checkpoint at {path}{f'; there are {others}' if others else ''}")
        return run, path

    def _named_run(self) -> Run:
        """Return the run of a run's own config, or the one named after the config files."""
        if not self.configs:
            raise ValueError("say where the run is: --run DIR, or a --config whose name it gets")
        paths = [Path(config.path) for config in self.configs]
        own = [path.parent for path in paths if path.name == Run(path.parent).config.name]
        return Run(own[0] if own else Path("runs") / "-".join(path.stem for path in paths))


def _check_places(configs: Sequence[Config], options: Sequence[str]) -> None:
    """Refuse an optimiser or schedule inside of the model, which jsonargparse would pass over."""
    for name in ("optimizer", "lr_scheduler"):
        places = [config.path for config in configs if config.holds(f"model.{name}")]
        within = re.compile(rf"--model\.(init_args\.)?{name}\b")
        places += [f"{option:.100}" for option in options if within.match(option)]
        if places:
            raise ValueError(
                f"{places[0]}: {name} stands beside model, at the top level, not in it"
            )
