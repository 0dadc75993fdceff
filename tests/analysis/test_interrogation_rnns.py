"""Interrogation of RNNs: answers within a tolerance."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from wsrl.analysis.interrogation import (
    Interrogation,
    answer_distances,
    interactive,
    noninteractive,
    tell_apart,
)
from wsrl.analysis.interrogation.answers import Answers, to_masks
from wsrl.rnn import RNNSpec, RNNWeights, concatenate, random_permutations

SPEC = RNNSpec("lstm", 3, 5, 1, 3)
KINDS = ("categorical", "real")


def some_rnns(count: int, spec: RNNSpec = SPEC, scale: float = 0.4) -> RNNWeights:
    return RNNWeights(torch.randn(count, spec.num_parameters) * scale, spec)


def some_probes(count: int, steps: int = 6) -> Tensor:
    tokens = torch.randint(3, (count, steps))
    return torch.nn.functional.one_hot(tokens, 3).float()


def black_box(weights: RNNWeights, rnn: int, probes: Tensor) -> Callable[[int], Tensor]:
    """The RNN as plain ``torch.nn`` modules."""
    module = weights.to_module(rnn)

    def ask(probe: int) -> Tensor:
        with torch.no_grad():
            outputs: Tensor = module(probes[probe][None])[0][0]
        return outputs

    return ask


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at_once", [1, 2**24])
def test_distances_are_those_of_the_modules_outputs(
    kind: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsrl.analysis.interrogation.rnns.NUMBERS_AT_ONCE", at_once)
    weights, probes = some_rnns(4, RNNSpec("gru", 3, 5, 2, 3)), some_probes(3)
    for probe, distances in enumerate(answer_distances(weights, probes, kind)):
        for i, j in itertools.product(range(4), repeat=2):
            first, second = (black_box(weights, rnn, probes)(probe) for rnn in (i, j))
            if kind == "categorical":
                apart = (first.softmax(1) - second.softmax(1)).abs().sum(1).max() / 2
            else:
                apart = (first - second).abs().max()
            assert distances[i, j] == pytest.approx(float(apart), abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_permuted_copies_are_told_apart_by_nothing_but_changed_ones_are(kind: str) -> None:
    weights, probes = some_rnns(5), some_probes(8)
    copies = weights.permute(random_permutations(SPEC, 5))
    assert not torch.equal(copies.flat, weights.flat)
    both = RNNWeights.cat([weights, copies])
    found = tell_apart(both, probes, 1e-5, kind)
    assert found.groups == tuple((n, n + 5) for n in range(5))
    assert json.loads(json.dumps(found.to_dict()))["alike"] == [[n, n + 5] for n in range(5)]
    copies.flat[:, 0] += 1  # one coupling of one neuron
    changed = tell_apart(RNNWeights.cat([weights, copies]), probes, 1e-5, kind)
    assert changed.alike == ()


def test_rnns_of_several_cells_and_sizes_are_told_apart() -> None:
    parts, probes = [some_rnns(3), some_rnns(2, RNNSpec("gru", 3, 4, 2, 3))], some_probes(5)
    every = [part[index : index + 1] for part in parts for index in range(len(part))]
    expected = [*answer_distances(parts[0], probes, "real")]
    found = [*answer_distances(concatenate(parts), probes, "real")]
    for alone, mixed in zip(expected, found, strict=True):
        np.testing.assert_allclose(mixed[:3, :3], alone, atol=1e-5)
    assert tell_apart(concatenate([*every, every[1]]), probes, 1e-4, "real").alike == ((1, 5),)


@pytest.mark.parametrize("kind", KINDS)
def test_a_larger_tolerance_tells_no_more_pairs_apart(kind: str) -> None:
    weights, probes = some_rnns(9), some_probes(4)
    before: set[tuple[int, int]] = set()
    counts = []
    for tolerance in (0, 0.1, 0.3, 0.6, 0.9):
        found = tell_apart(weights, probes, tolerance, kind)
        assert before <= set(found.alike)
        before = set(found.alike)
        counts.append(len(before))
        assert found.interactive.upper <= found.noninteractive.upper
    assert counts[0] == 0 < counts[-1]


def test_noise_within_half_the_tolerance_is_no_matter_and_more_is_refused() -> None:
    weights, probes = some_rnns(10), some_probes(10)
    found = tell_apart(weights, probes, 0.3, "real")
    for rnn in range(10):
        answers = black_box(weights, rnn, probes)

        def noisy(probe: int, ask: Callable[[int], Tensor] = answers) -> Tensor:
            outputs = ask(probe)
            return outputs + 0.15 * (2 * torch.rand(outputs.shape) - 1)

        assert rnn in found.identify(noisy)[0]
    large = RNNWeights(weights.flat * 1, SPEC)
    large.tensors()["linear.weight"].mul_(1e4)  # so that outputs are rounded more coarsely
    exact = tell_apart(large, probes, 0.0, "real")
    assert exact.identify(black_box(large, 3, probes))[0] == (3,)
    with pytest.raises(ValueError, match="is none of the RNNs: its answer to probe"):
        found.identify(lambda probe: black_box(weights, 0, probes)(probe) + 100)
    with pytest.raises(ValueError, match=r"\(6, 3\) to probe \d+, not \(6, 4\)"):
        found.identify(lambda probe: torch.zeros(6, 4))
    with pytest.raises(ValueError, match="is none of the functions"):
        found.interactive.strategy.identify(lambda probe: 0)


@pytest.mark.parametrize("kind", KINDS)
def test_answers_that_are_not_finite_or_very_large_are_no_rnns(kind: str) -> None:
    found = tell_apart(some_rnns(6), some_probes(5), 0.05, kind)
    for value in (torch.inf, -torch.inf, torch.nan):
        with pytest.raises(ValueError, match="not finite"):
            found.identify(lambda probe, value=value: torch.full((6, 3), value))
    with pytest.raises(ValueError, match="is none of the RNNs"):
        found.identify(lambda probe: 1e7 * torch.eye(3).repeat(2, 1))  # a certain answer


def test_the_time_for_candidates_that_overlap_is_bounded() -> None:
    """In work, not seconds; this case has far more sets of alike RNNs than a tree could hold."""
    rng = np.random.default_rng(0)
    points = rng.standard_normal((40, 80, 6))
    apart = np.abs(points[:, :, None] - points[:, None]).max(-1)
    answers = Answers([to_masks(rows <= 1.8) for rows in apart])
    fixed = noninteractive(answers, 1000)
    before = answers.work
    found = interactive(answers, 1000, fixed.queries)
    assert 100_000 < answers.work - before < 3_000_000
    assert found.lower <= found.upper <= fixed.upper


def random_closeness(rng: np.random.Generator, functions: int, queries: int) -> np.ndarray:
    """Points on a line, alike if near: not transitive."""
    points = rng.random((queries, functions)) * rng.choice([1.5, 3])
    return np.asarray(np.abs(points[:, :, None] - points[:, None]) <= 0.5)


def fewest(alike: np.ndarray) -> tuple[int, int]:
    """The fewest queries, interactive and not, by trying all; sets by their definition."""
    queries, count = alike.shape[:2]
    pairs = list(itertools.combinations(range(count), 2))
    possible = {(i, j) for i, j in pairs if not alike[:, i, j].all()}

    def clique(query: int, group: tuple[int, ...]) -> bool:
        return all(alike[query, i, j] for i in group for j in group)

    @cache
    def depth(group: tuple[int, ...]) -> int:
        if not possible & set(itertools.combinations(group, 2)):
            return 0
        best = count
        for query in range(queries):
            if not clique(query, group):
                smaller = (
                    part
                    for size in range(1, len(group))
                    for part in itertools.combinations(group, size)
                    if clique(query, part)
                )
                best = min(best, 1 + max(depth(part) for part in smaller))
        return best

    fixed = next(
        size
        for size in range(queries + 1)
        for chosen in itertools.combinations(range(queries), size)
        if all(not alike[list(chosen), i, j].all() for i, j in possible)
    )
    return depth(tuple(range(count))), fixed


def test_searches_with_a_tolerance_agree_with_brute_force() -> None:
    rng = np.random.default_rng(0)
    transitive = 0
    for _ in range(100):
        alike = random_closeness(rng, int(rng.integers(2, 7)), int(rng.integers(1, 6)))
        answers = Answers([to_masks(rows) for rows in alike])
        one_by_one = interactive(answers, 10_000)
        fixed = noninteractive(answers, 10_000)
        assert {one_by_one.exact, fixed.exact} == {True}
        assert (one_by_one.upper, fixed.upper) == fewest(alike)
        transitive += all(len({*map(int, set(rows))}) == 1 for rows in answers.close)
    assert transitive < 50


def test_coarse_sets_still_identify_and_claim_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    weights, probes = some_rnns(14), some_probes(12)
    few = property(lambda answers: 2, lambda answers, limit: None)
    monkeypatch.setattr(Answers, "_limit", few, raising=False)
    found = tell_apart(weights, probes, 0.4, "real")
    assert found.interactive.lower <= 1 < found.interactive.upper
    check_identifies(found, weights, probes)


def test_a_tree_too_large_becomes_a_fixed_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsrl.analysis.interrogation.search.build_strategy", lambda *_: None)
    weights, probes = some_rnns(14), some_probes(12)
    found = tell_apart(weights, probes, 0.4, "real")
    asked = [node.query for node in found.interactive.strategy.nodes[:-1]]
    assert tuple(asked) == found.noninteractive.queries
    assert len(asked) > 1
    check_identifies(found, weights, probes)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tolerance", [0.0, 0.1, 0.3])
def test_every_rnn_is_identified_up_to_those_alike(kind: str, tolerance: float) -> None:
    weights, probes = some_rnns(12), some_probes(10)
    check_identifies(tell_apart(weights, probes, tolerance, kind), weights, probes)


def check_identifies(found: Interrogation, weights: RNNWeights, probes: Tensor) -> None:
    for rnn in range(len(weights)):
        left, asked = found.identify(black_box(weights, rnn, probes))
        assert rnn in left
        assert all((i, j) in found.alike for i, j in itertools.combinations(left, 2))
        assert asked <= found.interactive.upper


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": some_rnns(1)}, "at least two RNNs to tell apart, not 1"),
        ({"probes": torch.zeros(2, 3)}, r"\(S, T, I\) .* I = 3, not \(2, 3\)"),
        ({"probes": torch.zeros(2, 4, 4)}, r"not \(2, 4, 4\)"),
        ({"tolerance": float("nan")}, "at least 0, not nan"),
        ({"tolerance": 1.0}, "below 1"),
        ({"output_kind": "words"}, "categorical or real .* not 'words'"),
        (
            {"weights": RNNWeights(torch.full((3, SPEC.num_parameters), torch.nan), SPEC)},
            "not finite: 0, 1, 2. Leave them out",
        ),
    ],
)
def test_bad_input_is_an_error(change: dict[str, object], message: str) -> None:
    given = {"weights": some_rnns(3), "probes": some_probes(2), "tolerance": 0.1} | change
    with pytest.raises(ValueError, match=message):
        tell_apart(**given)
