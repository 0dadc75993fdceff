"""``wsrl compare`` on a small zoo and on files, run for real in this process."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn.functional import one_hot

from wsrl.analysis.similarity import representations
from wsrl.cli import main
from wsrl.problems import FlipFlop
from wsrl.rnn import RNNSpec, RNNWeights, concatenate, states_along
from wsrl.studies.similarity import (
    Similarity,
    SimilaritySettings,
    Subjects,
    find_subjects,
    measure,
    summarize,
)
from wsrl.zoos import BuildSettings, Zoo, build_zoo
from wsrl.zoos.tensors import read_metadata, read_tensors

EVERY = ["behaviour", "behaviour outside", "cka", "procrustes", "shape angle", "dsa"]
EVERY += ["jacobian spectra", "weights"]


def run(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    capsys.readouterr()
    assert main(["compare", *args]) == 0
    return capsys.readouterr().out


def failed(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    capsys.readouterr()
    assert main(["compare", *args]) == 1
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error.splitlines()[-1]


def saved(path: Path, rnn: nn.Module, linear: nn.Linear) -> str:
    torch.save(nn.ModuleDict({"rnn": rnn, "linear": linear}).state_dict(), path)
    return str(path)


def test_a_zoo_is_compared_by_every_level(
    zoo: Zoo, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "alike"
    common = [str(zoo.path), "--rnns", "5", "--sequences", "4", "--ckpt", "languages"]
    text = run(capsys, *common, "--out", str(out))
    assert "rank correlations" in text
    assert "Fewer than 10 runs: too few for intervals." in text
    assert "no embedding languages: " in text  # it reads 6 inputs, these RNNs have others
    distances = read_tensors(out / "distances.safetensors")
    assert {*distances} == {*EVERY}
    rows = list(csv.DictReader((out / "rnns.csv").open()))
    assert read_metadata(out / "distances.safetensors")["names"] == [row["name"] for row in rows]
    relations = list(csv.DictReader((out / "relations.csv").open()))
    assert len(relations) == 28
    page = (out / "alike.html").read_text()
    assert page.count('class="chart"') == 9
    assert "too few for intervals" in page
    rnns = zoo.read_weights(torch.tensor([int(row["row"]) for row in rows]))
    subjects = find_subjects(
        [zoo.path], torch.Generator().manual_seed(0), count=5, sequences=4
    )  # by hand, on the inputs of this seed: those that the zoo stores
    own = subjects.inputs.expand(5, *subjects.inputs.shape)
    with torch.no_grad():
        shares = [rnns.to_module(k)(own[k])[0].softmax(-1) for k in range(5)]
    apart = (shares[1] - shares[3]).abs().sum(-1).mean() / 2
    assert float(distances["behaviour"][1, 3]) == pytest.approx(float(apart), abs=1e-5)


def test_snapshots_of_one_run_are_no_independent_rnns(zoo: Zoo, tmp_path: Path) -> None:
    rows = (zoo.read("run") < 4).nonzero()[:, 0].tolist()
    file = saved(
        tmp_path / "a.pt", nn.GRU(zoo.spec.input_size, 3), nn.Linear(3, zoo.spec.output_size)
    )
    subjects = find_subjects([zoo.path, file], torch.Generator(), rows=rows, sequences=4)
    relation, *_ = measure(subjects, SimilaritySettings(("behaviour",))).relations
    assert (relation["runs"], relation["rnns"], relation["low"]) == (5, 13, None)


def test_two_files_have_a_number_for_each_distance(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rnn, linear = nn.GRU(3, 6), nn.Linear(6, 2)
    weights = RNNWeights.from_module(rnn, linear)
    other, readout = weights.permute([torch.randperm(6)]).to_module()
    files = saved(tmp_path / "a.pt", rnn, linear), saved(tmp_path / "b.pt", other, readout)
    levels = ["--levels", "behaviour", "weights", "--sequences", "4"]
    found: dict[str, Any] = json.loads(run(capsys, *files, *levels, "--json"))
    assert {*found["distances"]} == {"behaviour", "weights"}
    assert found["distances"]["weights"][0][1] == pytest.approx(0, abs=1e-5)
    assert found["distances"]["behaviour"][0][1] == pytest.approx(0, abs=1e-5)
    assert "behaviour outside" in found["left_out"]
    third = saved(tmp_path / "c.pt", nn.LSTM(3, 4), nn.Linear(4, 2))
    text = run(capsys, *files, third, *levels)
    assert "no weights: RNNs of 2 cells and sizes: none between these" in text


def test_what_cannot_be_compared_is_said(
    zoo: Zoo, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rnn = saved(tmp_path / "a.pt", nn.GRU(3, 6), nn.Linear(6, 2))
    assert "at least two RNNs to compare, not 1" in failed(capsys, rnn)
    (tmp_path / "link").symlink_to(zoo.path)
    for again in ([rnn] * 2, [str(zoo.path), str(tmp_path / "link")]):
        assert f"{again[1]} is given more than once" in failed(capsys, *again)
    error = failed(capsys, rnn, str(zoo.path))
    assert "have 3 inputs and 2 outputs" in error
    assert "only RNNs of the same inputs and outputs are compared" in error
    other = saved(tmp_path / "b.pt", nn.GRU(3, 5), nn.Linear(5, 2))
    error = failed(capsys, rnn, other, "--levels", "weights")
    assert "no level is left to compare RNNs by: RNNs of 2 cells and sizes" in error
    assert "no run and no checkpoint at nothing" in failed(capsys, rnn, other, "--ckpt", "nothing")
    with pytest.raises(ValueError, match=r"levels are some of behaviour, .* not looks"):
        SimilaritySettings(levels=("looks",))  # type: ignore[arg-type]


def test_sequences_too_short_for_delays_leave_dsa_out(tmp_path: Path) -> None:
    files = [saved(tmp_path / f"{k}.pt", nn.GRU(3, 6), nn.Linear(6, 2)) for k in range(2)]
    subjects = find_subjects(files, torch.Generator())
    found = measure(subjects, SimilaritySettings(("dynamics",), delays=50))
    assert found.left_out == {"dsa": "sequences of 50 steps are too short for 50 delays"}
    assert {*found.distances} == {"jacobian spectra"}


def test_rnns_whose_numbers_are_not_finite_are_left_out_alone() -> None:
    spec = RNNSpec("relu", 1, 2, 1, 1, bias=False)
    flat = torch.tensor([[1.0, 1, 0.5, 0, 0, 0.5, 1, 1], [1, 1, -0.5, 0, 0, 0.2, 1, 1]])
    flat = torch.cat([flat, flat[:1]])
    flat[2, 2] = 1e30
    rnns = RNNWeights(flat, spec)
    inputs = torch.ones(2, 30, 1)
    table = pd.DataFrame({"name": ["a", "b", "c"]})
    subjects = Subjects(rnns, table, inputs, torch.ones(2, 30), 2 * inputs, "real")
    found = measure(subjects, SimilaritySettings(("behaviour", "representation", "dynamics")))
    assert found.left_out == {
        "behaviour": "1 RNNs have outputs that are not finite",
        "behaviour outside": "1 RNNs have outputs that are not finite",
        "representation": "1 RNNs have states that are not finite",
        "dsa": "1 RNNs have states that are not finite",
        "jacobian spectra": "1 RNNs have states without input that are not finite",
    }
    for distances in found.distances.values():
        assert np.isfinite(distances).tolist() == [[True, True, False]] * 2 + [[False] * 3]


def test_trials_of_a_task_count_where_their_mask_does() -> None:
    problem = FlipFlop(bits=2, length=12)
    tasks = problem.draw_tasks(0, range(3))
    inputs, counts = problem.new_sequences(tasks, 7, torch.Generator().manual_seed(0))
    assert inputs.shape == (7, 12, 2)
    assert counts.shape == (7, 12)
    again, _ = problem.new_sequences(tasks, 7, torch.Generator().manual_seed(0))
    assert torch.equal(inputs, again)
    assert not torch.equal(inputs[0], inputs[3])


def test_random_inputs_are_of_the_problem_s_kind(zoo: Zoo) -> None:
    subjects = find_subjects([zoo.path], torch.Generator().manual_seed(0), count=2, sequences=3)
    assert subjects.outside is not None
    assert subjects.outside.shape[1] == 2 * subjects.inputs.shape[1]
    tokens = subjects.outside.argmax(-1)
    assert torch.equal(one_hot(tokens, subjects.outside.shape[2]).float(), subjects.outside)


def test_zoos_whose_outputs_are_of_two_kinds_are_refused(zoo: Zoo, tmp_path: Path) -> None:
    size = zoo.interface.input_size
    problem = FlipFlop(bits=size, length=4, evaluated_trials=2, stored_trials=2)
    settings = BuildSettings(runs=2, hidden_size=3, snapshots=(0,))
    build_zoo(tmp_path / "real", problem, settings, quiet=True)
    sources = [zoo.path, tmp_path / "real"]
    with pytest.raises(ValueError, match="some zoos are categorical, those of others real"):
        find_subjects(sources, torch.Generator(), count=2)


def test_states_are_compared_until_the_last_step_that_counts() -> None:
    spec = RNNSpec("tanh", 1, 2, 1, 1)
    rnns = RNNWeights(torch.zeros(2, spec.num_parameters), spec)  # each with two stable states
    tensors = rnns.tensors()
    tensors["rnn.weight_ih_l0"][:], tensors["rnn.bias_ih_l0"][:] = 0.2, 0.2
    tensors["rnn.weight_hh_l0"][:] = torch.tensor([1.5, 2])[:, None, None] * torch.eye(2)
    generator = torch.Generator().manual_seed(1)
    tensors["rnn.weight_hh_l0"] += 0.1 * torch.randn(2, 2, 2, generator=generator)
    inputs = -2 - torch.randn(2, 6, 1, generator=generator).abs()
    inputs[:, 4:] = 1e3  # after the trial
    counts = torch.zeros(2, 6)
    counts[:, 3] = 1  # the decision
    table = pd.DataFrame({"name": ["a", "b"]})
    subjects = Subjects(rnns, table, inputs, counts, None, "real")
    measured = measure(subjects, SimilaritySettings(("representation", "dynamics"), delays=2))
    found = measured.distances["procrustes"]
    within = replace(subjects, inputs=inputs[:, :4], counts=counts[:, :4])
    alone = measure(within, SimilaritySettings(("dynamics",), delays=2))
    for name, distances in alone.distances.items():
        np.testing.assert_allclose(measured.distances[name], distances, atol=1e-7)
        assert distances[0, 1] > 1e-3
    driven = inputs[None, :, :4].expand(2, -1, -1, -1).double()
    wanted = representations([*states_along(rnns.to(torch.float64), driven).flatten(1, 2)])
    assert found[0, 1] == pytest.approx(float(wanted.procrustes[0, 1]))
    assert found[0, 1] > 0


def test_states_of_all_rnns_fit_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = (RNNSpec("tanh", 1, size, 1, 1) for size in (2, 20))
    rnns = [RNNWeights(torch.randn(2, spec.num_parameters), spec) for spec in (small, large)]
    inputs = torch.randn(30, 10, 1)
    table = pd.DataFrame({"name": list("abcd")})
    subjects = Subjects(concatenate(rnns), table, inputs, torch.ones(30, 10), None, "real")
    monkeypatch.setattr("wsrl.studies.similarity.measuring._NUMBERS", 20 * 10 * (2 * 2 + 2 * 20))
    found = measure(subjects, SimilaritySettings(("representation",)))
    assert found.notes == ("states are those of 20 sequences: more would not fit in memory",)


def test_relations_without_a_correlation_come_last() -> None:
    apart = np.abs(np.subtract.outer(np.arange(5.0), np.arange(5.0)))
    equal = 1 - np.eye(5)
    table = pd.DataFrame({"name": list("abcde")})
    found = Similarity(table, {"a": equal, "b": apart, "c": apart**2, "d": equal}, {}, ())
    last = summarize(found).splitlines()[-7:-1]
    assert last[0].split()[:4] == ["b", "and", "c", "1.000"]
    assert all("NaN" in line for line in last[1:])
