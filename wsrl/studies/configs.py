"""The one place where YAML is read: config files, which may be from anybody.

A few bytes of YAML can stand for more values than any machine has, or hold themselves. Whatever
reads YAML, here or in jsonargparse, counts what there will be before anything is made of it.
"""

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import get_loader, set_loader

from wsrl.plugins import UnknownNameError
from wsrl.safe_files import read_regular

LARGEST = 1 << 20
"""Bytes of a config file."""

MOST, DEEPEST = 50_000, 50
"""Values in a config, those repeated by aliases included, and how deep they may be nested."""

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PLAIN = ("null", "bool", "int", "float", "str", "seq", "map")


class _Loader(_Base):  # type: ignore[misc]  # of C where there is one
    """Makes plain values only; a date stays the text that it is."""


_Loader.yaml_constructors = {
    tag: make
    for tag, make in _Base.yaml_constructors.items()
    if tag is None or tag.rpartition(":")[2] in _PLAIN  # that of None refuses
}
_Loader.yaml_implicit_resolvers = {
    letter: [found for found in resolvers if found[0] != "tag:yaml.org,2002:timestamp"]
    for letter, resolvers in _Base.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True)
class Config:
    """A config file that was read: its path as it was given, and its settings by name."""

    path: str
    content: dict[str, Any]

    @property
    def word(self) -> str:
        """The option by which jsonargparse takes the file."""
        return f"--config={self.path}"

    def text_at(self, name: str) -> str | None:
        """Return a setting that must be text, if it is there.

        Raises:
            ValueError: naming the file and the setting, where it is something else.
        """
        value = self.content.get(name)
        if value is not None and not isinstance(value, str):
            raise ValueError(f"{self.path}: {name} must be text, not {value!r:.100}")
        return value

    def holds(self, key: str) -> bool:
        """Say whether a setting, with dots between its levels, is in this file."""
        found: Any = self.content
        for part in key.split("."):
            if isinstance(found, Mapping) and part not in found:
                found = found.get("init_args")  # may be left out on the command line
            if not isinstance(found, Mapping) or part not in found:
                return False
            found = found[part]
        return True


def read_config(path: str) -> dict[str, Any]:
    """Return the settings of a config file.

    Raises:
        ValueError: naming the file, where it is not there, is no YAML mapping of plain values,
            or is larger than any config.
        OSError: where it must not be read.
    """
    try:
        text = read_regular(Path(path), LARGEST).decode()
        check_yaml(text)
        content = yaml.load(text, _Loader)
    except FileNotFoundError:
        raise ValueError(f"no config file at {path}") from None
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", error)
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ValueError(f"{path} is no YAML: {' '.join(str(problem).split())}{place}") from error
    except (ValueError, RecursionError) as error:  # as of a number of too many digits
        raise ValueError(f"{path} is no config: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold settings by name, as in 'data: ...'")
    for settings in (content, *content.values()):  # below, numbers may stand for epochs
        for name in settings if isinstance(settings, dict) else ():
            if not isinstance(name, str):
                raise ValueError(f"{path}: the name of a setting must be text, not {name!r}")
    return content


def configs_apart(args: Sequence[str]) -> tuple[list[Config], list[str]]:
    """Take the ``--config`` files, in order, out of a command line, and read them."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("-c", "--config", action="append", default=[])
    known, rest = parser.parse_known_args(list(args))
    return [Config(path, read_config(path)) for path in known.config], rest


@contextmanager
def one_line_errors(
    configs: Sequence[Config] = (), choices: Mapping[str, Sequence[str]] | None = None
) -> Iterator[None]:
    """Shorten what jsonargparse says of a command line that it refuses.

    Left are the setting, the config file that has it last, what was expected and given, and the
    names that may stand for a class, of a setting that has such ``choices``.
    """
    try:
        yield
    except argparse.ArgumentError as error:
        text = str(error).split(". Got value: Namespace")[0]
        key = ".".join(re.findall(r'Parser key "([^"]+)"', text))
        pydantic = (
            r"Input should (.*) \[type=\w+, input_value=(.*), input_type=.*\n.*For further .*"
        )
        text = re.sub(pydantic, r"must \1, not \2", text)
        lines = [line.strip(" -") for line in text.splitlines() if line.strip()]
        expected = [line for line in lines if line.startswith("Expected")][:1]  # of several kinds
        reason = ". ".join(dict.fromkeys([*expected, lines[-1].split("callable class: ")[-1]]))
        names, given = (choices or {}).get(key), re.search(r"import path string: (\w+)$", reason)
        if names and given:
            kind = key.rpartition(".")[2]
            reason = str(UnknownNameError(kind, given[1], names))
        elif names and reason.endswith("TaskModule is abstract"):  # options of no model
            reason = f"choose one of {', '.join(names)}"
        setting = key or next(iter(reason.split("'")[1:2]), "")  # as in: Option 'x' is not accepted
        files = [config.path for config in configs if setting and config.holds(setting)]
        place = f" (in {files[-1]})" if files else ""
        setting = key if files else f"--{key}"
        raise argparse.ArgumentError(
            None, f"{setting}: {reason}{place}" if key else f"{reason}{place}"
        ) from error


def check_yaml(text: str) -> None:
    """Count what YAML stands for, without making it.

    Raises:
        yaml.YAMLError: for text that is no YAML, holds itself, or is too large or too deep.
    """
    if len(text) > LARGEST:
        raise yaml.YAMLError(f"it has more than {LARGEST} characters")
    sizes: dict[str, int] = {}  # of what aliases stand for, by anchor
    open_nodes: list[tuple[str | None, int]] = []  # their anchors, and the count at their start
    count = 0
    for event in yaml.parse(text, _Base):
        anchor: Any = getattr(event, "anchor", None)
        if isinstance(event, yaml.AliasEvent):
            if any(anchor == name for name, _ in open_nodes):
                raise yaml.YAMLError(f"{anchor} holds itself")
            count += sizes.get(anchor, 1)
        elif isinstance(event, yaml.NodeEvent):
            count += 1
            if isinstance(event, yaml.ScalarEvent):
                sizes |= {} if anchor is None else {anchor: 1}
            else:
                open_nodes.append((anchor, count))
        elif isinstance(event, yaml.CollectionEndEvent):
            name, start = open_nodes.pop()
            sizes |= {} if name is None else {name: count - start + 1}
        if len(open_nodes) > DEEPEST:
            raise yaml.YAMLError(f"it is nested more than {DEEPEST} levels deep")
        if count > MOST:
            raise yaml.YAMLError(f"it stands for more than {MOST} values")


_load = get_loader("yaml")


def _load_checked(text: str) -> Any:
    check_yaml(text)
    return _load(text)


set_loader("yaml", _load_checked, (yaml.YAMLError,))  # also for files that a config names
