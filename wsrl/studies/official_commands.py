"""``wsrl zoo import`` and ``wsrl zoo export``: the published format."""

from __future__ import annotations

from argparse import ArgumentError
from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser

from wsrl.zoos import OfficialHints, export_official, import_official

FORMATS = ("official",)


def import_from_arguments(args: Sequence[str]) -> str:
    """Import a published zoo as the command line says.

    Returns:
        The zoo's folder.

    Raises:
        ZooError: as ``import_official``.
        argparse.ArgumentError: for a command line that cannot be read.
    """
    parser = ArgumentParser(
        prog="wsrl zoo import",
        description="Import a published zoo (.npy files). Its outputs are recomputed from its "
        "weights on a sample; a zoo whose outputs do not match is refused. Run the same command "
        "again to go on with an interrupted import.",
        exit_on_error=False,
    )
    parser.add_argument("path", help="the folder of the .npy files")
    importing = parser.add_function_arguments(import_official, skip={"path", "hints"})
    hinting = parser.add_class_arguments(OfficialHints)
    settings = parser.parse_args(list(args))
    import_official(
        settings["path"],
        hints=OfficialHints(**{name: settings[name] for name in hinting}),
        **{name: settings[name] for name in importing},
    )
    return str(settings["out"])


def export_from_arguments(args: Sequence[str]) -> tuple[Path, list[str]]:
    """Export a zoo as the command line says.

    Returns:
        Where it is, and what the format could not hold.

    Raises:
        ZooError: as ``export_official``.
        argparse.ArgumentError: for a command line that cannot be read.
    """
    parser = ArgumentParser(
        prog="wsrl zoo export",
        description="Write a zoo of formal languages or tiled images in the published format "
        "(.npy files), and say what that cannot hold of it.",
        exit_on_error=False,
    )
    parser.add_argument("zoo", help="the zoo's folder")
    parser.add_argument("--format", default="official", help="only: official")
    parser.add_argument("--out", help="a new or empty folder")
    settings = parser.parse_args(list(args))
    if settings["format"] not in FORMATS:
        raise ArgumentError(
            None, f"unknown --format {settings['format']!r}; choose {', '.join(FORMATS)}"
        )
    if settings["out"] is None:
        raise ArgumentError(None, "say where to: --out PATH")
    return Path(settings["out"]), export_official(settings["zoo"], settings["out"])
