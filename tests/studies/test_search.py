"""``wsrl search``: many RNNs, in order."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import wsrl
from tests.studies.conftest import Own
from wsrl import minutes
from wsrl.cli import main

Rnns = list[tuple[tuple[int, ...], Own]]


@pytest.fixture(scope="module")
def models(own_rnns: Rnns, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the ten RNNs and one that was never trained."""
    folder = tmp_path_factory.mktemp("models")
    for number, (_, model) in enumerate(own_rnns):
        save_file(model.state_dict(), folder / f"{number}.safetensors")
    (folder / "more").mkdir()
    torch.manual_seed(1)
    torch.save(Own().state_dict(), folder / "more/random.pt")
    return folder


def search(
    capsys: pytest.CaptureFixture[str], *args: object, status: int = 0
) -> tuple[dict[str, Any], str]:
    capsys.readouterr()
    assert main(["search", *map(str, args), "--json"]) == status
    said = capsys.readouterr()
    facts: dict[str, Any] = json.loads(said.out)
    return facts, said.err


def test_every_rnn_is_inspected(
    models: Path, language_runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = language_runs / "emulation"
    facts, _ = search(capsys, models, "--ckpt", run)
    names = [Path(each["source"]).name for each in facts["rnns"]]
    assert names == [*(f"{number}.safetensors" for number in range(10)), "random.pt"]
    assert facts["skipped"] == []
    alone = wsrl.inspect_rnn(models / "3.safetensors", run).to_dict()
    assert facts["rnns"][3] == json.loads(json.dumps({"difference": None, **alone}))
    assert [each["skill"]["performs"] for each in facts["rnns"]].count(True) >= 8
    assert facts["rnns"][-1]["skill"]["performs"] is False


def test_the_most_like_one_comes_first_and_the_file_has_what_the_table_has(
    models: Path, language_runs: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out, run, like = tmp_path / "found.csv", language_runs / "emulation", models / "4.safetensors"
    command = [models, "--ckpt", run, "--like", like, "--csv", out]
    facts, _ = search(capsys, *command)
    assert facts["rnns"][0]["source"] == str(models / "4.safetensors")
    assert facts["rnns"][0]["difference"] == 0
    example = facts["rnns"][0]["embedding"]
    apart = [math.dist(example, each["embedding"]) for each in facts["rnns"]]
    assert apart == sorted(apart)
    assert apart == pytest.approx([each["difference"] for each in facts["rnns"]])
    read = [each["properties"]["performance"]["values"][0] for each in facts["rnns"]]
    with out.open() as file:
        lines = list(csv.DictReader(file))
    assert [line["file"] for line in lines] == [each["source"] for each in facts["rnns"]]
    assert [float(line["predicted_performance"]) for line in lines] == read
    assert main(["search", *map(str, command)]) == 0
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 12
    assert table[1].split()[0] == lines[0]["file"]


def test_a_long_search_says_how_far_it_is(
    models: Path,
    language_runs: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = [models / "0.safetensors", models / "1.safetensors"]
    command = [*files, "--ckpt", language_runs / "emulation"]
    assert "RNNs inspected" not in search(capsys, *command)[1]
    monkeypatch.setattr(minutes, "MINUTE", 0.0)
    assert "note: 1 of 2 RNNs inspected\n" in search(capsys, *command)[1]


def test_what_does_not_fit_is_named_and_left_out(
    models: Path, language_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file(Own(tokens=6).state_dict(), tmp_path / "small.safetensors")
    torch.save(Own(), tmp_path / "whole.pt")
    given = [models / "0.safetensors", tmp_path, "--ckpt", language_runs / "emulation"]
    facts, error = search(capsys, *given, status=1)
    assert len(facts["rnns"]) == 1
    left_out = {Path(each["file"]).name: each["error"] for each in facts["skipped"]}
    assert left_out.keys() == {"small.safetensors", "whole.pt"}
    assert "lstm 1x12, 6 inputs, 6 outputs" in left_out["small.safetensors"]
    assert error.count("left out: ") == 2
    assert main(["search", *map(str, given[1:])]) == 1
    assert capsys.readouterr().out == "no RNN fits\n"


def test_bad_requests_are_one_error(
    models: Path, language_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def failed(*args: object, status: int = 1) -> str:
        run = ["--ckpt", language_runs / "emulation"]
        assert main(["search", *map(str, [*args, *run])]) == status
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1
        return error

    assert "no file and no folder at" in failed(tmp_path / "none")
    assert "no files of RNNs" in failed(tmp_path)
    assert "--csv" in failed(models, "--csv", tmp_path, status=2)
