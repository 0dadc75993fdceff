"""``wsrl compare``: how alike RNNs are."""

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
    distances say something about which others: rank correlations, with intervals over RNNs.

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


def _note(text: str) -> None:
    note([text])
