"""``wsrl zoo info``, ``label``, ``verify``, ``repair`` and ``export``: zoos that there are."""

from __future__ import annotations

from typing import Any, Literal

from wsrl.cli.commands import command
from wsrl.cli.parsing import Count, Options
from wsrl.terminal import complain, note

GIVEN = frozenset(("out", "problem", "settings", "part"))
"""Parameters of ``build_zoo`` that commands give themselves."""


@command("zoo label")
def label(
    zoo: list[str],
    *,
    table: str,
    columns: list[str] | None = None,
    categorical: list[str] | None = None,
    real: list[str] | None = None,
    angle: list[str] | None = None,
) -> str:
    """Give the RNNs of a zoo properties out of a table, as targets of prediction.

    The table has a row for every RNN of the zoo, as those of wsrl dynamics and wsrl memory analyze
    have: with its row in the zoo, or its run and step. Numbers become real values, everything else
    a class. They are kept in the zoo's folder; those of the same name are replaced.

      wsrl dynamics zoos/small --out dynamics
      wsrl zoo label zoos/small --table dynamics/dynamics.csv
      wsrl fit --config configs/prediction.yaml --data.zoo zoos/small --model.target n_stable ...

    Args:
        zoo: the zoo's folder, a folder of zoos, or several, as they were given where the table was
            made
        table: a .csv, .tsv or .parquet file
        columns: these alone (default: all without missing values)
        categorical: columns that are classes, whatever they hold
        real: columns that are numbers, even with leading zeros, or missing for some RNNs, which are
            then left out where that property is predicted
        angle: columns that are angles in degrees, likewise
    """
    from wsrl.zoos import label_zoo

    kinds = (categorical or (), real or (), angle or ())
    found = label_zoo(zoo, table, lambda text: note([text]), columns, *kinds)
    return f"{', '.join(zoo)}: labelled with {', '.join(found)}"


@command("zoo info")
def info(zoo: list[str], *, json: bool = False) -> str:
    """Say what a zoo holds, or zoos of one problem hold together.

    Args:
        zoo: the zoo's folder, a folder of zoos, or several
        json: print JSON for scripts
    """
    from wsrl.strict_json import to_json
    from wsrl.studies.zoo_summary import describe, summarize

    return to_json(describe(zoo), indent=2) if json else summarize(zoo)


@command("zoo verify")
def verify(zoo: list[str], *, sequences: Count | None = None) -> str:
    """Check a zoo's files, labels and stored outputs.

    Checks checksums and labels, and recomputes the stored outputs from the stored weights and
    sequences. The exit status is 0 only where all agree.

    Args:
        zoo: the zoo's folder, a folder of zoos, or several
        sequences: recompute so many sequences of a snapshot (default: all)
    """
    from wsrl.zoos import verify_zoo

    report = verify_zoo(zoo, sequences)
    return (
        f"{', '.join(zoo)}: well. {report.snapshots} snapshots, {report.sequences} sequences each; "
        f"largest error of a recomputed output: {report.largest_error:.2g} ({report.tolerance})"
    )


@command("zoo repair", how=Options("wsrl.zoos:build_zoo", GIVEN), goes_on=True)
def repair(zoo: list[str], *, how: dict[str, Any] | None = None) -> str:
    """Repair a damaged zoo: keep its sound shards, and train the others again.

    Only a zoo that was built here can be trained again.

    Args:
        zoo: the zoo's folder, a folder of zoos, or several
        how: arguments of build_zoo, by name
    """
    from wsrl.zoos import zoo_folders

    return "\n".join(_repair(str(folder), how or {}) for folder in zoo_folders(zoo))


def _repair(zoo: str, how: dict[str, Any]) -> str:
    from wsrl.problems import TrainableProblem, create_problem
    from wsrl.zoos import ZooError, build_zoo, repair_zoo
    from wsrl.zoos.store import MAKERS

    found = repair_zoo(zoo)
    manifest = found.manifest
    for line in found.found:
        complain(line)
    if manifest.complete:
        return f"{zoo}: {'repaired' if found.found else 'whole, and left as it is'}"
    if manifest.origin != "built":
        return (
            f"{zoo}: what is whole is kept. Run the command that made it again "
            f"({MAKERS[manifest.origin]}) to make the missing shards"
        )
    problem = create_problem(manifest.problem, manifest.problem_settings)
    if not isinstance(problem, TrainableProblem):
        raise ZooError(f"{zoo}: nothing can be trained on {manifest.problem} here")
    build_zoo(zoo, problem, manifest.settings, **how)
    return f"{zoo}: repaired, the missing shards were trained"


@command("zoo export")
def export(zoo: str, *, out: str, format: Literal["official"] = "official") -> str:
    """Write a zoo in the published format.

    The zoo is one of formal languages or tiled images. What .npy files cannot hold of it is listed.

    Args:
        zoo: the zoo's folder
        out: a new or empty folder
        format: the format
    """
    from wsrl.zoos import export_published

    lost = export_published(zoo, out)
    written = f"{out}: written, {'but for' if lost else 'nothing is lost'}"
    return "\n  ".join([written, *lost])
