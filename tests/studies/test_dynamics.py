"""``wsrl dynamics``: tables, points and state spaces of zoos, run for real in this process."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import wsrl
from tests.analysis.dynamics.systems import rnn, rotation
from tests.studies.test_columns_of_tests import FIT
from wsrl.analysis.dynamics import DynamicsSettings
from wsrl.cli import main
from wsrl.rnn import RNNWeights, advance, state_size
from wsrl.studies.dynamics import Asked, study
from wsrl.studies.dynamics_tables import POINT
from wsrl.studies.embeddings import read_embeddings
from wsrl.zoos import Zoo, open_zoo, pack_zoo
from wsrl.zoos.tensors import read_metadata, read_tensors, write_tensors

CONFIG = str(Path(wsrl.__file__).parent / "configs" / "prediction.yaml")
KINDS = {"bits": 2 * np.eye(2), "one": 0.5 * np.eye(2), "turn": rotation(0.4, 1.5)}
FEW = ("--starts", "12", "--settling", "400")


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zoo of flip-flops, RNNs with one point, and ones that turn; two of each."""
    folder = tmp_path_factory.mktemp("known") / "zoo"
    models = [
        (f"{name}-{i}", rnn(m).to(torch.float32)) for i in (0, 1) for name, m in KINDS.items()
    ]
    pack_zoo(models, folder, "real", "normal", length=6, sequences_stored=5)
    return folder


