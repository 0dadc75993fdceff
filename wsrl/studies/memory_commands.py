"""``wsrl memory``: variable memories in a zoo, or in a user's RNN."""

from __future__ import annotations

import argparse
from argparse import ArgumentError
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from wsrl.strict_json import to_json
from wsrl.studies.cell_option import add_cell_option
from wsrl.studies.options import seed
from wsrl.terminal import CommandParser

DESCRIPTION = """\
Look for the variables of a task of variable binding in the hidden states of RNNs: how the task
moves them (Phi), whether the RNN's recurrent matrix does the same in some basis, how well the
variables are read there, and whether to trust that.

  wsrl memory analyze zoos/binding                       every snapshot: a table
  wsrl memory analyze zoos/binding --row 12 --out look   one of them, with pictures
  wsrl memory analyze model.pt --task repeat_copy --steps 8 --dims 8 --cell tanh --out look

A FILE is a state dict of an nn.RNN, nn.LSTM or nn.GRU and its nn.Linear (.pt, .safetensors)."""


def analyze_from_arguments(args: Sequence[str]) -> str:
    """Analyse what the command line says; torch is imported only once that makes sense.

    Returns:
        What is to be printed.

    Raises:
        ValueError: for a zoo of another problem, a file that does not fit, settings out of range.
        argparse.ArgumentError: for options that do not go together.
    """
    options = _parser().parse_args(args)
    of_file = {"task": options.task, "steps": options.steps, "dims": options.dims}
    source = Path(options.source)
    missing = [f"--{name}" for name, value in of_file.items() if value is None]
    if source.is_dir():
        given = [f"--{name}" for name, value in of_file.items() if value is not None]
        if given or options.cell:
            named = [*given, *(["--cell"] if options.cell else [])]
            raise ArgumentError(None, f"a zoo says itself what its RNNs are: no {', '.join(named)}")
    elif options.row is not None:
        raise ArgumentError(None, "--row is for zoos, which are folders")
    elif missing:
        raise ArgumentError(None, f"for one RNN, also give {', '.join(missing)}")
    from wsrl.analysis.memory_analysis import MemorySettings

    names = [field.name for field in fields(MemorySettings)]
    settings = MemorySettings(**{name: getattr(options, name) for name in names})
    if options.out and options.animation != "none":
        from wsrl.analysis.memory_figures import check_film

        check_film(options.animation)
    run = _analyze_zoo if source.is_dir() and options.row is None else _analyze_one
    return run(options, settings)


def _analyze_one(options: argparse.Namespace, settings: Any) -> str:
    from wsrl.studies import memory_study as study

    if options.row is None:
        from wsrl.problems.binding_tasks import BindingTask
        from wsrl.zoos.packing.models import read_model

        task = BindingTask.parse(options.task, options.steps, options.dims)
        weights = read_model(Path(options.source), options.cell)
        _make_folder(options.out)
        analysis = study.analyze_model(weights, task, settings)
        about: dict[str, Any] = {"source": options.source, "task": study.task_name(task)}
        about |= {"rnn": str(weights.spec)} | study.record(analysis)
    else:
        from wsrl.zoos import open_zoo

        zoo = open_zoo(options.source)
        study.problem_of(zoo)
        _make_folder(options.out)
        ((about, analysis),) = study.analyze_zoo(zoo, settings, [options.row])
        about = {"source": options.source, "rnn": str(zoo.spec), **about}
    content = about | {"settings": vars(settings)}
    files: list[Path] = []
    if options.out:
        folder = Path(options.out)
        study.write_tables(folder, "memory", [about], content)
        title = f"{about['rnn'].split(',')[0]}, task {about['task']}: {analysis.verdict}"
        film = None if options.animation == "none" else options.animation
        files = study.draw(folder, analysis, title, film)
    if options.json:
        return to_json(content, indent=2)
    return _phrased(about, settings, files)


def _analyze_zoo(options: argparse.Namespace, settings: Any) -> str:
    from wsrl.studies import memory_study as study
    from wsrl.studies.tables import aligned
    from wsrl.zoos import open_zoo

    zoo = open_zoo(options.source)
    study.problem_of(zoo)
    _make_folder(options.out)
    records = [about for about, _ in study.analyze_zoo(zoo, settings)]
    content = {"source": options.source, "settings": vars(settings), "snapshots": records}
    if options.out:
        study.write_tables(Path(options.out), "memory", records, content)
    if options.json:
        return to_json(content, indent=2)
    header = ["row", "run", "step", "task", "accuracy", "rank", "spectral error", "variance"]
    header += ["read", "verdict"]
    rows = [
        [
            str(one["row"]),
            str(one["run"]),
            str(one["step"]),
            one["task"],
            _number(one["performance"]),
            f"{one['rank_found']}/{one['rank_expected']}",
            "-" if one["spectral_error"] is None else f"{one['spectral_error']:.4f}",
            _number(one["explained_variance"]),
            _number(one["mean_variables_read"]),
            one["verdict"],
        ]
        for one in records
    ]
    counts = Counter(one["verdict"] for one in records)
    summary = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    return f"{aligned(header, rows)}\n{len(records)} snapshots: {summary}"


