"""Tables: what is read of them, what is left out, and that no more is read than models need."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from wsrl.zoos.packing import table as table_module
from wsrl.zoos.packing.columns import Column
from wsrl.zoos.packing.table import ROWS_TO_NAME, read_table


def read(table: Any, models: int = 3, **options: Any) -> tuple[dict[str, Column], list[str]]:
    """Return the columns, and what was said."""
    said: list[str] = []
    return read_table(table, models, said.append, **options), said


def entries(table: Any, **options: Any) -> dict[str, Any]:
    return {name: column.entries for name, column in read(table, **options)[0].items()}


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_entries_are_read_as_they_are_written(tmp_path: Path) -> None:
    """Pandas by itself would make 7, NaN, True and 1.0 of some of these."""
    content = 'file,x,y,z\na, 007 ,None,True\n\n,,,\n"b","1,000",none,1\n'
    columns, said = read(written(tmp_path / "t.csv", content), named=["y"])
    assert columns["x"].text
    assert {name: column.entries for name, column in columns.items()} == {
        "file": ["a", "b"],
        "x": ["007", "1,000"],
        "y": ["None", "none"],
        "z": ["True", "1"],
    }
    assert said == []
    large = [str(2**63 - 1), "0.1"]
    assert entries(written(tmp_path / "t.csv", "x\n" + "\n".join(large))) == {"x": large}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_and_encodings_are_found(separator: str, encoding: str, tmp_path: Path) -> None:
    lines = [("file", "animal"), ("été.pt", "cat, dog; mouse"), ("a.pt", "c")]
    text = "".join(f'"{one}"{separator}"{other}"\r\n' for one, other in lines)
    found = entries(written(tmp_path / "t.csv", text.encode(encoding)))
    assert found == {"file": ["été.pt", "a.pt"], "animal": ["cat, dog; mouse", "c"]}


def test_separators_may_be_given(tmp_path: Path) -> None:
    path = written(tmp_path / "t.txt", "a;b~c\n1~2\n")
    assert entries(path, separator="~") == {"a;b": ["1"], "c": ["2"]}
    for separator in ("", "~~", "\n", '"'):
        with pytest.raises(ValueError, match=r"t\.txt .*a separator is one character"):
            read(path, separator=separator)
    with pytest.raises(ValueError, match="the decimal sign is"):
        read(path, decimal=";")


@pytest.mark.parametrize(
    ("content", "decimal", "expected"),
    [
        ("x;y\n0,5;a\n1,250;b\n", None, [0.5, 1.25]),
        ("x;y\n1,5e-3;a\n-,5;b\n", None, [0.0015, -0.5]),
        ("x;y\n0.5;a\n2;b\n", None, [0.5, 2.0]),
        ("x;y\n1,000;a\n2,500;b\n", ",", [1.0, 2.5]),
        ("x;y\n1,000;a\n2,500;b\n", None, None),  # may be thousands
        ("x;y\n0,5;a\n2.5;b\n", None, None),
        ('x,y\n"0,5",a\n"0,25",b\n', None, None),
        ('x,y\n"0,5",a\n"0,25",b\n', ",", [0.5, 0.25]),
    ],
)
def test_decimal_commas(
    content: str, decimal: str | None, expected: list[float] | None, tmp_path: Path
) -> None:
    columns, _ = read(written(tmp_path / "t.csv", content), decimal=decimal)
    if expected is None:
        with pytest.raises(ValueError, match="no number, among entries that are"):
            columns["x"].is_real()
    else:
        assert columns["x"].is_real()
        assert columns["x"].reals() == expected
    assert not columns["y"].is_real()


def test_an_index_and_empty_columns_are_left_out_and_said(tmp_path: Path) -> None:
    frame = pd.DataFrame({"file": ["a", "b", "c"], "tags": ["", None, "NA"], "n": [1, 2, 3]})
    path = tmp_path / "t.csv"
    frame.to_csv(path)
    columns, said = read(path)
    assert list(columns) == ["file", "n"]
    assert list(read(path, named=["tags"], leave_out=["n"])[0]) == ["file", "tags"]
    with pytest.raises(
        ValueError, match="leave_out: the table has no such column m; it has , file"
    ):
        read(path, leave_out=["m"])
    assert said == [
        "column '' holds whole numbers without a name, an index: left out",
        "column 'tags' holds no value: left out",
    ]
    pd.read_csv(path).to_csv(path)  # twice the same mistake
    assert list(read(path)[0]) == ["file", "n"]
    written(path, "file,x,\na,1,\nb,2,\n")  # as spreadsheets end their lines
    assert list(read(path)[0]) == ["file", "x"]
    frame.set_index("file")[["n"]].to_csv(path)
    assert list(read(path)[0]) == ["file", "n"]
    for content in (",n\na,1\n", "file,x,x\na,1,2\n"):
        with pytest.raises(ValueError, match=r"must name each column once.*index=False"):
            read(written(path, content))


@pytest.mark.parametrize("suffix", [".parquet", None])
def test_frames_keep_their_types(suffix: str | None, tmp_path: Path) -> None:
    columns = {
        "digits": ["007", "1", "None"],
        "flag": [True, False, True],
        "large": [2**63 - 1, 2**53 + 1, 0],
        "some": pd.array([2**53 + 1, None, 3], dtype="Int64"),
        "kind": pd.Categorical(["a", "b", "a"]),
        "file": ["x", "y", "z"],
    }
    frame: Any = pd.DataFrame(columns).set_index("file")
    if suffix:
        frame.to_parquet(tmp_path / f"t{suffix}")
        frame = tmp_path / f"t{suffix}"
    found = entries(frame)
    assert found.keys() == columns.keys()
    assert found["digits"] == ["007", "1", "None"]
    assert found["flag"] == [True, False, True]
    assert {type(value) for value in found["flag"]} == {bool}
    assert found["large"] == [2**63 - 1, 2**53 + 1, 0]
    assert found["some"][::2] == [2**53 + 1, 3]
    assert found["kind"] == ["a", "b", "a"]
    assert found["file"] == ["x", "y", "z"]


def test_values_in_memory_become_those_of_python() -> None:
    found = entries(
        {
            "numpy": np.array([2**63, 1], np.uint64),
            "torch": torch.tensor([0.5, 2.0]),
            "scalars": [torch.tensor(1), np.float32(0.5)],
            "mixed": [1, "a"],
            "flags": np.array([True, False]),
        }
    )
    assert found == {
        "numpy": [2**63, 1],
        "torch": [0.5, 2.0],
        "scalars": [1, 0.5],
        "mixed": [1, "a"],
        "flags": [True, False],
    }
    kinds = {type(value) for values in found.values() for value in values}
    assert kinds == {int, float, str, bool}
    for values in (5, "abc", np.float64(1), np.zeros((2, 2))):
        with pytest.raises(ValueError, match="column 'c' must be a sequence"):
            read({"c": values})
    with pytest.raises(ValueError, match="columns of different lengths"):
        read({"a": [1], "b": [1, 2]})
    with pytest.raises(ValueError, match="a DataFrame or values by column, not a list"):
        read([{"a": 1}])


def test_more_than_models_need_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "t.csv", "file\n" + "a\n" * (ROWS_TO_NAME + 4))
    with pytest.raises(ValueError, match=r"t\.csv .* more than 10003 rows, but there are 3 models"):
        read(path)
    assert len(entries(path, models=4)["file"]) == ROWS_TO_NAME + 4
    monkeypatch.setattr(table_module, "LARGEST_TABLE", path.stat().st_size - 1)
    with pytest.raises(ValueError, match=r"t\.csv .*more than \d+ bytes"):
        read(path, models=4)
    for name in ("p.csv", "p.parquet"):
        os.mkfifo(tmp_path / name)  # to open it for reading would wait for a writer
        (tmp_path / f"zero{name}").symlink_to("/dev/zero")
        for file in (name, f"zero{name}"):
            with pytest.raises(ValueError, match="is no regular file"):
                read(tmp_path / file)


@pytest.mark.parametrize(
    "content",
    [
        *("", "\n\n", "file,x\n" + "a," * 100_000, "x" * 200_000),
        *(
            "file,x\na,b,c\n",
            'file,x\n"a,b\n',
            b"file,x\n\xe9,1\n",
            b"\xff\xfea",
            b"\xff\xfe\0\xd8",
        ),
    ],
)
def test_a_text_that_is_no_table_is_one_short_message(content: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"t\.csv is no CSV table of these models") as said:
        read(written(tmp_path / "t.csv", content))
    assert len(str(said.value)) < 500
    assert "\n" not in str(said.value)


def test_a_parquet_file_is_judged_by_its_metadata(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.parquet"
    rows = 30_000_000
    pd.DataFrame({"x": np.zeros(rows, np.int8)}).to_parquet(path, compression="zstd")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match="it has 30000000 rows, but there are 3 models"):
        read(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB
    pd.DataFrame({"x": [[0] * 100_000, [1]]}).to_parquet(path)
    with pytest.raises(ValueError, match="holds 100001 values: expected one a row"):
        read(path)
    pd.DataFrame({"x": ["a" * 100_000] * 3}).to_parquet(path, use_dictionary=False)
    monkeypatch.setattr(table_module, "LARGEST_TABLE", 50_000)
    with pytest.raises(ValueError, match="it unpacks to 3000"):
        read(path)
    for content in (b"PAR1", b"", b"PAR1" + bytes(100) + b"PAR1"):
        with pytest.raises(ValueError, match=r"t\.parquet is no Parquet table"):
            read(written(path, content))