def dynamics(capsys: pytest.CaptureFixture[str], *args: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert main(["dynamics", *FEW, *args, "--json"]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def test_a_row_for_each_rnn(
    known: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = dynamics(capsys, str(known), "--out", str(tmp_path))
    kinds = [row["name"].split("-")[0] for row in found]
    assert kinds == ["bits", "one", "turn"] * 2
    columns = ("n_stable", "n_unstable", "max_unstable_directions", "has_cycle", "has_line")
    expected = {"bits": (4, 5, 2, False, False), "one": (1, 0, 0, False, False)}
    expected["turn"] = (0, 1, 2, True, False)
    for row, kind in zip(found, kinds, strict=True):
        assert tuple(row[name] for name in columns) == expected[kind], kind
        assert (row["period"] is None) == (kind != "turn")
        assert row["settled"] == 1
    constant = found[1]["dominant_time_constant"]
    assert constant == pytest.approx(-1 / np.log(0.5))
    written = pd.read_csv(tmp_path / "dynamics.csv")
    assert written.n_stable.tolist() == [row["n_stable"] for row in found]
    points = pd.read_csv(tmp_path / "points.csv")
    assert len(points) == written.n_fixed.sum()
    shares = points.groupby("row").share.sum()
    assert shares[[0, 1, 3, 4]].tolist() == [1] * 4
    held, zoo = read_tensors(tmp_path / "states.safetensors"), open_zoo(known)
    assert held["row"].tolist() == points.row.tolist()
    weights = RNNWeights(zoo.read("weights", held["row"]).double(), zoo.spec)
    moved = advance(weights, held["states"][:, None])[:, 0] - held["states"]
    assert moved.norm(dim=1).max() < 1e-8
    assert {file.suffix for file in tmp_path.iterdir()} == {
        ".csv",
        ".html",
        ".json",
        ".safetensors",
    }


@pytest.mark.parametrize("components", [2, 3])
def test_the_page_draws_state_spaces(known: Path, tmp_path: Path, components: int) -> None:
    arguments = (str(known), "--out", str(tmp_path), "--drawn", "3", "--rows", "0", "1", "2")
    assert main(["dynamics", *arguments, *FEW, "--components", str(components)]) == 0
    page = (tmp_path / "dynamics.html").read_text()
    kept = re.search(r'id="figures">(.*?)</script>', page)
    assert kept is not None
    bits, one, turn = json.loads(kept[1])
    kind = "scatter3d" if components == 3 else "scatter"
    assert {trace["type"] for trace in bits["data"]} == {kind}

    def told(figure: dict[str, Any], word: str) -> list[str]:
        hovers = [text for trace in figure["data"] for text in trace.get("customdata", ())]
        return [text for text in hovers if f": {word}" in text or text.startswith(word)]

    assert len(told(bits, "stable")) == 4
    assert len(told(bits, "unstable")) == 5
    assert len(told(one, "stable")) == 1
    assert len(told(turn, "limit cycle 0")) > 10
    assert not told(one, "limit cycle")


def test_an_input_and_the_step_are_chosen(
    zoo: Zoo, known: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    driven = dynamics(capsys, str(known), "--input", "2", "--rows", "0")
    assert driven[0]["n_stable"] == 1
    last = dynamics(capsys, str(zoo.path), "--step", "60", "--starts", "2")
    assert {row["step"] for row in last} == {60}
    assert [row["row"] for row in last] == (zoo.read("step") == 60).nonzero()[:, 0].tolist()
    for words in (["--input", "1", "2"], ["--step", "7"], ["--rows", "99"]):
        assert main(["dynamics", str(known), *words]) == 1
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1
        assert words[-1] in error


def test_what_is_done_is_kept(known: Path, tmp_path: Path) -> None:
    asked = Asked(str(known), DynamicsSettings(starts=4, settling=100))
    blocked = tmp_path / "dynamics.csv"
    blocked.mkdir()  # the table cannot be written, after all the work
    with pytest.raises(IsADirectoryError):
        study(asked, tmp_path, rows=[0, 1], quiet=True)
    (part,) = tmp_path.glob("parts-*/*.safetensors")
    content = read_metadata(part)
    assert [record["n_stable"] for record in content["rnns"]] == [4, 1]
    content["rnns"][0]["n_stable"] = 77
    write_tensors(part, read_tensors(part), content)
    blocked.rmdir()
    other = study(asked, tmp_path, rows=[0], quiet=True)  # another question is asked anew
    assert other.n_stable.tolist() == [4]
    again = study(asked, tmp_path, rows=[0, 1], quiet=True)
    assert again.n_stable.tolist() == [77, 1]
    assert not list(tmp_path.glob("parts-*"))


def test_a_zoo_that_was_made_anew_is_analysed_anew(tmp_path: Path) -> None:
    asked = Asked(str(tmp_path / "zoo"), DynamicsSettings(starts=4, settling=100))
    blocked = tmp_path / "out" / "dynamics.csv"

    def pack(kind: str) -> None:
        models = [("a", rnn(KINDS[kind]).to(torch.float32))]
        pack_zoo(models, tmp_path / "zoo", "real", "normal", length=6, sequences_stored=5)

    pack("bits")
    blocked.mkdir(parents=True)
    with pytest.raises(IsADirectoryError):  # all but the tables is done
        study(asked, tmp_path / "out", quiet=True)
    blocked.rmdir()
    shutil.rmtree(tmp_path / "zoo")
    pack("one")
    assert study(asked, tmp_path / "out", quiet=True).n_stable.tolist() == [1]


def test_the_table_of_points_has_its_columns_where_there_are_none(tmp_path: Path) -> None:
    drifting = rnn(np.eye(2), "linear")
    drifting.tensors()["rnn.bias_ih_l0"].fill_(1.0)
    models = [("drifting", drifting.to(torch.float32))]
    pack_zoo(models, tmp_path / "zoo", "real", "normal", length=6, sequences_stored=5)
    asked = Asked(str(tmp_path / "zoo"), DynamicsSettings(starts=4, settling=100))
    assert study(asked, tmp_path, quiet=True).n_fixed.tolist() == [0]
    points = pd.read_csv(tmp_path / "points.csv")
    assert [*points.columns] == ["row", *POINT]
    assert points.empty


def test_dynamics_are_predicted_from_embeddings(
    known: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    zoo = shutil.copytree(known, tmp_path / "zoo")
    dynamics(capsys, str(zoo), "--out", str(tmp_path))
    table, lacking = str(tmp_path / "dynamics.csv"), "dominant_time_constant"
    assert main(["zoo", "label", str(zoo), "--table", table, "--real", lacking]) == 0
    capsys.readouterr()
    assert main(["zoo", "info", str(zoo), "--json"]) == 0
    targets = json.loads(capsys.readouterr().out)["targets"]
    assert targets["n_stable"]["kind"] == "real"
    assert targets["has_cycle"] == {"kind": "classes", "parts": 1, "classes": ["False", "True"]}
    assert not targets.keys() & {"hidden_size", "cell", "name", "period"}  # known, or with gaps
    where = ["--run", str(tmp_path / "run"), "--config", CONFIG, "--data.zoo", str(zoo)]
    model = ["--model.target", lacking, "--model.mode", "scratch", "--data.split_by", "nothing"]
    assert main(["fit", *where, *model, "--data.ood_to_train", "false", *FIT]) == 0
    assert f"2 of the zoo's 6 RNNs have no {lacking}" in capsys.readouterr().err
    checkpoint = str(tmp_path / "run/checkpoints/last.ckpt")
    assert main(["test", "--ckpt_path", checkpoint]) == 0
    assert json.loads((tmp_path / "run/test.json").read_text())["metrics"]["validation/mae"] > 0
    only = ["baseline", "mean", "--target", lacking, "--run", str(tmp_path / "mean")]
    assert main([*only, "--data.zoo", str(zoo), "--data.split_by", "nothing"]) == 0
    assert json.loads((tmp_path / "mean/test.json").read_text())["metrics"]["validation/mae"] > 0
    assert main(["predict", "--ckpt_path", checkpoint, "--out", str(tmp_path / "found.csv")]) == 0
    predicted = read_embeddings(tmp_path / "found.csv").set_index("row").sort_index()
    assert predicted.n_stable.tolist() == [4, 1, 0] * 2
    assert predicted.predicted_dominant_time_constant.notna().all()


def test_rnns_of_several_specs_are_one_table(collection_path: Path, tmp_path: Path) -> None:
    zoo = open_zoo(collection_path)
    assert len(zoo.specs) > 1
    firsts = [zoo.spec_of(torch.arange(len(zoo))).index(spec) for spec in zoo.specs]
    asked = Asked(str(collection_path), DynamicsSettings(starts=2, settling=20))
    found = study(asked, tmp_path, rows=[*firsts, firsts[0] + 1], quiet=True)
    assert found.row.tolist() == sorted([*firsts, firsts[0] + 1])
    specs = zoo.spec_of(torch.tensor(found.row.tolist()))
    assert found.cell.tolist() == [spec.cell for spec in specs]
    assert found.hidden_size.tolist() == [spec.hidden_size for spec in specs]
    held = read_tensors(tmp_path / "states.safetensors")
    sizes = {state_size(spec) for spec in zoo.specs}
    assert {name for name in held if name.endswith("states")} == {f"{n}.states" for n in sizes}