def _make_folder(path: str | None) -> None:
    """Make the folder before the work, which would be lost where it cannot be made."""
    if path:
        Path(path).mkdir(parents=True, exist_ok=True)


def _phrased(about: dict[str, Any], settings: Any, files: Sequence[Path]) -> str:
    from wsrl.studies.memory_study import spectrum_text
    from wsrl.studies.tables import listed

    started = about["start"] == "variables"
    lines = {
        "RNN": about["rnn"],
        "task": about["task"],
        "basis": f"{settings.grounding} grounded, {settings.dual} dual, {settings.moduli} moduli",
        "verdict": about["verdict"],
        "because": "; ".join(about["reasons"]) or "no rule is broken",
        "started": "in its variables; of its input phase only the input error is judged"
        if started
        else "by inputs",
        "rank": f"{about['rank_found']} lasting eigenvalues, {about['rank_expected']} expected",
        "spectral error": spectrum_text(about),
        "modulus error": _number(about["modulus_error"]),
        "condition number of Psi": _number(about["condition_number"]),
        "interaction error": _number(about["interaction_error"]),
        "input error": _number(about["input_error"]),
        "readout error": _number(about["readout_error"]),
        "explained variance": _number(about["explained_variance"]),
        "distance from fixed point": _number(about["distance"]) + " per neuron",
        "linearisation error": _number(about["linearization_error"]),
        "step error, worst variable": _number(about["step_error"]),
        "variables right after input": _pair(about, "variables_read_first"),
        "variables right afterwards": _pair(about, "variables_read"),
        "outputs right": _pair(about, "output_right"),
    }
    if files:
        lines["written"] = f"{files[0].parent}: {', '.join(file.name for file in files)}"
    return listed(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _pair(about: dict[str, Any], name: str) -> str:
    if about[name] is None:
        return "-"
    return f"{about[f'mean_{name}']:.4f} (the worst {about[name]:.4f})"


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="wsrl memory analyze",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("source", metavar="ZOO|FILE", help="a zoo's folder, or the state dict of one RNN")
    add("--row", type=int, help="one snapshot of a zoo (its row in the table)")
    add("--json", action="store_true", help="print one JSON object")
    add("--out", metavar="DIR", help="write memory.json, memory.csv, and pictures of one RNN")
    add("--animation", choices=("gif", "mp4", "none"), default="gif", help="(default: gif)")
    one = parser.add_argument_group("a FILE").add_argument
    one("--task", help="a name (repeat_copy, compose_copy, ...) or an id a,b,c")
    one("--steps", type=int, help="s, vectors of input")
    one("--dims", type=int, help="d, numbers of a vector")
    add_cell_option(one)
    how = parser.add_argument_group("how").add_argument
    how("--grounding", choices=("output", "input", "observability"), default="output")
    how(
        "--dual",
        choices=("eigenspace", "pseudo_inverse"),
        default="eigenspace",
        help="how variables are read: past transients, or by the paper's pseudo-inverse",
    )
    how(
        "--moduli",
        choices=("found", "unit"),
        default="found",
        help="lasting eigenvalues as they are, or moved to the unit circle, since saturation holds "
        "the amplitude (default: found)",
    )
    how("--power", type=int, help="periods of power iteration (default: project instead)")
    how("--threshold", type=float, default=0.9, help="modulus that lasts (default: 0.9)")
    how("--cutoff", type=float, default=1e-10, help="of pseudo-inverses (default: 1e-10)")
    how(
        "--start",
        choices=("auto", "inputs", "variables"),
        default="auto",
        help="feed the inputs; or start at Psi u(1..s), which a linear circuit needs that composes "
        "while it receives them (default: auto, inputs unless it is such a circuit)",
    )
    how("--horizon", type=int, default=200, help="steps after the input (default: 200)")
    how("--sequences", type=int, default=32, help="random inputs (default: 32)")
    how("--seed", type=seed, default=0, help="of these (default: 0)")
    return parser
