"""The sequences that RNNs are run on: drawn for each, or given."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from wsrl.zoos.packing.inputs import Inputs, make_inputs

NAMES = ["a", "b", "c"]


def make(inputs: Any, names: list[str] = NAMES, **options: Any) -> Inputs:
    options = {"size": 3, "count": None, "length": None, "seed": 0} | options
    return make_inputs(inputs, names, **options)


def test_drawn_sequences_have_their_distribution() -> None:
    values = {
        kind: make(kind, count=50, length=40).of(range(3))()
        for kind in ("normal", "uniform", "one_hot")
    }
    assert {kind: drawn.shape for kind, drawn in values.items()} == dict.fromkeys(
        values, (3, 50, 40, 3)
    )
    assert abs(values["normal"].mean()) < 0.05
    assert abs(values["normal"].std() - 1) < 0.05
    assert 0 <= values["uniform"].min() < 0.05 < 0.95 < values["uniform"].max() < 1
    assert abs(values["uniform"].mean() - 0.5) < 0.02
    assert torch.equal(values["one_hot"].sum(-1), torch.ones(3, 50, 40))
    assert set(values["one_hot"].unique().tolist()) == {0.0, 1.0}
    assert (values["one_hot"].mean((0, 1, 2)) - 1 / 3).abs().max() < 0.03


def test_an_rnns_sequences_depend_on_its_name_and_the_seed_alone() -> None:
    every = make("normal", length=4).of(range(3))()
    assert torch.equal(make("normal", ["c", "x"], length=4).of(range(1))()[0], every[2])
    assert torch.equal(make("normal", length=4).of(range(1, 3))(), every[1:])
    assert not torch.equal(every[0], every[1])
    assert not torch.equal(make("normal", length=4, seed=1).of(range(3))(), every)


def test_given_sequences_are_those(tmp_path: Path) -> None:
    own, shared = torch.randn(3, 2, 6, 3), torch.randn(2, 6, 3, dtype=torch.float64)
    np.save(tmp_path / "own.npy", own.numpy())
    save_file({"sequences": shared}, tmp_path / "shared.safetensors")
    cases: list[tuple[Any, Tensor]] = [
        (own, own),
        (tmp_path / "own.npy", own),
        (shared.numpy(), shared.float().expand(3, 2, 6, 3)),
        (str(tmp_path / "shared.safetensors"), shared.float().expand(3, 2, 6, 3)),
    ]
    for inputs, expected in cases:
        given = make(inputs)
        assert (given.kind, given.count, given.length) == ("given", 2, 6)
        for rows in (range(3), range(1, 2)):
            sent = pickle.loads(pickle.dumps(given.of(rows)))
            assert torch.equal(sent().expand_as(expected[rows]), expected[rows])
    assert make(own).source != make(own + 1).source


def test_processes_are_sent_what_their_rnns_need(tmp_path: Path) -> None:
    values = np.zeros((3, 2, 999, 3), np.float32)
    np.save(tmp_path / "own.npy", values)
    for inputs, most in ((values, values[0].nbytes + 999), (tmp_path / "own.npy", 999)):
        assert len(pickle.dumps(make(inputs).of(range(1, 2)))) < most


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        ("normal", {}, r"say the length of sequences .*\(normal\)"),
        ("normal", {"length": 0}, "length must be at least 1, not 0"),
        ("normal", {"length": 1, "count": 0}, "sequences_stored must be at least 1"),
        ("normal", {"length": 1, "seed": -1}, "seed must be at least 0, not -1"),
        ("gauss", {}, "no file of sequences at gauss, nor one of normal, uniform, one_hot"),
        (__file__, {}, r"neither \.npy nor \.safetensors"),
        (torch.ones(2, 5, 3), {"length": 5}, "length .* go with drawn sequences"),
        (torch.ones(2, 5, 4), {}, r"\(S, T, 3\) or \(3, S, T, 3\).*not \(2, 5, 4\)"),
        (torch.ones(2, 2, 5, 3), {}, r"not \(2, 2, 5, 3\)"),
        (torch.full((2, 5, 3), torch.inf), {}, "not finite"),
        (np.array([[["a"] * 3]]), {}, "must be real"),
    ],
)
def test_sequences_that_do_not_fit(inputs: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(inputs, **options)
