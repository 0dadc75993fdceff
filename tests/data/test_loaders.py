from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.data.conftest import flat
from wsrl.data import EvaluationLoader, TrainingLoader, ZooBatch, ZooReader
from wsrl.data.order import EvenOrder, RowOrder, deal_pairs, fixed_picks, training_picks
from wsrl.rnn import run_population
from wsrl.zoos import open_zoo

ROWS = np.arange(3, 90)


def loader(
    reader: ZooReader, permute: bool = False, rank: int = 0, world: int = 1, evenly: bool = False
) -> TrainingLoader:
    return TrainingLoader(
        reader, ROWS, 8, 2, 5, seed=4, permute=permute, evenly=evenly, rank=rank, world_size=world
    )


@pytest.fixture
def reader(any_path: str) -> ZooReader:
    return ZooReader(open_zoo(any_path))


def values(batch: ZooBatch) -> dict[str, torch.Tensor]:
    large = {"weights": flat(batch.weights), "inputs": batch.inputs, "outputs": batch.outputs}
    targets = {f"target {name}": target for name, target in batch.targets.items()}
    return large | batch.labels() | targets


def assert_joined(parts: Iterable[ZooBatch], whole: ZooBatch) -> None:
    shares = [values(part) for part in parts]
    for name, value in values(whole).items():
        assert torch.equal(torch.cat([share[name] for share in shares]), value), name


def test_a_pass_reads_every_row_once_and_each_pass_in_another_order() -> None:
    order = RowOrder(ROWS, 10, seed=0)
    dealt = np.concatenate([order.of_step(step) for step in range(30)])
    passes = [dealt[start : start + len(ROWS)] for start in (0, len(ROWS), 2 * len(ROWS))]
    for one in passes:
        np.testing.assert_array_equal(np.sort(one), ROWS)
    assert (passes[0] != passes[1]).any()


def test_a_step_is_a_function_of_seed_and_number() -> None:
    straight = RowOrder(ROWS, 10, seed=0)
    forward = [straight.of_step(step) for step in range(20)]
    for step in (13, 2, 19):
        np.testing.assert_array_equal(RowOrder(ROWS, 10, seed=0).of_step(step), forward[step])
    assert (RowOrder(ROWS, 10, seed=1).of_step(0) != forward[0]).any()


def test_groups_are_dealt_out_in_turn_and_each_in_passes_of_its_own() -> None:
    groups = [np.arange(3, 20), np.arange(0), np.arange(50, 60), np.arange(80, 111)]
    order = EvenOrder(groups, 7, seed=0)
    dealt = [order.of_step(step) for step in range(30)]
    for batch in dealt:
        counts = [int(np.isin(batch, group).sum()) for group in groups]
        assert counts[1] == 0
        assert all(count in (2, 3) for count in (counts[0], *counts[2:]))
    every = np.concatenate(dealt)
    for group in groups:
        own = every[np.isin(every, group)][: len(group)]  # the first pass
        np.testing.assert_array_equal(np.sort(own), group)
    for step in (11, 2, 29):
        np.testing.assert_array_equal(EvenOrder(groups, 7, seed=0).of_step(step), dealt[step])
    alike = EvenOrder([np.arange(30), np.arange(30, 60)], 60, seed=0).of_step(0)
    assert (alike[::2] != alike[1::2] - 30).any()  # not the same tasks side by side


def test_an_even_draw_has_as_many_of_each_zoo(collection_path: Path) -> None:
    reader = ZooReader(open_zoo(collection_path))
    rows = np.arange(80)  # 36, 36 and 8 of the zoos
    found = {}
    for evenly in (False, True):
        loader = TrainingLoader(reader, rows, 12, 1, 5, seed=0, evenly=evenly)
        read = np.concatenate([loader.batch(step).row for step in range(20)])
        found[evenly] = np.bincount(reader.zoo.zoo_of(torch.from_numpy(read)), minlength=3)
    assert found[True].tolist() == [80, 80, 80]
    assert found[False].tolist() == [108, 108, 24]


def test_picks_are_different_and_those_of_evaluation_depend_on_seed_and_row() -> None:
    rows = np.arange(1000)
    picks = fixed_picks(1, rows, 10, 2)
    assert torch.equal(fixed_picks(1, rows[[500, 3]], 10, 2), picks[[500, 3]])
    assert (picks[:, 0] != picks[:, 1]).all()
    assert not torch.equal(fixed_picks(2, rows, 10, 2), picks)
    drawn = training_picks(seed=0, step=3, batch=50, stored=9, count=4)
    assert all(len(set(row.tolist())) == 4 for row in drawn)
    counts = torch.bincount(picks.flatten(), minlength=10)  # 200 expected of each
    assert ((counts - 200).abs() < 60).all()


@pytest.mark.parametrize("permute", [False, True])
@pytest.mark.parametrize("evenly", [False, True])
def test_the_ranks_share_one_batch(reader: ZooReader, permute: bool, evenly: bool) -> None:
    alone = loader(reader, permute, evenly=evenly)
    ranks = [loader(reader, permute, rank, 2, evenly) for rank in range(2)]
    for step in (0, 3, 11):
        assert_joined((part.batch(step) for part in ranks), alone.batch(step))


def test_a_batch_that_cannot_be_dealt_out_is_an_error(reader: ZooReader) -> None:
    with pytest.raises(ValueError, match="multiple of 3"):
        loader(reader, world=3)


