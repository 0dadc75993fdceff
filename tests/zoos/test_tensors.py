"""Tensors on the disk give what they would give in memory, or an error: never a signal."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wsrl.problems.columns import DTYPES
from wsrl.zoos import ZooError, tensors
from wsrl.zoos.tensors import DiskTensor, disk_tensors, write_tensors

SHAPE = (7, 5, 3)
ALL = torch.arange(7)


def numbers(dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    drawn = torch.randint(-100, 100, SHAPE, generator=torch.Generator().manual_seed(seed))
    return drawn.to(dtype)


@given(
    st.sampled_from(sorted(DTYPES)),
    st.lists(st.integers(0, SHAPE[0] - 1), max_size=12),
    st.integers(1, 4),
    st.integers(0, 1 << 30),
    st.sampled_from([0, 1 << 14]),
)
def test_rows_and_parts_are_those_of_a_tensor_in_memory(
    tmp_path: Path, dtype: str, rows: list[int], count: int, seed: int, worth: int
) -> None:
    held = {"other": numbers(torch.int64), "this": numbers(DTYPES[dtype], seed)}
    path = tmp_path / "t"
    write_tensors(path, held, {})
    found = disk_tensors(path)
    assert found.keys() == held.keys()
    where = torch.tensor(rows, dtype=torch.int64)
    picks = torch.randint(SHAPE[1], (len(rows), count))
    for name, tensor in held.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name][ALL], tensor)
        assert torch.equal(found[name][where], tensor[where])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tensors, "_WORTH_A_CALL", worth)  # parts one by one, or whole rows
            assert torch.equal(found[name][where[:, None], picks], tensor[where[:, None], picks])


@pytest.mark.parametrize("where", [-1, SHAPE[0]])
def test_what_lies_beside_a_tensor_is_not_read(where: int, tmp_path: Path) -> None:
    write_tensors(tmp_path / "t", {"a": numbers(torch.int64), "b": numbers(torch.int64)}, {})
    found = disk_tensors(tmp_path / "t")["a"]
    with pytest.raises(IndexError, match=f"of {SHAPE[0]}"):
        found[torch.tensor([0, where])]
    for rows, pick in ((where, 0), (1, SHAPE[1]), (1, -1)):
        with pytest.raises(IndexError):
            found[torch.tensor([[rows]]), torch.tensor([[pick]])]


def opened(path: Path) -> DiskTensor:
    write_tensors(path, {"a": numbers(torch.int64)}, {})
    return disk_tensors(path)["a"]


def test_a_file_that_is_cut_short_is_an_error(tmp_path: Path) -> None:
    """Of a memory map the same would end this process by a signal."""
    found = opened(tmp_path / "t")
    kept = found[ALL]
    os.truncate(tmp_path / "t", (tmp_path / "t").stat().st_size - 1)
    assert torch.equal(found[torch.arange(3)], kept[:3])  # they are still there
    with pytest.raises(ZooError, match=f"{tmp_path / 't'} is damaged: it was cut short"):
        found[ALL]


def test_another_file_in_its_place_is_not_taken_for_it(tmp_path: Path) -> None:
    found = opened(tmp_path / "t")
    kept = found[ALL]
    write_tensors(tmp_path / "t", {"a": kept + 1}, {})
    assert torch.equal(found[ALL], kept)  # it is still open
    tensors._opened.cache_clear()
    with pytest.raises(ZooError, match="another file"):
        found[ALL]
    assert torch.equal(disk_tensors(tmp_path / "t")["a"][ALL], kept + 1)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files in /proc")
def test_a_zoo_of_many_files_keeps_few_of_them_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [opened(tmp_path / str(number)) for number in range(2 * tensors._OPEN)]
    tensors._opened.cache_clear()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(2):
        for file in files:
            file[ALL]
    assert len(os.listdir("/proc/self/fd")) == before + tensors._OPEN
    tensors._opened.cache_clear()
    assert len(os.listdir("/proc/self/fd")) == before
