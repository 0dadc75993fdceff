"""A user's own RNNs as a zoo: what is stored, what is refused, and that it is used like any."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch  # noqa: F401 here, since its log keeps the stderr it finds at import
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import wsrl
from tests.zoos.building import contents
from wsrl.rnn import RNNSpec, RNNWeights
from wsrl.zoos import Manifest, ZooError, open_zoo, pack_zoo, verify_zoo

KINDS = {"lstm": nn.LSTM, "gru": nn.GRU, "tanh": nn.RNN}
COUNT = 12


class Model(nn.Module):
    def __init__(self, cell: str = "gru", hidden: int = 4, inputs: int = 3) -> None:
        super().__init__()
        self.core = KINDS[cell](inputs, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.core(inputs)[0])
        return outputs


def make_models(cell: str = "gru", count: int = COUNT) -> list[Model]:
    return [Model(cell) for _ in range(count)]


def pack(models: Any, out: Path, table: Any = None, **options: Any) -> wsrl.zoos.Zoo:
    options = {"inputs": "normal", "length": 5, "sequences_stored": 3} | options
    pack_zoo(models, out, options.pop("output_kind", "categorical"), table=table, **options)
    return open_zoo(out)


def save_models(folder: Path, models: Sequence[nn.Module]) -> Path:
    """Save state dicts ``m00.pt, m01.pth, m02.safetensors, m03.pt, ...``."""
    folder.mkdir()
    for index, model in enumerate(models):
        path = folder / f"m{index:02d}{('.pt', '.pth', '.safetensors')[index % 3]}"
        state = model.state_dict()
        save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    return folder


def write_csv(path: Path, columns: dict[str, list[Any]]) -> Path:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(columns)
        rows.writerows(zip(*columns.values(), strict=True))
    return path


def files_of(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


@pytest.mark.parametrize("cell", sorted(KINDS))
def test_stored_outputs_are_those_of_torch(cell: str, tmp_path: Path) -> None:
    models = make_models(cell, 4)
    zoo = pack(models, tmp_path / "zoo")
    sequences, outputs = zoo.read("sequences"), zoo.read("outputs")
    assert (sequences.shape, outputs.shape) == ((4, 3, 5, 3), (4, 3, 5, 2))
    for row, model in enumerate(models):
        with torch.no_grad():
            torch.testing.assert_close(outputs[row], model(sequences[row]), rtol=1e-5, atol=1e-6)
    assert zoo.spec == RNNSpec(cell, 3, 4, 1, 2)
    assert torch.equal(zoo.problem.encode(sequences), sequences)
    assert verify_zoo(tmp_path / "zoo").largest_error < 1e-5


def test_files_modules_and_state_dicts_pack_alike_whatever_the_shards(tmp_path: Path) -> None:
    models = make_models()
    folder = save_models(tmp_path / "models", models)
    names = files_of(folder)
    sources: list[Any] = [
        str(folder),
        list(zip(names, models, strict=True)),
        ((name, model.state_dict()) for name, model in zip(names, models, strict=True)),
    ]
    zoos = [
        pack(source, tmp_path / str(rows), shard_rows=rows)
        for source, rows in zip(sources, (256, 1, 5), strict=True)
    ]
    assert [len(zoo.manifest.shards) for zoo in zoos] == [1, 12, 3]
    for zoo in zoos[1:]:
        for name in set(zoo.columns) - {"outputs"}:
            torch.testing.assert_close(
                zoo.read(name), zoos[0].read(name), rtol=0, atol=0, equal_nan=True
            )
        torch.testing.assert_close(zoo.read("outputs"), zoos[0].read("outputs"))
    assert zoos[0].manifest.source["run_names"] == names


@pytest.mark.parametrize("in_files", [True, False])
def test_several_processes_pack_the_zoo_of_one(in_files: bool, tmp_path: Path) -> None:
    models: Any = make_models()
    inputs: Any = np.random.default_rng(0).normal(size=(COUNT, 3, 5, 3))
    table: dict[str, Any] = {"rate": [*range(COUNT)]}
    if in_files:
        models, file = save_models(tmp_path / "models", models), tmp_path / "inputs.npy"
        np.save(file, inputs)
        inputs, table = file, table | {"file": files_of(models)}
    for workers in (1, 2):
        out = tmp_path / f"zoo{workers}"
        pack_zoo(models, out, "real", inputs, table, shard_rows=5, workers=workers)
    assert len(contents(tmp_path / "zoo1" / "shards")) == 3
    assert contents(tmp_path / "zoo1") == contents(tmp_path / "zoo2")
    with pytest.raises(ValueError, match="workers must be at least 1, not 0"):
        pack_zoo(models, tmp_path / "zoo0", "real", inputs, table, workers=0)


@pytest.mark.parametrize("workers", [1, 2])
def test_outputs_that_are_not_finite_are_refused_by_name(workers: int, tmp_path: Path) -> None:
    models = make_models()
    with torch.no_grad():
        models[7].head.weight.fill_(3e38)
        models[7].head.bias.fill_(3e38)
    with pytest.raises(ValueError, match="the outputs of 7 are not finite, although"):
        pack(models, tmp_path / "zoo", inputs="one_hot", shard_rows=5, workers=workers)


def test_columns_become_targets(tmp_path: Path) -> None:
    folder = save_models(tmp_path / "models", make_models())
    names = files_of(folder)
    rates = [index / 4 for index in range(COUNT)]
    optimisers = ["adam" if index % 3 else "sgd" for index in range(COUNT)]
    table = {"name": names[::-1], "rate": rates, "optimiser": optimisers}  # in another order
    path = write_csv(tmp_path / "runs.csv", table)
    with pytest.raises(ValueError, match="no column 'file' that names the files; it has name"):
        pack(folder, tmp_path / "zoo", path)
    zoo = pack(folder, tmp_path / "zoo", path, file_column="name")
    targets = zoo.problem.targets(zoo.steps)
    assert {name: target.kind for name, target in targets.items()} == {
        "rate": "real",
        "optimiser": "classes",
    }
    columns = {name: zoo.read(name) for name in zoo.columns}
    found = {name: target.of(columns).squeeze(1).tolist() for name, target in targets.items()}
    assert found["rate"] == rates[::-1]
    assert [targets["optimiser"].labels[i] for i in found["optimiser"]] == optimisers[::-1]


def test_options_say_what_columns_are(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "code": ["007", "012"] * 6,
            "penalty": ["none", "l2"] * 6,
            "turn": [30.0 * index for index in range(COUNT)],
            "notes": ["-"] * COUNT,
            "tags": [None] * COUNT,
            "seed": [str(index) for index in range(COUNT)],
        }
    )
    said: list[str] = []
    options: dict[str, Any] = {"real": ["code"], "categorical": ["penalty"], "angle": ["turn"]}
    options |= {"leave_out": ["seed"], "task": ["turn"], "say": said.append}
    zoo = pack(make_models(), tmp_path / "zoo", table, **options)
    targets = zoo.problem.targets(zoo.steps)
    kinds = {name: target.kind for name, target in targets.items()}
    assert kinds == {"code": "real", "penalty": "classes", "turn": "angle", "notes": "classes"}
    assert targets["turn"].period == 360
    assert targets["penalty"].labels == ("l2", "none")
    assert zoo.read("property.code").tolist() == [7, 12] * 6
    assert said == [
        "column 'tags' holds no value: left out",
        "column 'notes' gives every RNN the same class: nothing can be learned from it",
    ]
    verify_zoo(tmp_path / "zoo")
    criterion = zoo.problem.ood_criterion(zoo.read("task").numpy())
    assert criterion.tolist() == table["turn"].tolist()
    for wrong, message in (
        ({"real": ["penalty"]}, "'penalty' is named as categorical and as real: choose one"),
        ({"categorical": []}, "'penalty' has no value for 0 .and 5 others.: it says 'none'"),
    ):
        with pytest.raises(ValueError, match=message):
            pack(make_models(), tmp_path / "zoo", table, **options | wrong)


def test_runs_steps_tasks_and_performance(tmp_path: Path) -> None:
    table = {
        "run": [f"run {index // 2}" for index in range(COUNT)],
        "epoch": [10 * (index % 2) for index in range(COUNT)],
        "performance": [index / COUNT for index in range(COUNT)],
        "angle": [float(index // 2) for index in range(COUNT)],
        "shape": ["ab"[index // 6] for index in range(COUNT)],
    }
    options: dict[str, Any] = {"step": "epoch", "task": ["angle", "shape"]}
    zoo = pack(make_models(), tmp_path / "zoo", table, **options)
    assert zoo.steps == (0, 10)
    assert zoo.read("run").tolist() == [index // 2 for index in range(COUNT)]
    assert zoo.manifest.source["run_names"] == [f"run {index}" for index in range(6)]
    assert zoo.read("step").tolist() == table["epoch"]
    assert zoo.read("task")[:, 0].tolist() == table["angle"]
    assert zoo.read("task")[:, 1].tolist() == [float(index // 6) for index in range(COUNT)]
    assert list(zoo.problem.targets(zoo.steps)) == ["angle", "shape", "performance", "step"]
    verify_zoo(tmp_path / "zoo")
    tasks = np.array([[0.5, 1.0], [7.0, 0.0]])
    assert zoo.problem.ood_criterion(tasks).tolist() == [0.5, 7.0]
    with pytest.raises(ValueError, match="clones"):
        zoo.problem.clone_scores(
            lambda *_: (torch.zeros(1), ()), torch.zeros(1), 1, [torch.Generator()]
        )
    assert not zoo.problem.scores_clones


def test_by_default_every_run_is_a_task_of_no_meaning(tmp_path: Path) -> None:
    zoo = pack(make_models(), tmp_path / "zoo")
    assert zoo.read("task").tolist() == [[float(index)] for index in range(COUNT)]
    assert zoo.read("performance").isnan().all()
    assert zoo.problem.targets(zoo.steps) == {}
    tasks = zoo.read("task").numpy()
    criterion = zoo.problem.ood_criterion(tasks)
    assert criterion.tolist() == zoo.problem.ood_criterion(tasks + 5).tolist()
    assert sorted(criterion.tolist()) != criterion.tolist()


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"run": [0] * COUNT}, {}, "the table has several snapshots of run 0 at step 0"),
        ({"run": [0] * COUNT, "step": [1] * COUNT}, {}, "several snapshots of run 0 at step 1"),
        ({}, {"run": "seed"}, "run: the table has no such column seed; it has rate"),
        ({}, {"categorical": "rate"}, "categorical must be a list of columns, not 'rate'"),
        ({"kind": ["a", ""] * 6}, {}, "'kind' has no value for 1 .and 5 others"),
        ({"epoch": [1] * COUNT, "step": [1] * COUNT}, {"step": "epoch"}, "called 'step': rename"),
        (
            {"run": [0, 0, *range(10)], "step": list(range(COUNT))},
            {"task": ["rate"]},
            "the table has runs whose task changes .* run 0",
        ),
    ],
)
def test_a_table_that_says_too_little_is_refused(
    change: dict[str, Any], options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    table = {"rate": [float(index) for index in range(COUNT)]} | change
    with pytest.raises(ValueError, match=message):
        pack(make_models(), tmp_path / "zoo", table, **options)
    assert not (tmp_path / "zoo").exists()


def test_run_numbers_stay_what_they_are(tmp_path: Path) -> None:
    """Floats hold no whole numbers above 2**53: two runs would be one task."""
    folder = save_models(tmp_path / "models", make_models())
    runs = [10**18 + index for index in range(COUNT)]
    table: dict[str, list[Any]] = {"file": files_of(folder), "run": runs}
    zoo = pack(folder, tmp_path / "zoo", write_csv(tmp_path / "t.csv", table))
    assert zoo.read("run").tolist() == runs
    assert zoo.read("task").tolist() == [[run] for run in runs]
    assert zoo.problem.task_name(zoo.read("task")[11].tolist()) == "run 1000000000000000011"
    assert verify_zoo(tmp_path / "zoo").snapshots == COUNT
    rows = [wsrl.ZooDataModule(str(tmp_path / "zoo")).rows(name) for name in ("train", "ood")]
    assert all(len(part) for part in rows)
    table["run"] = [2**63 + index for index in range(COUNT)]
    with pytest.raises(ValueError, match=r"column 'run' holds .* for m00\.pt, .* below 2\*\*63"):
        pack(folder, tmp_path / "other", write_csv(tmp_path / "t.csv", table))


def test_parameters_that_are_not_finite_are_counted_and_left_out(tmp_path: Path) -> None:
    models = make_models()
    with torch.no_grad():
        models[3].head.weight[0, 0] = torch.nan
        models[8].core.weight_hh_l0[0, 0] = torch.inf
    said: list[str] = []
    zoo = pack(models, tmp_path / "zoo", say=said.append)
    assert said == ["parameters that are not finite, counted as failed and left out: 3, 8"]
    assert zoo.manifest.failed == {"3": 0, "8": 0}
    assert len(zoo) == COUNT - 2
    assert len(open_zoo(tmp_path / "zoo", include_failed=True)) == COUNT
    assert verify_zoo(tmp_path / "zoo").snapshots == COUNT - 2
    table = {"run": [index // 2 for index in range(COUNT)], "step": [5, 9] * 6}
    zoo = pack(models, tmp_path / "snapshots", table)
    assert zoo.manifest.failed == {"1": 9, "4": 5}
    assert len(zoo) == COUNT - 3  # of run 1 the first snapshot is sound
    alone = r"every model \(gru 1x\d.*\) has parameters that are not finite: leave out 12$"
    with torch.no_grad():
        (diverged := Model(hidden=5)).head.bias[0] = torch.nan
    with pytest.raises(ValueError, match=alone):
        pack([*models, diverged], tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_the_nonlinearity_of_some_models_can_be_said_for_all(tmp_path: Path) -> None:
    folder = save_models(tmp_path / "models", [Model("gru"), Model("tanh")])
    with pytest.raises(ValueError, match=r"m01\.pth: the file does not tell .*: cell relu or tanh"):
        pack(folder, tmp_path / "zoo")
    with pytest.raises(ValueError, match=r"m00\.pt: the cell is gru, not 'relu'"):
        pack(folder, tmp_path / "zoo", cell="relu")
    zoo = pack(folder, tmp_path / "zoo", said={"nonlinearity": "relu"}, say=str)
    assert [spec.cell for spec in zoo.specs] == ["gru", "relu"]


def test_models_of_several_specs_are_a_folder_of_zoos(tmp_path: Path) -> None:
    models = [Model("lstm"), Model(), Model(hidden=5), Model("lstm"), Model(), Model("lstm")]
    folder = save_models(tmp_path / "models", models)
    names = [path.name for path in sorted(folder.iterdir())]
    table = {"file": names, "kind": list("abcabc"), "score": [float(i) for i in range(6)]}
    said: list[str] = []
    zoo = pack(folder, tmp_path / "zoo", table, shard_rows=2, say=said.append)
    assert said[0].startswith("taken for granted of the files: starts from zero; ")
    assert "core: gru, gates and biases as in torch.nn (3 of 6)" in said[0]
    assert said[1:] == ["RNNs of 3 specs, a zoo for each: lstm-4, gru-4, gru-5"]
    folders = [path.name for path in (tmp_path / "zoo").iterdir()]
    assert sorted(folders) == ["gru-4", "gru-5", "lstm-4"]
    assert verify_zoo(tmp_path / "zoo").snapshots == 6
    order = [1, 4, 2, 0, 3, 5]  # one zoo after the other, by name
    rows = torch.arange(6)
    assert zoo.names(rows) == [names[index] for index in order]
    assert zoo.read("run").tolist() == order  # of the whole table: they are different RNNs
    assert zoo.read("task")[:, 0].tolist() == order
    assert zoo.read("property.score").tolist() == order
    for row, index in enumerate(order):
        module = RNNWeights.from_module(models[index])
        assert zoo.spec_of(rows[row : row + 1]) == [module.spec]
        assert torch.equal(zoo.read_weights(rows[row : row + 1]).flat, module.flat)
    alone = pack(folder, tmp_path / "other", table, seed=1, say=said.append)
    assert not torch.equal(alone.read("sequences"), zoo.read("sequences"))
    one = pack([(names[4], models[4])], tmp_path / "one")  # drawn by its name alone
    assert torch.equal(one.read("sequences")[0], zoo.read("sequences")[1])
    pack(folder, tmp_path / "zoo", table, shard_rows=2, say=said.append)  # all is there
    with pytest.raises(ZooError, match="holds one zoo, not a folder of zoos"):
        pack(folder, tmp_path / "one", table, say=said.append)


def test_zoos_packed_one_by_one_are_one_data_set(tmp_path: Path) -> None:
    """They number their runs alike, and so their tasks, which are nonetheless others."""
    for name, cell in (("a", "gru"), ("b", "lstm")):
        pack(make_models(cell, 4), tmp_path / "zoos" / name)
    zoo = open_zoo(tmp_path / "zoos")
    assert zoo.read("run").tolist() == list(range(8))
    assert zoo.read("task")[:, 0].tolist() == list(range(8))
    assert zoo.names(torch.tensor([0, 4])) == ["0", "0"]


def test_what_is_no_model_is_refused_by_name(tmp_path: Path) -> None:
    def refused(models: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            pack(models, tmp_path / "zoo")

    refused([], "no models were given")
    refused([("a", Model()), ("a", Model())], "models of one name: a")
    refused([Model(), 3], "1: expected a state dict, an nn.Module or RNNWeights, not a int")
    refused([nn.Linear(2, 3)], r"0: expected an nn\.LSTM")
    refused(tmp_path / "none", "no folder of state dicts")
    refused(tmp_path, r"expected files \*\.pt, \*\.pth, .*\*\.safetensors")
    refused([Model(), Model(inputs=5)], "0 is gru 1x4, 3 inputs.*but 1 is gru 1x4, 5 inputs")
    state = Model().state_dict()
    cases: list[tuple[Any, str]] = [
        ({"epoch": 3, "optimizer": {"state": {}, "param_groups": []}}, "it has epoch, optimizer"),
        (Model(), "cannot be read as a state dict"),
        (state | {"norm.weight": torch.ones(3)}, r"unknown keys: norm\.weight"),
        ({"head.weight": state["head.weight"]}, "no key is of an nn.LSTM"),
        (dict(enumerate(state.values())), "tensors by name: it has 0, 1"),
        ({key: value.to("meta") for key, value in state.items()}, "dense tensors|are stored"),
        (state | {"head.weight": state["head.weight"].to_sparse()}, "dense tensors.*head.weight"),
    ]
    for content, message in cases:
        torch.save(content, tmp_path / "bad.pt")
        refused(tmp_path, f"bad.pt:? .*{message}")


def test_another_zoo_than_the_one_in_the_folder_is_refused(tmp_path: Path) -> None:
    models, table = make_models(), {"rate": [float(index) for index in range(COUNT)]}
    before = pack(models, tmp_path / "zoo", table).manifest
    changes: list[tuple[dict[str, Any], str]] = [
        ({"seed": 1}, "seed: 0 there, 1 asked for"),
        ({"models": make_models()}, "models_sha256"),
        ({"table": {"rate": [1.0] * COUNT}}, "labels_sha256"),
        ({"task": ["rate"]}, "task"),
    ]
    for change, message in changes:
        arguments = {"models": models, "table": table} | change
        with pytest.raises(ZooError, match=f"other settings(?s:.*){message}"):
            pack(out=tmp_path / "zoo", **arguments)
    assert Manifest.read(tmp_path / "zoo") == before
