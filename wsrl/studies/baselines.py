"""Baselines of predictions: they predict properties of RNNs without a trained encoder."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from wsrl.analysis.readouts import (
    STEPS,
    ComponentReadout,
    MeanReadout,
    Readout,
    TargetCode,
    TreeReadout,
    answers,
    draw_probes,
)
from wsrl.data import ZooDataModule
from wsrl.rnn import RNNs, RNNSpec, RNNWeights
from wsrl.rnn.statistics import weight_statistics
from wsrl.studies.tables import print_by_spec, print_metrics
from wsrl.studies.training.predictions import (
    keep_labelled,
    measure_specs,
    write_metrics,
    write_predictions,
)
from wsrl.studies.training.runs import Run
from wsrl.tasks.evaluation import remarks_on_target
from wsrl.tasks.targets import ask, make_target, measure_target
from wsrl.terminal import note

PROBES, PROBING_LENGTH = 8, 22
"""Sequences in the probe set, as many as are published at most, and their steps where the zoo's
problem suggests no other number."""

Features: TypeAlias = Callable[[RNNs, ZooDataModule, int], NDArray[Any]]


class Baseline(NamedTuple):
    """Features ``(B, F)`` of ``B`` RNNs, given the data and the seed; and what reads them.

    ``random``: whether the seed, and the steps of training a network, play a part. ``any_rnn``:
    whether RNNs of several specs have the same features; weights of one spec have no counterpart in
    another.
    """

    features: Features
    readout: Callable[[TargetCode, int, int], Readout]
    random: bool
    any_rnn: bool


def _flat(rnns: RNNs, data: ZooDataModule, seed: int) -> NDArray[Any]:
    return _of_one_spec(rnns).flat.numpy()


def _statistics(rnns: RNNs, data: ZooDataModule, seed: int) -> NDArray[Any]:
    return weight_statistics(_of_one_spec(rnns)).flatten(1).numpy()


def _of_one_spec(rnns: RNNs) -> RNNWeights:
    assert isinstance(rnns, RNNWeights), "checked before"
    return rnns


def _answers(weights: RNNs, data: ZooDataModule, seed: int) -> NDArray[Any]:
    suited = data.encoder_defaults
    probes = draw_probes(
        PROBES,
        suited.get("probing_length", PROBING_LENGTH),
        data.zoo.interface.input_size,
        suited.get("input_activation", "softmax"),
        torch.Generator().manual_seed(seed),
    )
    return answers(weights, probes).flatten(1).numpy()


BASELINES = {
    # Nothing of the weights: the most frequent class, the mean or the circular mean.
    "mean": Baseline(
        lambda weights, data, seed: np.zeros((len(weights), 0)),
        lambda code, seed, steps: MeanReadout(code),
        random=False,
        any_rnn=True,
    ),
    # A network on the principal components of the flattened weights.
    "pca": Baseline(_flat, ComponentReadout, random=True, any_rnn=False),
    # A network on the principal components of the raw outputs to a fixed random probe set.
    "random_probes": Baseline(_answers, ComponentReadout, random=True, any_rnn=True),
    # Gradient-boosted trees on the layer-wise statistics.
    "trees": Baseline(
        _statistics,
        lambda code, seed, steps: TreeReadout(code),
        random=False,
        any_rnn=False,
    ),
}
"""Every baseline by name."""


def check_baseline(name: str, specs: Sequence[RNNSpec]) -> None:
    """Check that a baseline can read RNNs of these specs, or raise ``ValueError``."""
    if len(specs) > 1 and not BASELINES[name].any_rnn:
        able = ", ".join(other for other, known in BASELINES.items() if known.any_rnn)
        raise ValueError(
            f"baseline {name} reads weights, and these RNNs have {len(specs)} specs: choose one "
            f"that reads any RNN ({able}), or zoos of one spec"
        )


def write_baseline(
    name: str,
    data: ZooDataModule,
    target: str,
    folder: str | Path,
    seed: int = 0,
    steps: int | None = None,
    kind: str | None = None,
) -> Path:
    """Train a baseline on all training snapshots and test it on the other splits.

    Metrics, all of a prediction but ``loss``, are printed, and kept as ``wsrl test`` keeps them.
    ``kind`` is that of target to read it as, where not the one that the data say.

    Returns:
        The path of ``test.json``.

    Raises:
        ValueError: for an unknown target or baseline, or a folder that holds a training run.
        ZooError: where the zoo is damaged.
    """
    run, steps = Run(Path(folder)), STEPS if steps is None else steps
    if run.holds_a_run():
        raise ValueError(f"{run.folder} holds a training run; choose another folder (--run DIR)")
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must be at least 0 and below 2**32, not {seed}")
    for what, given, known in (("baseline", name, BASELINES), ("target", target, data.targets)):
        if given not in known:
            raise ValueError(f"unknown {what} {given!r}; choose one of {', '.join(known)}")
    check_baseline(name, data.zoo.specs)
    keep_labelled(data, target)
    run.remove_leftovers()
    data.prepare_data()
    data.setup("test")
    chosen, baseline = make_target(data.targets[target], kind), BASELINES[name]
    splits = data.eval_splits("test")
    remarks = remarks_on_target(data, ["train", *splits], target, chosen.needs_variation)
    note(remark.text for remark in remarks)

    def features(split: str) -> NDArray[Any]:
        rnns = data.zoo.read_weights(torch.from_numpy(data.rows(split)))
        return baseline.features(rnns, data, seed)

    readout = baseline.readout(chosen, seed, steps)
    truths = {split: data.read_target(target, split) for split in ("train", *splits)}
    ask(chosen, "decode", chosen.encode(truths["train"]))
    readout.fit(features("train"), truths["train"].numpy())
    metrics: dict[str, float] = {}
    batches = []
    for split in splits:
        truth = truths[split]
        predicted = torch.from_numpy(readout.predict(features(split))).to(truth.dtype)
        found = measure_target(chosen, predicted, truth)
        metrics |= {f"{split}/{measured}": value for measured, value in found.items()}
        rows = torch.from_numpy(data.rows(split))
        labels = {name: data.zoo.read(name, rows) for name in ("run", "step")}
        labels |= {name: data.zoo.read(name, rows).float() for name in ("task", "performance")}
        batches.append([{"prediction": predicted, "target": truth, **labels, "row": rows}])
    source = {"checkpoint": None, "zoo": data.hparams["zoo"]}
    source |= {"baseline": name, "target": target, "seed": seed, "steps": steps, "kind": kind}
    print_metrics(metrics)
    by_spec = measure_specs(
        batches, splits, data.zoo, lambda c: measure_target(chosen, c["prediction"], c["target"])
    )
    print_by_spec(by_spec)
    out = run.folder / "test.json"
    out.unlink(missing_ok=True)  # of another baseline; written last
    columns = out.with_suffix(".safetensors")
    write_predictions(columns, batches, splits, source, data.zoo, named=False)
    write_metrics(out, source, metrics, by_spec)
    return out
