"""``wsrl zoo build``, ``import`` and ``pack``: make zoos, or go on with one."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wsrl.cli.commands import command
from wsrl.cli.parsing import HELP, Count, Options, Seed
from wsrl.cli.zoo import GIVEN, info
from wsrl.environment import find_place
from wsrl.studies.configs import Config
from wsrl.terminal import note

if TYPE_CHECKING:
    from wsrl.hints import Hints
    from wsrl.problems import TrainableProblem
    from wsrl.zoos import BuildSettings, PublishedHints


def _find_problem(configs: Sequence[Config], words: Sequence[str]) -> type[TrainableProblem]:
    """Return the class of the problem that a build is of: it says which options there are."""
    from wsrl.problems import get_trainable_problem, list_trainable_problems

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--problem")
    name = parser.parse_known_args(list(words))[0].problem
    for config in reversed(configs):
        name = name or config.text_at("problem")
    choices = list_trainable_problems()
    if name is None and HELP & {*words}:
        name = choices[0]
    if name is None:
        raise argparse.ArgumentError(None, f"say which --problem: {', '.join(choices)}")
    return get_trainable_problem(name)


@command(
    "zoo build",
    problem=Options(_find_problem),
    settings=Options("wsrl.zoos:BuildSettings", frozenset(("cell", "hidden_size", "num_layers"))),
    how=Options("wsrl.zoos:build_zoo", GIVEN | {"device", "workers"}),
    configs=lambda configs, words: configs,
    goes_on=True,
)
def build(
    *,
    out: str,
    problem: TrainableProblem,
    settings: BuildSettings,
    cell: list[str] | str | None = None,
    hidden_size: list[int] | int | None = None,
    num_layers: list[int] | int | None = None,
    how: dict[str, Any] | None = None,
    device: str = "auto",
    workers: int | None = None,
    nodes: int | None = None,
    part: str | None = None,
) -> str:
    """Train a zoo, or go on with one that was interrupted.

    --problem says on what its RNNs are trained; with it, --help lists the problem's options too.
    Under torchrun or srun every process trains a share of the zoo.

    Lists of cells or sizes build a zoo of each, in folders of their own in --out. Together they are
    one data set, which all commands take by that folder:

      wsrl zoo build --problem formal_languages --cell '[lstm, gru]' --hidden_size '[16, 32]' \\
        --out zoos/mixed

    Args:
        out: the zoo's folder; new, empty, or holding this very zoo
        problem: what the members are trained on (without, the choices are named)
        settings: how
        cell: a registered cell, such as lstm, or several; where one is unknown, the choices are
            named (default: lstm)
        hidden_size: neurons of a layer, or several numbers (default: 32)
        num_layers: layers, or several numbers (default: 2)
        how: other arguments of build_zoo, by name
        device: auto (GPUs where there are any), cpu, cuda, or for one process any torch device
        workers: processes on this machine, or of a cluster that is started; each with a GPU of its
            own where there are GPUs (default: 1)
        nodes: machines; start the command on each of them, with its number from 0 in NODE_RANK
            (default: 1)
        part: i/n: train only the i-th of n shares of the zoo, as in a job array; the last part
            completes the zoo
    """
    from wsrl.zoos import build_zoos, settings_grid
    from wsrl.zoos.build import shard_members
    from wsrl.zoos.shards import whats_left

    if problem.draws_weight_decay and settings.weight_decay != type(settings).weight_decay:
        raise ValueError(f"{problem.name} draws every member's weight_decay: leave it out")
    how = how or {}
    share = None if part is None else _share(part)
    place = find_place(device, workers, nodes, share, how.get("cluster"))
    zoos = settings_grid(settings, cell, hidden_size, num_layers)
    made = build_zoos(out, problem, zoos, **how, **vars(place))
    if place.part is not None and not all(manifest.complete for manifest in made):
        which, parts = place.part
        left = whats_left({Path(out, n): len(shard_members(z)) for n, z in zoos.items()}, parts)
        if left:
            return "\n  ".join([f"part {which}/{parts} of {out} is through", *left])
    return info([out])


@command(
    "zoo import",
    hints=Options("wsrl.zoos:PublishedHints"),
    how=Options("wsrl.zoos:import_published", frozenset(("path", "out", "hints"))),
    goes_on=True,
)
def import_(
    path: str, *, out: str, hints: PublishedHints, how: dict[str, Any] | None = None
) -> str:
    """Import a published zoo (.npy files).

    Its outputs are recomputed from its weights on a sample; a zoo whose outputs do not match is
    refused. Run the same command again to go on with an interrupted import.

    Args:
        path: the folder of the .npy files
        out: the zoo's folder; new, empty, or holding this very zoo
        hints: what the files do not say
        how: other arguments of import_published, by name
    """
    from wsrl.zoos import import_published

    import_published(path, out, hints, **(how or {}))
    return info([out])


@command("zoo pack", goes_on=True, hints=Options("wsrl.hints:Hints"))
def pack(
    models: str,
    *,
    out: str,
    output_kind: Literal["categorical", "real"],
    inputs: str,
    hints: Hints,
    table: str | None = None,
    length: int | None = None,
    sequences_stored: int | None = None,
    seed: Seed = 0,
    file_column: str = "file",
    run: str | None = None,
    step: str | None = None,
    performance: str | None = None,
    task: list[str] | None = None,
    categorical: list[str] | None = None,
    real: list[str] | None = None,
    angle: list[str] | None = None,
    leave_out: list[str] | None = None,
    separator: str | None = None,
    decimal: str | None = None,
    workers: Count = 1,
    cluster: str | None = None,
) -> str:
    """Make a zoo of your own RNNs.

    What a file is, its content says; what it does not say is an option, or settled by --reference.
    Where their cells or sizes differ, those of each become a zoo in a folder of its own in --out;
    all commands take that folder as one data set. They are run on sequences, and their outputs are
    stored. Every column of the table becomes a target that wsrl fit can learn to predict: numbers a
    real value, everything else a class. Run the same command again to go on after an interruption.

      wsrl zoo pack models --table runs.csv --out zoos/mine --output_kind categorical \\
        --inputs normal --length 20
      wsrl zoo info zoos/mine

    Args:
        models: folder of files, also in folders below: *.pt, *.pth, *.pth.tar, *.ckpt,
            *.safetensors, *.keras, *.weights.h5, *.msgpack, *.eqx, *.onnx
        out: the zoo's folder, or that of all zoos; new or empty
        output_kind: what the readout's values are: logits of classes, or real values
        inputs: sequences to run the RNNs on: drawn from normal (standard), uniform (0 to 1) or
            one_hot (tokens, all as likely), or a .npy or .safetensors file of (S, T, I) for all
            RNNs or (n, S, T, I) for each of the n, in the order of the files' names
        hints: of the RNNs
        table: what is known of the RNNs: a .csv, .tsv or .parquet file, a row for each
        length: steps of a sequence that is drawn
        sequences_stored: sequences drawn for every RNN (default: 100)
        seed: of the sequences that are drawn
        file_column: the column that names the files
        run: column of the training run (default: run, else each file is a run)
        step: column of the training step of a snapshot (default: step, else 0)
        performance: column that says how well an RNN does (default: performance)
        task: columns that RNNs of one task have in common: no task is in two splits; the largest
            values of the first, if it is numeric, are out of distribution (default: each run is a
            task)
        categorical: columns that are classes, whatever they hold
        real: columns that are numbers, even with leading zeros
        angle: columns that are angles in degrees
        leave_out: columns that are left out
        separator: of columns (default: what splits the first line into the most parts)
        decimal: decimal sign, . or a comma (default: as found)
        workers: processes that pack shards at once; the zoo is the same for any number
        cluster: have a Dask cluster pack the shards: the address of its scheduler, the file in
            which that wrote its address, or a YAML file that says which cluster to start (of so
            many workers). All its machines must see the files given and the zoo's folder
    """
    given = {name: value for name, value in locals().items() if value is not None}
    given |= vars(given.pop("hints"))
    from wsrl.zoos import pack_zoo

    pack_zoo(**given, say=lambda text: note([text]))
    return info([out])


def _share(text: str) -> tuple[int, int]:
    if match := re.fullmatch(r"(\d+)/(\d+)", text):
        return int(match[1]), int(match[2])
    raise argparse.ArgumentError(None, f"--part {text}: expected i/n, as 1/4 for the first of four")
