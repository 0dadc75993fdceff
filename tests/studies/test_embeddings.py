"""Files of embeddings: every format gives the same table, with what is known of every RNN."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import wsrl
from wsrl.studies.embeddings import check_suffix, write_embeddings
from wsrl.zoos import Zoo, open_zoo, pack_zoo
from wsrl.zoos.tensors import read_metadata, read_tensors, write_tensors

COUNT = 6
TABLE = {
    "rate": [0.1, 0.2, 1e-9, 0.4, 0.5, 2.0**60],
    "animal": ["cat", "NA", "dog", "cat", "007", "é, ü"],
    "layers": [1, 2, 1, 2, 2, 1],
    "row": [0.5] * COUNT,
    "seed": [0, 0, 1, 1, 2, 2],
    "step": [0, 7] * 3,
}


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.core, self.head = nn.GRU(3, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.core(inputs)[0])
        return outputs


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """A packed zoo of six snapshots, of which the third has failed."""
    models = [(f"m{index}.pt", Model()) for index in range(COUNT)]
    with torch.no_grad():
        models[3][1].head.weight[0, 0] = torch.nan
    path = tmp_path_factory.mktemp("zoos") / "zoo"
    options: dict[str, Any] = {"length": 3, "sequences_stored": 2, "run": "seed"}
    options |= {"categorical": ["animal", "layers"], "say": lambda text: None}
    pack_zoo(models, path, "real", "normal", TABLE, **options)
    return open_zoo(path)


def tensors_of(zoo: Zoo) -> dict[str, Tensor]:
    labels = {name: zoo.read(name) for name in ("run", "step", "task", "performance")}
    count = len(zoo)
    labels |= {"row": torch.arange(count), "split": torch.tensor([1, 0, 0, 1, 1])}
    labels["prediction"] = torch.tensor([[0], [1], [2], [3], [2]])
    labels["embedding"] = torch.randn(count, 3, generator=torch.Generator().manual_seed(0))
    return labels


@pytest.fixture(params=[".safetensors", ".parquet", ".csv"])
def frame(request: pytest.FixtureRequest, zoo: Zoo, tmp_path: Path) -> pd.DataFrame:
    path = tmp_path / f"embeddings{request.param}"
    write_embeddings(path, tensors_of(zoo), ["train", "ood"], {"zoo": "z"}, zoo, "animal")
    return wsrl.read_embeddings(path)


def test_every_format_gives_the_same_table(frame: pd.DataFrame, zoo: Zoo) -> None:
    embedding = tensors_of(zoo)["embedding"].numpy()
    whole = [0, 1, 2, 4, 5]  # without the one that failed
    expected = {
        "row": range(5),
        "split": ["ood", "train", "train", "ood", "ood"],
        "name": [f"m{index}.pt" for index in whole],
        "run": [0, 0, 1, 2, 2],
        "step": [0, 7, 0, 0, 7],
        "task": ["run 0", "run 0", "run 1", "run 2", "run 2"],
        "performance": np.full(5, np.nan, np.float32),
        "cell": ["gru"] * 5,
        "hidden_size": [4] * 5,
        "num_layers": [1] * 5,
        "rate": [TABLE["rate"][index] for index in whole],
        "animal": [TABLE["animal"][index] for index in whole],
        "layers": [TABLE["layers"][index] for index in whole],
        "property.row": [0.5] * 5,
        "predicted_animal": ["007", "NA", "cat", "dog", "cat"],
        **{f"embedding_{part}": embedding[:, part] for part in range(3)},
    }
    pd.testing.assert_frame_equal(frame, pd.DataFrame(expected), check_dtype=False)
    assert frame["embedding_0"].dtype == np.float32
    assert frame["embedding_0"].to_numpy().tobytes() == embedding[:, 0].tobytes()


def test_safetensors_hold_all_that_they_held(zoo: Zoo, tmp_path: Path) -> None:
    path, tensors = tmp_path / "e.safetensors", tensors_of(zoo)
    write_embeddings(path, tensors, ["train", "ood"], {"zoo": "z"}, zoo)
    assert read_metadata(path).items() >= {"zoo": "z", "splits": ["train", "ood"]}.items()
    found = read_tensors(path)
    for name, values in tensors.items():
        torch.testing.assert_close(found[name], values, rtol=0, atol=0, equal_nan=True)
    write_tensors(path, tensors, {"splits": ["train", "ood"]})  # as they were written before
    frame = wsrl.read_embeddings(path)
    assert frame["split"].tolist() == ["ood", "train", "train", "ood", "ood"]
    assert frame["embedding_2"].tolist() == tensors["embedding"][:, 2].tolist()


def test_parts_are_columns_and_rnns_of_other_zoos_have_names(
    zoo_path: Path, tmp_path: Path
) -> None:
    zoo = open_zoo(zoo_path)
    rows = torch.tensor([3, 1])
    tensors = {name: zoo.read(name, rows) for name in ("run", "step", "task", "performance")}
    target = zoo.problem.targets(zoo.steps)["task"]
    classes = target.of(tensors)
    tensors |= {"row": rows, "split": torch.zeros(2, dtype=torch.long)}
    tensors |= {"embedding": torch.ones(2, 2), "prediction": classes}
    write_embeddings(tmp_path / "e.csv", tensors, ["train"], {}, zoo, "task")
    frame = wsrl.read_embeddings(tmp_path / "e.csv")
    assert frame["name"].tolist() == [
        f"run {run}, step {step}"
        for run, step in zip(tensors["run"].tolist(), tensors["step"].tolist(), strict=True)
    ]
    assert frame["task"].tolist() == [zoo.problem.task_name(t) for t in tensors["task"].tolist()]
    for part in range(target.parts):
        expected = [target.values[index] for index in classes[:, part].tolist()]
        assert frame[f"predicted_task_{part}"].tolist() == expected


@pytest.mark.parametrize("suffix", [".safetensors", ".parquet", ".csv"])
def test_what_holds_no_embeddings_is_one_message(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"e{suffix}"
    with pytest.raises(ValueError, match="no file of embeddings"):
        wsrl.read_embeddings(path)
    for content in (b"", b"\xff" * 100):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"e{suffix}") as said:
            wsrl.read_embeddings(path)
        assert "\n" not in str(said.value)


def test_other_suffixes_are_refused_before_any_work() -> None:
    check_suffix(Path("e.parquet"))
    with pytest.raises(ValueError, match=r"\.safetensors, \.parquet, \.csv, not e\.xlsx"):
        check_suffix(Path("e.xlsx"))
