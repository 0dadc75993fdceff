"""RNNs of several cells and sizes in one study, from files and a table to what is said of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import wsrl
from wsrl.cli import main
from wsrl.zoos import ZooCollection
from wsrl.zoos.tensors import read_metadata, read_tensors

COUNT = 12
CELLS = [("lstm", nn.LSTM, 6), ("gru", nn.GRU, 5), ("gru", nn.GRU, 7)]
CONFIG = str(Path(wsrl.__file__).parent / "configs" / "emulation_own.yaml")
STEPS = ["--trainer.max_steps", "2", "--data.steps_per_epoch", "2", "--data.batch_size", "4"]


class Integrator(nn.Module):
    def __init__(self, layer: Any, size: int) -> None:
        super().__init__()
        self.core, self.readout = layer(2, size, batch_first=True), nn.Linear(size, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.readout(self.core(inputs)[0])
        return outputs


def own_models(folder: Path) -> pd.DataFrame:
    """Save a dozen RNNs of three specs; return the table of them."""
    folder.mkdir()
    rows = []
    for index in range(COUNT):
        torch.manual_seed(index)
        word, layer, size = CELLS[index % 3]
        name = f"net{index:02d}.pt"
        torch.save(Integrator(layer, size).state_dict(), folder / name)
        rows.append({"file": name, "gain": 0.1 * index, "unit": word, "size": size})
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models, the zoo that they were packed into, and an emulation of it."""
    place = tmp_path_factory.mktemp("own")
    own_models(place / "models").to_csv(place / "table.csv", index=False)
    pack = [str(place / "models"), "--table", str(place / "table.csv"), "--out", str(place / "zoo")]
    how = ["--output_kind", "real", "--inputs", "normal", "--length", "5", "--real", "size"]
    assert main(["zoo", "pack", *pack, *how, "--sequences_stored", "4"]) == 0
    run = ["--data.zoo", str(place / "zoo"), "--run", str(place / "run")]
    assert main(["fit", "--config", CONFIG, *run, *STEPS]) == 0
    return place


@pytest.fixture
def last(place: Path) -> list[str]:
    return ["--run", str(place / "run"), "--ckpt_path", "last"]


def test_packing_says_what_a_split_can_show(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["zoo", "info", str(place / "zoo")]) == 0
    text = capsys.readouterr().out
    assert "of 3 specs" in text
    assert "12 (8 train, 1 validation, 3 ood)" in text
    few = ["--output_kind", "real", "--inputs", "normal", "--length", "5", "--task", "unit"]
    table = ["--table", str(place / "table.csv"), "--out", str(place / "few")]
    assert main(["zoo", "pack", str(place / "models"), *table, *few]) == 0
    found = capsys.readouterr()
    assert "2 (too few to hold some out: train with --data.split_by nothing" in found.out
    assert "RNNs of 3 specs, a zoo for each: lstm-6, gru-5, gru-7" in found.err
    facts = ["zoo", "info", str(place / "zoo"), "--json"]
    assert main(facts) == 0
    told = json.loads(capsys.readouterr().out)
    assert [Path(zoo["path"]).name for zoo in told["zoos"]] == ["gru-5", "gru-7", "lstm-6"]
    assert (told["snapshots"], told["tasks"], len(told["specs"])) == (12, 12, 3)


def test_tests_say_how_well_each_cell_and_size_does(place: Path, last: list[str]) -> None:
    assert main(["test", *last]) == 0
    told = json.loads((place / "run" / "test.json").read_text())
    columns = read_tensors(place / "run" / "test.safetensors")
    about = read_metadata(place / "run" / "test.safetensors")
    zoo = wsrl.open_zoo(place / "zoo")
    assert isinstance(zoo, ZooCollection)
    assert [about["specs"][k] for k in columns["spec"]] == [
        str(spec) for spec in zoo.spec_of(columns["row"])
    ]
    for index, split in enumerate(about["splits"]):
        here = columns["split"] == index
        of_specs = told["metrics_by_spec"][split]
        for number, spec in enumerate(about["specs"]):
            own = columns["mean_squared_error"][here & (columns["spec"] == number)]
            found = of_specs.get(spec, {}).get("mean_squared_error")
            assert (found is None) == (len(own) == 0)
            assert found is None or found == pytest.approx(float(own.mean()))
        mean = float(columns["mean_squared_error"][here].mean())
        assert told["metrics"][f"{split}/mean_squared_error"] == pytest.approx(mean)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".safetensors"])
def test_embeddings_say_name_cell_and_size(place: Path, last: list[str], suffix: str) -> None:
    out = place / f"embeddings{suffix}"
    assert main(["predict", *last, "--out", str(out)]) == 0
    found = wsrl.read_embeddings(out).set_index("name")
    for index in range(COUNT):
        row, (word, _, size) = found.loc[f"net{index:02d}.pt"], CELLS[index % 3]
        assert (row["cell"], row["hidden_size"], row["num_layers"]) == (word, size, 1)
        assert (row["unit"], row["size"], row["run"]) == (word, size, index)
    embedding = found.filter(regex="^embedding_").to_numpy()
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1, rtol=1e-5)
    module = wsrl.EmulationModule.load_from_checkpoint(place / "run" / "checkpoints" / "last.ckpt")
    alone = wsrl.open_zoo(place / "zoo" / "gru-7")
    with torch.no_grad():
        one = wsrl.embed(module.encoder.eval(), alone.read_weights())
    names = alone.names(torch.arange(len(alone)))
    wanted = found.loc[names].filter(regex="^embedding_").to_numpy()
    np.testing.assert_allclose(one.numpy(), wanted, atol=1e-5)


