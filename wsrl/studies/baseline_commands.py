"""``wsrl baseline``: what can be predicted without any trained encoder."""

from __future__ import annotations

from argparse import ArgumentError
from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser

from wsrl.analysis.readouts import STEPS
from wsrl.data import ZooDataModule
from wsrl.studies.baselines import BASELINES, evaluate_baseline
from wsrl.studies.messages import explain
from wsrl.studies.tables import print_metrics
from wsrl.studies.training.predictions import write_metrics, write_predictions
from wsrl.studies.training.runs import Run

TRAINING_ONLY: set[str | int] = {
    "batch_size",
    "sequences_per_rnn",
    "steps_per_epoch",
    "eval_batch_size",
    "seed",
    "permute",
    "in_memory",
}
"""Options of the data that say how an encoder's training reads it."""


def baseline_from_arguments(args: Sequence[str]) -> str:
    """Train and test a baseline as the command line says; keep what ``wsrl test`` keeps.

    Returns:
        What to print at the end.

    Raises:
        ValueError: for an unknown target, or a folder that holds a training run.
        argparse.ArgumentError: for a command line that cannot be read.
    """
    parser = ArgumentParser(
        prog="wsrl baseline",
        description="Predict a property without any trained encoder, on the splits and by the "
        "metrics of `wsrl test`; writes test.json and test.safetensors as that does. Baselines: "
        + "; ".join(f"{name}, {known.summary}" for name, known in BASELINES.items()),
        exit_on_error=False,
    )
    parser.add_argument("name", choices=list(BASELINES), help="which baseline")
    parser.add_argument("--target", type=str, required=True, help="what is predicted")
    parser.add_argument("--run", type=str, required=True, help="the folder for what it writes")
    parser.add_argument("--seed", type=int, default=0, help="of what is random in it")
    parser.add_argument("--steps", type=int, default=STEPS, help="of training its network, if any")
    parser.add_class_arguments(ZooDataModule, "data", skip=TRAINING_ONLY)
    parser.set_defaults({"data.ood_to_train": True})  # as for the published downstream tables
    try:
        given = parser.parse_args(list(args))
    except ArgumentError as error:
        raise ArgumentError(None, explain(str(error))) from error
    run = Run(Path(given["run"]))
    if run.holds_a_run():
        raise ValueError(f"{run.folder} holds a training run; choose another folder (--run DIR)")
    if not 0 <= given["seed"] < 2**32:
        raise ValueError(f"--seed must be at least 0 and below 2**32, not {given['seed']}")
    if given["steps"] < 1:
        raise ValueError(f"--steps must be at least 1, not {given['steps']}")
    data = ZooDataModule(**given["data"])
    run.remove_leftovers()
    name, target = given["name"], given["target"]
    metrics, batches = evaluate_baseline(name, data, target, given["seed"], given["steps"])
    source = {"checkpoint": None, "zoo": data.hparams["zoo"]}
    source |= {"baseline": name, "target": target, "seed": given["seed"], "steps": given["steps"]}
    print_metrics(metrics)
    out = run.folder / "test.json"
    out.unlink(missing_ok=True)  # of another baseline; written last
    write_predictions(out.with_suffix(".safetensors"), batches, data.eval_splits("test"), source)
    write_metrics(out, source, metrics)
    return f"written: {out}"