def test_permuting_changes_the_weights_and_not_the_functions(reader: ZooReader) -> None:
    plain, permuted = loader(reader).batch(2), loader(reader, permute=True).batch(2)
    assert not torch.equal(flat(plain.weights), flat(permuted.weights))
    assert torch.equal(plain.inputs, permuted.inputs)
    outputs = [run_population(b.weights, b.inputs)[0] for b in (plain, permuted)]
    torch.testing.assert_close(outputs[0], outputs[1])


def test_holding_the_zoo_gives_the_same_batches(reader: ZooReader) -> None:
    held = ZooReader(reader.zoo, torch.device("cpu"))
    assert_joined([loader(held).batch(1)], loader(reader).batch(1))


@pytest.mark.parametrize("world", [1, 2, 3])
def test_evaluation_reads_every_row_once(reader: ZooReader, world: int) -> None:
    loaders = [EvaluationLoader(reader, ROWS, 8, 2, 0, rank, world) for rank in range(world)]
    batches = [list(part) for part in loaders]
    assert all(len(part) == len(made) for part, made in zip(loaders, batches, strict=True))
    assert len({len(made) for made in batches}) == 1
    every = [batch for made in batches for batch in made]
    assert all(1 <= len(batch) <= 8 for batch in every)
    np.testing.assert_array_equal(np.sort(torch.cat([b.row for b in every]).numpy()), ROWS)


def test_a_process_without_a_share_has_an_empty_batch(reader: ZooReader) -> None:
    parts = [EvaluationLoader(reader, ROWS[:3], 8, 2, 0, rank, 2) for rank in range(2)]
    (three,), (none,) = map(list, parts)
    assert (len(three), len(none)) == (3, 0)
    for name, value in values(three).items():
        assert values(none)[name].shape == (0, *value.shape[1:]), name


def pairs_of(batch: np.ndarray[Any, Any]) -> list[frozenset[int]]:
    """Return who was dealt out with whom: twos, and at the end of an odd batch a three."""
    cuts = list(range(2, len(batch) - 1, 2))
    return [frozenset(group.tolist()) for group in np.split(batch, cuts)] if len(batch) else []


@pytest.mark.parametrize("world", range(1, 10))
def test_pairs_are_dealt_out_once_and_evenly(world: int) -> None:
    for count, batch_size in itertools.product((*range(1, 40), 97, 256, 400), (2, 3, 4, 7, 64)):
        dealt = [deal_pairs(count, batch_size, rank, world) for rank in range(world)]
        assert len({len(batches) for batches in dealt}) == 1  # collectives in an evaluation match
        every = [batch for batches in dealt for batch in batches]
        assert sorted(np.concatenate(every).tolist()) == list(range(count))
        assert max(map(len, every)) <= max(batch_size, 3 if count % 2 else 2)
        assert all(map(len, dealt[0]))  # the first process has an example to draw
        alone = set(pairs_of(np.concatenate(deal_pairs(count, 500))))
        assert {pair for batch in every for pair in pairs_of(batch)} == alone
        shares = [sum(map(len, batches)) for batches in dealt]
        assert max(shares) - min(shares) <= 3
        assert all(map(len, every)) or count < 4 * world or batch_size < 5


@pytest.mark.parametrize("world", [1, 2, 3])
def test_a_batch_of_evaluation_is_a_fair_sample(world: int) -> None:
    for count, batch_size, rank in itertools.product((60, 97, 400), (8, 30), range(world)):
        for batch in deal_pairs(count, batch_size, rank, world):
            spaces = np.diff(np.sort(batch))
            assert spaces.max() <= 2 * count / len(batch) + 2


def test_evaluation_uses_the_same_sequences_whatever_the_batches(reader: ZooReader) -> None:
    def by_row(batch_size: int, world: int) -> torch.Tensor:
        parts = [EvaluationLoader(reader, ROWS, batch_size, 2, 0, r, world) for r in range(world)]
        batches = [batch for part in parts for batch in part]
        order = torch.cat([batch.row for batch in batches]).argsort()
        return torch.cat([batch.inputs for batch in batches])[order]

    assert torch.equal(by_row(8, 1), by_row(50, 1))
    assert torch.equal(by_row(8, 1), by_row(5, 2))
    assert torch.equal(by_row(8, 1), by_row(2, 3))


def test_pairs_of_several_zoos_have_different_tasks(collection_path: Path) -> None:
    """Zoos of a collection have the same tasks in the same order."""
    reader, rows = ZooReader(open_zoo(collection_path)), np.arange(2 * 36)

    def same(pairs: torch.Tensor) -> torch.Tensor:
        one, other = reader.zoo.read("task", pairs.flatten()).unflatten(0, (-1, 2)).unbind(1)
        return (one == other).all(1)

    rows_half_apart = torch.from_numpy(np.concatenate(deal_pairs(len(rows), 8)))
    assert same(rows_half_apart.view(-1, 2)).all()
    for batch in EvaluationLoader(reader, rows, 8, 2, 0):
        assert not same(batch.row.view(-1, 2)).any()


def test_a_batch_is_moved_and_cast_whole(reader: ZooReader) -> None:
    batch = loader(reader).batch(0)
    double = batch.to(dtype=torch.float64)
    for name, value in values(batch).items():
        moved = values(double)[name]
        assert moved.dtype == (torch.float64 if value.is_floating_point() else value.dtype), name
        assert torch.equal(moved.to(value.dtype), value)
    assert all(value.is_meta for value in values(batch.to("meta")).values())
    assert len(batch) == 8