def test_a_property_is_predicted_and_what_is_not_defined_is_said(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = str(place / "run" / "checkpoints" / "last.ckpt")
    zoos = [str(place / "zoo" / name) for name in ("lstm-6", "gru-5", "gru-7")]
    data, run = ["--data.zoo", json.dumps(zoos)], ["--run", str(place / "gain")]
    model = ["--model", "PredictionModule", "--model.target", "gain"]
    model += ["--model.pretrained", checkpoint]
    assert main(["fit", *model, *data, *STEPS, "--data.draw", "evenly", *run]) == 0
    capsys.readouterr()
    assert main(["test", *run, "--ckpt_path", "last"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    (r2,) = [line for line in lines if line[:1] == ["r2"]]
    assert r2[1] == "undefined"  # of the one RNN of the validation split
    assert r2[2] != "undefined"
    told = json.loads((place / "gain" / "test.json").read_text())
    assert told["metrics"]["validation/r2"] is None
    assert told["zoo"] == zoos


def test_what_reads_weights_of_one_spec_says_who_can(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data.zoo", str(place / "zoo")]
    target = ["--target", "unit", "--run", str(place / "baseline")]
    assert main(["baseline", "pca", *data, *target]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "these RNNs have 3 specs: choose one that reads any RNN (mean, random_probes)" in line
    assert main(["baseline", "random_probes", *data, *target, "--steps", "2"]) == 0
    capsys.readouterr()
    told = json.loads((place / "baseline" / "test.json").read_text())
    names = ("lstm 1x6", "gru 1x5", "gru 1x7")
    kinds = [f"{name}, 2 inputs, 1 outputs" for name in names]
    assert set(told["metrics_by_spec"]["ood"]) <= set(kinds)
    assert {"exact_match"} <= next(iter(told["metrics_by_spec"]["ood"].values())).keys()
    encoder = ["--model", "EmulationModule", "--model.encoder", "Spectral", *data]
    assert main(["fit", *encoder, "--run", str(place / "other"), *STEPS]) == 1
    assert "InteractiveProbing" in capsys.readouterr().err.splitlines()[-1]
    study = {
        "zoos": {"mine": {"path": str(place / "zoo"), "target": "unit"}},
        "encoders": ["NoninteractiveProbing"],
        "compare_with": "NoninteractiveProbing",
        "seeds": [0],
        "emulation": {"config": "emulation_own.yaml"},
        "prediction": {"config": "prediction.yaml"},
        "properties": [],
        "baselines": ["trees"],
    }
    (place / "study.yaml").write_text(json.dumps(study))
    words = ["benchmark", "--config", str(place / "study.yaml"), "--out", str(place / "study")]
    assert main(words) == 1
    assert "baseline trees reads weights" in capsys.readouterr().err.splitlines()[-1]


def test_lists_of_cells_and_sizes_build_a_folder_of_zoos(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "zoo.yaml"
    problem = {"problem": "formal_languages", "num_tokens": 2, "length": 6, "stored_strings": 2}
    build = {"cell": ["gru", "relu"], "runs": 3, "snapshots": [0, 2], "num_layers": 1}
    more = {"evaluated_strings": 4, "hidden_size": 3, "quiet": True}
    config.write_text(json.dumps(problem | build | more))
    words = ["zoo", "build", "--config", str(config), "--out"]
    assert main([*words, str(tmp_path / "mixed"), "--hidden_size", "[2, 3]"]) == 0
    names = ["gru-2", "gru-3", "relu-2", "relu-3"]
    assert sorted(path.name for path in (tmp_path / "mixed").iterdir()) == names
    table = capsys.readouterr().out.splitlines()[-4:]
    assert [line.split()[0] for line in table] == names
    assert main([*words, str(tmp_path / "one"), "--cell", "lstm"]) == 0
    assert (tmp_path / "one" / "manifest.json").is_file()
    assert main(["zoo", "verify", str(tmp_path / "mixed")]) == 0
    some = [str(tmp_path / place) for place in ("mixed/gru-2", "one")]
    capsys.readouterr()
    for action, told in {
        "info": "RNNs           of 2 specs",
        "verify": f"{some[0]}, {some[1]}: well. 12 snapshots",
        "repair": f"{some[1]}: whole",
    }.items():
        assert main(["zoo", action, *some]) == 0
        assert told in capsys.readouterr().out
    assert main(["zoo", "info", some[0], str(tmp_path / "mixed")]) == 1
    assert "gru-2 is given more than once" in capsys.readouterr().err
    (tmp_path / "mixed" / "gru-3" / "shards" / "00000.safetensors").unlink()
    assert main(["zoo", "verify", str(tmp_path / "mixed")]) == 1
    capsys.readouterr()
    assert main(["zoo", "repair", str(tmp_path / "mixed"), "--quiet", "true"]) == 0
    told = capsys.readouterr().out
    assert "gru-3: repaired, the missing shards were trained" in told
    assert "relu-2: whole, and left as it is" in told
    assert main(["zoo", "export", str(tmp_path / "mixed"), "--out", str(tmp_path / "x")]) == 1
    assert "holds several zoos: name one of them (gru-2" in capsys.readouterr().err


def test_an_own_rnn_is_found_among_those_of_all_cells(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["inspect", str(place / "models" / "net04.pt"), "--ckpt", str(place / "run"), "--json"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    nearest = found["neighbours"][0]
    assert nearest["distance"] < 1e-4
    assert nearest["file"] == "net04.pt"
    assert found["zoo"] == str(place / "zoo")
    assert found["spec"]["hidden_size"] == CELLS[4 % 3][2]
