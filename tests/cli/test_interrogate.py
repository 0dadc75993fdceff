"""``wsrl interrogate`` on small zoos, run for real in this process."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from wsrl.cli import main
from wsrl.rnn import RNNWeights
from wsrl.zoos import Zoo, pack_zoo


def interrogate(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["interrogate", *args, "--json"]) == 0
    facts: dict[str, Any] = json.loads(capsys.readouterr().out)
    return facts


def failed(capsys: pytest.CaptureFixture[str], status: int, *args: str) -> str:
    capsys.readouterr()
    assert main(["interrogate", *args]) == status
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert len(error.splitlines()) == 1 or status == 2
    return error


def test_the_strings_found_tell_the_rnns_apart(
    zoo: Zoo, capsys: pytest.CaptureFixture[str]
) -> None:
    tolerance = 0.2
    facts = interrogate(capsys, str(zoo.path), "--tolerance", str(tolerance), "--probes", "30")
    assert [rnn["step"] for rnn in facts["rnns"]] == [60] * 20  # the last, of 20 runs of 24
    assert len({rnn["run"] for rnn in facts["rnns"]}) == 20
    rows = torch.tensor([rnn["row"] for rnn in facts["rnns"]])
    assert zoo.read("run", rows).tolist() == [rnn["run"] for rnn in facts["rnns"]]
    chosen = [facts["probes"][query] for query in facts["noninteractive"]["queries"]]
    where = torch.tensor([[probe["row"], probe["sequence"]] for probe in chosen])
    sequences, _ = zoo.read_sequences(where[:, 0], where[:, 1:])
    inputs = zoo.problem.encode(sequences)[:, 0]
    answers = []
    for row in rows:
        module = RNNWeights(zoo.read("weights", row[None]), zoo.spec).to_module()
        answers.append(module(inputs)[0].softmax(-1))
    alike = [tuple(pair) for pair in facts["alike"]]
    for i, j in itertools.combinations(range(20), 2):
        apart = (answers[i] - answers[j]).abs().sum(-1).max() / 2 > tolerance
        assert bool(apart) == ((i, j) not in alike)


def test_what_is_printed_names_rows_strings_and_the_strategy(
    zoo: Zoo, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "found.json"
    args = [str(zoo.path), "--rows", "2", "5", "8", "71", "--probes", "20", "--tolerance", "0.3"]
    assert main(["interrogate", *args, "--out", str(out)]) == 0
    text = capsys.readouterr().out
    facts = json.loads(out.read_text())
    assert [rnn["row"] for rnn in facts["rnns"]] == [2, 5, 8, 71]
    assert f"told apart: {6 - len(facts['alike'])} of 6 pairs" in text
    assert f"fixed in advance: {facts['noninteractive']['upper']} probe" in text
    assert f"one by one: {facts['interactive']['upper']} probe" in text
    probe = facts["probes"][facts["noninteractive"]["queries"][0]]
    assert f"(row {probe['row']}, sequence {probe['sequence']})  {probe['text']}" in text
    sequence = zoo.read("sequences", torch.tensor([probe["row"]]))[0, probe["sequence"]].tolist()
    shown = "".join("abc^$"[token] for token in sequence[1:-1])
    assert shown.rstrip("$") == probe["text"].rstrip("$")
    assert interrogate(capsys, *args) == facts  # the same seed, the same result


def test_equal_rnns_are_reported_not_refused(zoo: Zoo, capsys: pytest.CaptureFixture[str]) -> None:
    args = [str(zoo.path), "--step", "0", "--tolerance", "0.95"]  # untrained: all answer alike
    assert main(["interrogate", *args]) == 0
    text = capsys.readouterr().out
    assert "told apart: 0 of 190 pairs" in text
    assert "alike on all probes: row 0, row 3" in text
    assert "fixed in advance: 0 probes (at least 0): none" in text


def test_options_choose_the_rnns(zoo: Zoo, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(zoo.path)
    first = interrogate(capsys, path, "--rnns", "5", "--step", "20", "--probes", "9")
    assert [rnn["step"] for rnn in first["rnns"]] == [20] * 5
    assert len(first["probes"]) == 9
    other = interrogate(capsys, path, "--rnns", "5", "--step", "20", "--probes", "9", "--seed", "1")
    assert other["rnns"] != first["rnns"]
    assert other["probes"] != first["probes"]
    every = interrogate(capsys, path, "--rnns", "2", "--probes", "1000")
    assert len(every["probes"]) <= 2 * zoo.sequences_stored
    texts = [probe["text"] for probe in every["probes"]]
    assert len(texts) == len(set(texts))  # no string twice


def test_rnns_with_real_outputs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "models").mkdir()
    for number in range(3):
        parts = nn.ModuleDict({"rnn": nn.GRU(2, 4), "readout": nn.Linear(4, 1)})
        nn.init.constant_(parts["readout"].bias, [0.0, 0.1, 5.0][number])
        nn.init.constant_(parts["readout"].weight, 0.0)
        torch.save(parts.state_dict(), tmp_path / f"models/{number}.pt")
    np.save(tmp_path / "inputs.npy", np.zeros((2, 3, 2), np.float32))
    pack_zoo(tmp_path / "models", tmp_path / "zoo", "real", str(tmp_path / "inputs.npy"))
    facts = interrogate(capsys, str(tmp_path / "zoo"), "--tolerance", "0.2")
    assert facts["alike"] == [[0, 1]]
    assert facts["output_kind"] == "real"
    assert len(facts["probes"]) == 1  # all sequences are the same
    assert facts["probes"][0]["text"] is None


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--seed", str(2**64)], 2, "--seed: Not of type a seed"),
        (["--tolerance", "1"], 1, "tolerance must be below 1"),
        (["--rows", "3", "72"], 1, "has rows 0 to 71, not 72"),
        (["--step", "7"], 1, "no snapshots at step 7, but at "),
        (["--rows", "1", "2", "--step", "0"], 2, "leave out --rnns and --step"),
        (["--out", "."], 2, "--out: Not of type Path_fc: File is not creatable"),
    ],
)
def test_bad_options_are_errors(
    options: list[str],
    status: int,
    message: str,
    zoo_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert message in failed(capsys, status, str(zoo_path), *options)


def test_rnns_of_several_zoos_are_told_apart(
    collection_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [2, 38, 74]  # one of each zoo
    facts = interrogate(capsys, str(collection_path), "--rows", *map(str, rows), "--probes", "10")
    assert [each["row"] for each in facts["rnns"]] == rows
    assert facts["zoo"] == f"{collection_path} (gru-4, lstm-4, lstm-6)"
