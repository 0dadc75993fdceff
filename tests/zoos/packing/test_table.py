"""Files of tables: what is read, and that nothing larger than the models need is."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from wsrl.zoos.packing import table as table_module
from wsrl.zoos.packing.table import ROWS_TO_NAME, match_rows, read_table


def test_entries_are_read_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('file,x\na, 007 \n\n"b","1,000"\n')
    columns = read_table(path, 2)
    assert [column.entries for column in columns.values()] == [["a", "b"], ["007", "1,000"]]
    assert not columns["x"].typed
    matched = match_rows(columns, ["b", "a"], "file", from_files=True)
    assert matched["x"].entries == ["1,000", "007"]
    assert matched["x"].models == ["b", "a"]


def test_many_more_rows_than_models_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("file\n" + "a\n" * (ROWS_TO_NAME + 4))
    with pytest.raises(ValueError, match=r"t\.csv .* more than 10003 rows, but there are 3 models"):
        read_table(path, 3)
    assert len(read_table(path, 4)["file"].entries) == ROWS_TO_NAME + 4


def test_large_files_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    path.write_text("file\na\n")
    monkeypatch.setattr(table_module, "LARGEST_TABLE", 6)
    with pytest.raises(ValueError, match=r"t\.csv .*more than 6 bytes"):
        read_table(path, 1)
    monkeypatch.setattr(table_module, "LARGEST_TABLE", 7)
    assert read_table(path, 1)["file"].entries == ["a"]


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_pipes_and_devices_are_refused_unread(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)  # to open it for reading would wait for a writer
    with pytest.raises(ValueError, match=rf"{name} is no regular file"):
        read_table(tmp_path / name, 1)
    (tmp_path / f"zero{name}").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="no regular file"):
        read_table(tmp_path / f"zero{name}", 1)


def test_messages_are_of_bounded_length(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    for content in ("a," * 100_000, "file,x\n" + "a," * 100_000, "x" * 200_000):
        path.write_text(content)
        with pytest.raises(ValueError, match=r"t\.csv") as said:
            read_table(path, 1)
        assert len(str(said.value)) < 1000


def stub_of(rows: int, size: int = 10, values: int | None = None) -> Any:
    """What pyarrow says of a file of one column; its rows must not be read."""
    column = SimpleNamespace(num_values=values or rows, path_in_schema="x")
    group = SimpleNamespace(
        num_rows=rows, total_byte_size=size, num_columns=1, column=lambda _: column
    )
    metadata = SimpleNamespace(num_rows=rows, num_row_groups=1, row_group=lambda _: group)
    return SimpleNamespace(ParquetFile=lambda _: SimpleNamespace(metadata=metadata))


@pytest.mark.parametrize(
    ("stub", "message"),
    [
        (stub_of(300_000_000), "it has 300000000 rows, but there are 12 models"),
        (stub_of(12, values=300_000_000), "column 'x' holds 300000000 values in 12 rows"),
        (stub_of(12, size=1 << 40), "it unpacks to 1099511627776 bytes"),
    ],
)
def test_a_parquet_file_is_judged_by_its_metadata(
    stub: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", stub)
    with pytest.raises(ValueError, match=rf"t\.parquet is no Parquet table .*{message}"):
        read_table(path, 12)


def test_a_small_parquet_file_of_many_rows(tmp_path: Path) -> None:
    parquet, arrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    rows = 30_000_000
    table = arrow.table({"x": arrow.array(np.zeros(rows, np.int8))})
    parquet.write_table(table, tmp_path / "t.parquet", compression="zstd")
    del table
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match="it has 30000000 rows, but there are 12 models"):
        read_table(tmp_path / "t.parquet", 12)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB
    lists = arrow.table({"x": arrow.array([[0] * 100_000, [1]])})
    parquet.write_table(lists, tmp_path / "lists.parquet")
    with pytest.raises(ValueError, match="holds 100001 values in 2 rows"):
        read_table(tmp_path / "lists.parquet", 2)


def test_a_damaged_parquet_file_is_one_message(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow.parquet")
    for content in (b"PAR1", b"", b"PAR1" + bytes(100) + b"PAR1"):
        (tmp_path / "t.parquet").write_bytes(content)
        with pytest.raises(ValueError, match=r"t\.parquet is no Parquet table"):
            read_table(tmp_path / "t.parquet", 1)
