"""Any manifest, any zoo and any array: what is written is what is read."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.strategies import SPECS
from tests.zoos.building import contents
from tests.zoos.test_published import change, write_languages
from wsrl.problems.packed import PackedRNNs
from wsrl.rnn import RNNSpec
from wsrl.zoos import (
    Manifest,
    ZooError,
    export_published,
    import_published,
    open_zoo,
)
from wsrl.zoos.making import Making, make_zoos
from wsrl.zoos.published.npy import Expected, Header, read_header
from wsrl.zoos.shards import write_finished
from wsrl.zoos.tensors import DiskTensor

SMALL = st.integers(1, 4)
NAMES = st.text(min_size=1, max_size=8).filter(
    lambda name: (
        name.encode("utf-8", "ignore").decode() == name and name not in ("step", "performance")
    )
)
PROPERTIES = st.lists(
    st.one_of(
        st.fixed_dictionaries({"name": NAMES, "kind": st.just("real")}),
        st.fixed_dictionaries(
            {
                "name": NAMES,
                "kind": st.just("classes"),
                "classes": st.lists(NAMES, min_size=1, max_size=3, unique=True),
            }
        ),
    ),
    max_size=3,
    unique_by=lambda known: known["name"],
)
PACKED = st.builds(
    PackedRNNs,
    input_size=SMALL,
    output_size=SMALL,
    output_kind=st.sampled_from(["categorical", "real"]),
    length=SMALL,
    sequences_stored=SMALL,
    inputs=st.sampled_from(["normal", "uniform", "one_hot", "given"]),
    properties=PROPERTIES,
    performance=st.booleans(),
)


def columns_of(manifest: Manifest, rows: int, seed: int) -> dict[str, torch.Tensor]:
    """Any bits, NaN and infinities among them, in every column; a run for every row."""
    random = np.random.default_rng(seed)
    numpy = {"F16": np.float16, "F32": np.float32, "F64": np.float64, "I64": np.int64}
    found = {}
    for name, column in manifest.columns.items():
        dtype = np.dtype(numpy[column.dtype])
        raw = random.bytes(dtype.itemsize * rows * int(np.prod(column.shape)))
        found[name] = torch.from_numpy(
            np.frombuffer(raw, dtype).reshape(rows, *column.shape).copy()
        )
    return found | {"run": torch.arange(rows), "step": torch.zeros(rows, dtype=torch.long)}


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.dtype == other.dtype and one.numpy().tobytes() == other.numpy().tobytes()


@given(PACKED, SPECS, st.lists(SMALL, min_size=1, max_size=3), st.integers(0, 2**32))
def test_any_zoo_is_read_as_it_was_written(
    problem: PackedRNNs, other: RNNSpec, sizes: list[int], seed: int
) -> None:
    spec = problem.spec(other.cell, other.hidden_size, other.num_layers, other.bias)
    build = {"runs": sum(sizes), "snapshots": [0]}
    manifest = Manifest.of(problem, spec, build, problem.columns(), origin="packed")
    columns = columns_of(manifest, sum(sizes), seed)
    ends = np.cumsum(sizes)

    rows = [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
    shards = [({name: c[part] for name, c in columns.items()}, {}, []) for part in rows]
    with tempfile.TemporaryDirectory() as folder:
        making = Making(Path(folder) / "zoo", manifest, sizes, write_finished, shards)
        make_zoos([making], quiet=True)
        zoo = open_zoo(Path(folder) / "zoo")
        zoo.check()
        assert zoo.spec == spec
        assert zoo.problem.settings() == problem.settings()
        picked = torch.randint(len(zoo), (5,), generator=torch.Generator().manual_seed(seed))
        for name, column in columns.items():
            assert same_bits(zoo.read(name), column)
            assert same_bits(zoo.read(name, picked), column[picked])


@given(
    st.sampled_from(["f2", "f4", "f8", "i1", "u1", "i2", "i4", "i8", ">f4", ">i8"]),
    st.lists(st.integers(1, 5), min_size=2, max_size=4),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_any_array_is_read_as_it_was_saved(
    dtype: str, shape: list[int], fortran: bool, seed: int
) -> None:
    raw = np.random.default_rng(seed).bytes(np.dtype(dtype).itemsize * int(np.prod(shape)))
    array: NDArray[Any] = np.frombuffer(raw, dtype).reshape(shape)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.npy"
        np.save(path, np.asfortranarray(array) if fortran else array)
        expected = Expected(tuple(map(str, shape)), (np.dtype(dtype).str[1:],))
        if fortran and max(shape[1:]) > 1 and max(shape[:-1]) > 1 and not array.flags.f_contiguous:
            with pytest.raises(ZooError, match="Fortran"):
                read_header(path, expected)
            return
        header = read_header(path, expected)
        assert path.read_bytes() == header.text.encode("latin-1") + array.tobytes()
        assert Header.of(array.dtype, array.shape) == header
        held = torch.float64 if header.kind[0] == "f" else torch.int64
        rows = torch.randint(shape[0], (3,))
        found = DiskTensor(path, len(header.text), header.dtype, header.shape, held)[rows]
        wanted = torch.from_numpy(array.astype(found.numpy().dtype))[rows]
        assert torch.equal(found.nan_to_num(), wanted.nan_to_num())


@given(
    tokens=st.integers(2, 4),
    rows=st.integers(1, 7),
    dtypes=st.tuples(*[st.sampled_from(["i2", "i4", "i8", ">i4"])] * 3),
)
@settings(max_examples=10)
def test_any_published_zoo_is_exported_as_it_was_imported(
    tokens: int, rows: int, dtypes: tuple[str, str, str]
) -> None:
    files = dict(zip(("sequences", "tasks", "num_step_correct"), dtypes, strict=True))
    with tempfile.TemporaryDirectory() as name:
        published = write_languages(Path(name) / "published", tokens)
        for file, dtype in files.items():
            change(published, file, lambda array, dtype=dtype: array.astype(dtype))
        import_published(published, Path(name) / "zoo", rows_per_shard=rows, quiet=True)
        assert export_published(Path(name) / "zoo", Path(name) / "again") == []
        assert contents(Path(name) / "again") == contents(published)
