"""``wsrl compare`` and ``wsrl degeneracy``: how alike RNNs are."""

from __future__ import annotations

from argparse import ArgumentError
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from wsrl.cli.commands import command
from wsrl.cli.parsing import Count, Index, Options, Seed
from wsrl.strict_json import to_json
from wsrl.terminal import note

if TYPE_CHECKING:
    from wsrl.hints import Hints
    from wsrl.studies.similarity import SimilaritySettings


@command(
    "compare",
    own_modules=True,
    settings=Options("wsrl.studies.similarity:SimilaritySettings", skip=frozenset({"levels"})),
    hints=Options("wsrl.hints:Hints"),
)
def compare(
    sources: list[str],
    *,
    settings: SimilaritySettings,
    hints: Hints,
    levels: list[Literal["behaviour", "representation", "dynamics", "weights", "embedding"]]
    | None = None,
    ckpt: list[str] | None = None,
    rnns: Count | None = None,
    step: Index | None = None,
    rows: list[Index] | None = None,
    sequences: Count = 32,
    seed: Seed = 0,
    json: bool = False,
    out: str | None = None,
) -> str:
    """Say how alike RNNs are: in behaviour, states, dynamics, weights and embeddings.

    Measures distances between RNNs of a zoo, of several, or in files, on every level, and which
    distances say something about which others: rank correlations, with intervals over runs.

      wsrl compare zoos/flip_flop --out alike
      wsrl compare zoos/flip_flop my_rnn.pt --rnns 20 --ckpt languages
      wsrl compare a.pt b.safetensors --levels behaviour weights

    All RNNs are run on the same inputs: new trials of the first zoo's task, or sequences stored
    with its RNNs, and random ones of twice their length; without a zoo random numbers. A distance
    that RNNs do not have is left out, and why is said: of weights, where cells or sizes differ.

    Args:
        sources: folders of zoos, and files of RNNs
        settings: how they are compared
        hints: of files
        levels: by which RNNs are compared (default: all)
        ckpt: trained encoders whose embeddings are compared: runs, checkpoints, exported runs, or
            names of those that come with wsrl (languages)
        rnns: draw so many RNNs of each zoo (default: 50)
        step: draw from the snapshots at this step (default: each run's last)
        rows: these snapshots of each zoo instead
        sequences: on which RNNs are run
        seed: of the draws
        json: print one JSON object
        out: folder for the matrices, tables and a page with maps
    """
    if rows is not None and (rnns, step) != (None, None):
        raise ArgumentError(None, "--rows says which RNNs: leave out --rnns and --step")
    import torch

    from wsrl.studies.similarity import (
        LEVELS,
        find_subjects,
        measure,
        summarize,
        write_similarity,
    )

    if out is not None:  # before the work, which would be lost where the folder cannot be made
        Path(out).mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    drawn = find_subjects(sources, generator, rnns, step, rows, sequences, hints, _note)
    settings = replace(settings, levels=tuple(levels or LEVELS))
    found = measure(drawn, settings, ckpt or (), generator, _note)
    written = [] if out is None else write_similarity(Path(out), found)
    if json:
        return to_json(found.to_dict(), indent=2)
    return "\n".join([summarize(found), *(f"written: {path}" for path in written)])


@command(
    "degeneracy",
    own_modules=True,
    settings=Options("wsrl.studies.similarity:SimilaritySettings", skip=frozenset({"levels"})),
)
def degeneracy(
    zoos: list[str],
    *,
    settings: SimilaritySettings,
    levels: list[Literal["behaviour", "representation", "dynamics", "weights"]] | None = None,
    performance: float = 0.9,
    steps: list[Index] | None = None,
    rnns: Count = 50,
    sequences: Count = 32,
    seed: Seed = 0,
    out: str | None = None,
) -> str:
    """Say how much RNNs differ that solve a task equally well.

    Compares the RNNs of each zoo, at each step, whose performance is high enough, on every level,
    with intervals over RNNs. Of zoos that differ in one thing alone (size, training time, weight
    decay, how complex the task is) it says whether RNNs differ less where that is larger, beside
    what was published.

      wsrl degeneracy zoos/flip_flop --steps 500 1000 --out degeneracy
      wsrl degeneracy zoos/flip_flop-32 zoos/flip_flop-128 --performance 0.95

    Args:
        zoos: folders of zoos, or folders of such
        settings: how RNNs are compared
        levels: by which RNNs are compared (default: all)
        performance: from which on an RNN solves its task
        steps: of training (default: each run's last)
        rnns: draw so many RNNs that solve the task, of each zoo and step
        sequences: on which RNNs are run
        seed: of the draws
        out: folder for the tables and a page
    """
    from wsrl.studies.degeneracy import find_degeneracy, summarize_degeneracy, write_degeneracy
    from wsrl.studies.similarity import LEVELS

    if out is not None:  # before the work, which would be lost where the folder cannot be made
        Path(out).mkdir(parents=True, exist_ok=True)
    settings = replace(settings, levels=tuple(levels or LEVELS[:-1]))
    found = find_degeneracy(zoos, performance, steps or (), rnns, sequences, settings, seed, _note)
    written = [] if out is None else write_degeneracy(Path(out), found)
    return "\n".join([summarize_degeneracy(found), *(f"written: {path}" for path in written)])


def _note(text: str) -> None:
    note([text])
