"""Distances of a zoo's RNNs: ours for all pairs, and other packages' for some, beside each other.

The others are `dsa-metric` (`pip install dsa-metric`, which brings POT and PyDMD), and netrep,
which is on no index: put its repository on PYTHONPATH. What is not there is left out.
Seconds are of this process, on one thread, so that a busy machine counts little; those of others
are of a few pairs, times the pairs that there are.

    OMP_NUM_THREADS=1 python benchmarks/similarity.py zoos/flip_flop --rnns 200
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsrl.analysis.similarity import (
    delay_operators,
    operator_angles,
    output_distances,
    representations,
    settled_spectra,
    spectral_distances,
    weight_distances,
)
from wsrl.rnn import RNNWeights, run_population, states_along
from wsrl.studies.similarity import find_subjects

DELAYS, RANK, POINTS = 5, 10, 1000
Array = NDArray[Any]
OfPair = Callable[[int, int], float]


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        print(f"left out: {name} ({error})")
        return None


def others(states: Tensor, points: Sequence[Array]) -> Iterator[tuple[str, str, OfPair]]:
    """Yield the name of our distance, another package, and its function of a pair."""
    if (netrep := module("netrep.metrics")) is not None:
        for name, method in (("procrustes", "euclidean"), ("shape_angle", "angular")):
            metric = netrep.LinearMetric(alpha=1.0, score_method=method)
            yield name, "netrep", lambda i, j, m=metric: float(m.fit_score(points[i], points[j]))
        cka = netrep.LinearCKA()
        yield "cka", "netrep", lambda i, j: float(cka.score(points[i], points[j]))
    if (dsa := module("DSA")) is not None:
        for iterations in (200, 1500):  # the default, and what its README takes

            def angle(i: int, j: int, iterations: int = iterations) -> float:
                fitted = []
                for rnn in (i, j):
                    model = dsa.DMD(states[rnn].numpy(), n_delays=DELAYS, rank=RANK)
                    model.fit()
                    fitted.append(model.A_v)
                options = {"iters": iterations, "score_method": "angular", "lr": 0.005}
                return float(dsa.SimilarityTransformDist(**options).fit_score(*fitted))

            yield "dsa", f"dsa-metric, {iterations} steps", angle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("zoo")
    parser.add_argument("--rnns", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=10)
    given = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    subjects = find_subjects([given.zoo], generator, count=given.rnns)
    weights, inputs = subjects.rnns, subjects.inputs
    assert isinstance(weights, RNNWeights), "give a zoo of one spec"
    count, pairs = len(weights), len(weights) * (len(weights) - 1) // 2
    print(f"{count} RNNs ({weights.spec}), {tuple(inputs.shape)} inputs, {pairs} pairs")
    driven = inputs.double().expand(count, *inputs.shape).contiguous()
    exact = weights.to(torch.float64)
    seconds, states = timed(lambda: states_along(exact, driven))
    print(f"states: {seconds:.1f} s")
    chosen = torch.randperm(inputs.shape[0] * inputs.shape[1], generator=generator)[:POINTS]
    points = [each.flatten(0, 1)[chosen] for each in states]
    ours: dict[str, Tensor] = {}
    spent: dict[str, float] = {}

    def measure(name: str, work: Callable[[], Any]) -> None:
        spent[name], found = timed(work)
        parts = vars(found) if name == "representation" else {name: found}
        ours.update({key: torch.as_tensor(value) for key, value in parts.items()})
        spent.update(dict.fromkeys(parts, spent[name]))
        print(f"{name}: {spent[name]:.1f} s", flush=True)

    outputs, _ = run_population(exact, driven)
    measure("behaviour", lambda: output_distances(outputs, subjects.output_kind, subjects.counts))
    measure("representation", lambda: representations(points))
    measure("dsa", lambda: operator_angles(delay_operators(states, DELAYS, RANK)))
    starts = states[:, :4, -1]
    measure("spectra", lambda: spectral_distances([*settled_spectra(exact, starts)]))
    measure("weights", lambda: weight_distances(weights).distances)
    some = list(itertools.combinations(range(count), 2))
    some = [some[k] for k in torch.randperm(len(some), generator=generator)[: given.pairs].tolist()]
    arrays = [each.numpy() for each in points]
    for name, package, of_pair in others(states, arrays):
        seconds, theirs = timed(lambda f=of_pair: [f(i, j) for i, j in some])
        all_pairs = seconds / len(some) * pairs
        apart = np.array(theirs) - np.array([float(ours[name][i, j]) for i, j in some])
        print(
            f"{name} by {package}: {all_pairs:.0f} s for all pairs, "
            f"{all_pairs / spent[name]:.0f} times ours; theirs - ours: "
            f"{apart.min():.2g} to {apart.max():.2g}",
            flush=True,
        )


if __name__ == "__main__":
    main()
