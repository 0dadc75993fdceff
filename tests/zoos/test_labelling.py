"""Labels that a zoo is given afterwards: targets like any other."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from wsrl.data import ZooDataModule
from wsrl.data.staging import open_staged, stage_zoo
from wsrl.zoos import ZooError, label_zoo, open_zoo, verify_zoo
from wsrl.zoos.catalogue import write_catalogue
from wsrl.zoos.labels import LABELS


@pytest.fixture
def own(zoo_path: Path, tmp_path: Path) -> Path:
    """A copy of the small zoo."""
    return Path(shutil.copytree(zoo_path, tmp_path / "zoo"))


def table_of(path: Path, **columns: Any) -> pd.DataFrame:
    """A table with a row for every RNN, in another order than the zoo's."""
    zoo = open_zoo(path)
    known = {name: zoo.read(name).tolist() for name in ("run", "step")}
    rows = {"row": range(len(zoo)), **known, "performance": zoo.read("performance").tolist()}
    return pd.DataFrame(rows | columns).sample(frac=1, random_state=0)


def test_labels_are_read_as_columns_and_targets(own: Path) -> None:
    before, count = open_zoo(own).targets, len(open_zoo(own))
    numbers = [row % 5 for row in range(count)]
    kinds = ["ring" if row % 3 else "line" for row in range(count)]
    gaps = [None if row == 4 else 1.5 for row in range(count)]
    said: list[str] = []
    table = table_of(own, n_stable=numbers, kind=kinds, period=gaps)
    assert label_zoo(own, table, said.append) == ["n_stable", "kind"]
    assert len(said) == 1
    assert "'period' has no value for 1 RNNs" in said[0]
    zoo = open_zoo(own)
    assert zoo.targets.keys() == before.keys() | {"n_stable", "kind"}
    assert zoo.read("property.n_stable", torch.tensor([7, 3])).tolist() == [7 % 5, 3]
    target = zoo.targets["kind"]
    assert target.labels == ("line", "ring")
    assert target.of({target.column: zoo.read(target.column)})[:4, 0].tolist() == [0, 1, 1, 0]
    # By run and step alone, one of them anew; the other stays.
    again = table_of(own, n_stable=[0] * count).drop(columns="row")
    assert label_zoo(own, again) == ["n_stable"]
    assert not open_zoo(own).read("property.n_stable").any()
    assert open_zoo(own).targets["kind"] == target
    assert label_zoo(own, table_of(own, has_line=[False] * count), said.append) == ["has_line"]
    assert said[1:] == [
        "column 'has_line' gives every RNN the same class: nothing can be learned from it"
    ]
    verify_zoo(own)


def test_numbers_may_be_missing_where_a_column_is_named_so(own: Path) -> None:
    count = len(open_zoo(own))
    periods = [None if row % 3 == 0 else row / 2 for row in range(count)]
    assert label_zoo(own, table_of(own, period=periods), real=["period"]) == ["period"]
    values = open_zoo(own).read("property.period")
    assert values.isnan().tolist() == [row % 3 == 0 for row in range(count)]
    assert values[1::3].tolist() == [row / 2 for row in range(1, count, 3)]
    verify_zoo(own)
    data = ZooDataModule(str(own), batch_size=2, split_seed=1)
    before = {split: data.rows(split) for split in ("train", "validation", "ood")}
    assert data.keep_labelled("step") == 0
    assert data.keep_labelled("period") == -(-count // 3)
    for split, rows in before.items():
        assert data.rows(split).tolist() == [row for row in rows.tolist() if row % 3]
    one = [1.0 if row == before["train"][0] else None for row in range(count)]
    label_zoo(own, table_of(own, rare=one), real=["rare"])
    data = ZooDataModule(str(own), batch_size=2)
    data.keep_labelled("rare")
    with pytest.raises(ValueError, match="no RNN of the split validation has a value of 'rare'"):
        data.rows("validation")
    kinds = table_of(own, kind=["", *["ring"] * (count - 1)])
    with pytest.raises(ValueError, match="'kind' has no value for row 42 "):
        label_zoo(own, kinds, categorical=["kind"])


def test_copies_of_a_zoo_have_its_labels(own: Path, tmp_path: Path) -> None:
    zoo = open_zoo(own)
    label_zoo(own, table_of(own, mark=list(range(len(zoo)))))
    write_catalogue(own, tmp_path / "catalogue")
    stage_zoo(open_zoo(own), str(tmp_path / "staged"))
    staged = open_staged(open_zoo(own), str(tmp_path / "staged"))
    for copy in (open_zoo(tmp_path / "catalogue"), staged):
        assert copy.read("property.mark").tolist() == list(range(len(zoo)))


def test_zoos_of_a_folder_are_labelled_together(collection_path: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(collection_path, tmp_path / "zoos"))
    zoo = open_zoo(path)
    marks = list(range(len(zoo)))
    label_zoo(path, table_of(path, mark=marks))
    opened = open_zoo(path)
    assert opened.read("property.mark").tolist() == marks
    assert "mark" in opened.targets
    (opened.zoos[0].path / LABELS).unlink()  # what not all have is no target
    assert "mark" not in open_zoo(path).targets


def test_tables_of_other_rnns_are_refused(own: Path) -> None:
    table = table_of(own, mark=1.0).sort_values("row")
    moved = table.assign(step=table.step.to_numpy()[::-1])
    for wrong, reason in (
        (table[1:], "has no row for 1 of the zoo's"),
        (pd.concat([table, table[:1]]), "rows, but the zoo"),
        (moved, "has no row for"),
        (table.drop(columns=["row", "step"]), "has a column row, or columns run and step"),
        (table.drop(columns="mark"), "there is no property"),
        (table.assign(task=3.0, mark=None), "there is no property"),
    ):
        with pytest.raises(ValueError, match=reason):
            label_zoo(own, wrong)
    with pytest.raises(ValueError, match="the zoo has performance itself"):
        label_zoo(own, table, columns=["performance"])
    assert not (own / LABELS).exists()
    label_zoo(own, table)
    (own / LABELS).write_bytes(b"spoiled")
    with pytest.raises(ZooError, match=r"labels\.safetensors"):
        _ = open_zoo(own).targets
