"""What a file holds, and what it may be read as: the interface of the readers of files."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any, TypeAlias

from torch import Tensor

from wsrl.rnn.weights import RNNWeights

Said: TypeAlias = Mapping[str, Any]
"""Options that say what a file does not, by name: ``{"nonlinearity": "relu", "alpha": 0.2}``."""


@dataclass(frozen=True)
class Content:
    """What a file holds.

    Attributes:
        tensors: by name, as the file has them.
        settings: the plain values beside them: numbers, strings, and lists and dictionaries of
            these.
        kind: the container that it was read from, as ``torch`` or ``keras``; ``memory`` for tensors
            that were never in a file.
        notes: what else is in the file and is not read, in words.
    """

    tensors: dict[str, Tensor]
    settings: dict[str, Any]
    kind: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Head:
    """What tells one container from another without reading it.

    Attributes:
        path: of the file.
        start: its first bytes, at most 4096.
        members: the names in it if it is a zip archive; none otherwise.
    """

    path: Path
    start: bytes
    members: tuple[str, ...]


@dataclass(frozen=True)
class Container:
    """A kind of file.

    Attributes:
        name: as in ``Content.kind``.
        matches: whether a file is of this kind. The name of a file says little.
        read: returns what the file holds; nothing in it is run. A ``ValueError`` of one line says
            what is wrong with it.
    """

    name: str
    matches: Callable[[Head], bool]
    read: Callable[[Path], Content]


@dataclass(frozen=True)
class Candidate:
    """One RNN that a file may hold.

    Attributes:
        weights: ``(1, N)``.
        choices: options and the values that this candidate takes: ``{"cell": "relu"}``. Those in
            which the candidates of a file differ are open: what the user says, or a reference,
            tells them apart. To say another value than any candidate has is an error.
        assumed: what was taken for granted, in words, such as the order of gates.
        usual: whether it is to be offered where nobody says more. Others count only where a
            reference is given, or where what the user says leaves no usual one.
        unsure: choices that are not taken without being said, even of the only candidate.
    """

    weights: RNNWeights
    choices: Mapping[str, str] = field(default_factory=dict)
    assumed: tuple[str, ...] = ()
    usual: bool = True
    unsure: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recogniser:
    """Finds the RNNs that tensors of one origin (a library, a project) can be.

    Attributes:
        name: of the origin.
        kinds: the containers in which its tensors are found.
        options: what a user can say of such a file, with what it means.
        find: returns the candidates, or a line that says why the content is of another origin. It
            gets the content without the keys that the user ignores, and what the user says. Options
            of few values can be left to ``Candidate.choices``: what contradicts the user is dropped
            later. A ``ValueError`` says why a file of this origin cannot be read; an
            ``OpenChoiceError``, what must be said of it.
    """

    name: str
    kinds: frozenset[str]
    options: Mapping[str, str]
    find: Callable[[Content, Said], list[Candidate] | str]


class OpenChoiceError(ValueError):
    """A file can be several RNNs, and nobody said which.

    Attributes:
        options: the options that settle it, each with the values that it can have; none where it is
            a number.
    """

    def __init__(self, problem: str, options: Mapping[str, Iterable[str]]) -> None:
        self.problem = problem
        self.options = {name: tuple(values) for name, values in options.items()}
        ways = [
            f"{flag(name)} {either(values) or 'VALUE'}" for name, values in self.options.items()
        ]
        names = ", ".join(f"{name}=..." for name in self.options)
        super().__init__(
            f"{problem}. Say it: {', '.join(ways)} ({names} in Python), or give outputs to compare "
            "with: --reference io.safetensors"
        )

    def of(self, name: str) -> "OpenChoiceError":
        """Return the error with the name of a file before it."""
        return OpenChoiceError(f"{name}: {self.problem}", self.options)


def flag(option: str) -> str:
    """Return an option as the command line has it: those of few files stand below ``--said``."""
    return f"--{option}" if option in ("cell", "ignore", "reference") else f"--said.{option}"


def either(values: Iterable[str]) -> str:
    """Return values as a shell takes them, with ``or`` between: ``'enc, dec' or enc``."""
    return " or ".join(map(quote, values))


def listed(keys: Iterable[str]) -> str:
    """Return the first keys to read; a file may hold many, long ones, and any characters."""
    found = list(keys)
    more = f" and {len(found) - 8} more" if len(found) > 8 else ""
    shown = [key if len(key) <= 80 else f"{key[:77]}..." for key in found[:8]]
    shown = [key if key.isprintable() else ascii(key) for key in shown]
    return ", ".join(shown) + more if shown else "(none)"


def natural(key: str) -> list[tuple[int, str]]:
    """Return what sorts keys with numbers in them as people do: ``cells.2`` before ``cells.10``."""
    return [(int(part[:18]) if part.isdigit() else -1, part) for part in re.split(r"(\d+)", key)]
