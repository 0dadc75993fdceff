"""Containers of other libraries, written by these libraries and read back; damaged ones refused."""

import io
import json
import os
import shutil
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import scipy.sparse
import torch

from tests.rnn.formats.samples import sample
from wsrl.rnn.formats import read_container
from wsrl.rnn.formats.arrays import Contents
from wsrl.rnn.formats.flax_files import read_msgpack
from wsrl.rnn.formats.hdf5_files import read_hdf5, read_keras
from wsrl.rnn.formats.json_files import read_json_arrays
from wsrl.rnn.formats.matlab_files import read_mat
from wsrl.rnn.formats.numpy_files import read_leaves, read_npz
from wsrl.rnn.formats.onnx_files import read_onnx
from wsrl.rnn.formats.tensorflow_files import read_checkpoint

h5py = pytest.importorskip("h5py", reason="the extra wsrl[files] is not here")
msgpack = pytest.importorskip("msgpack", reason="the extra wsrl[files] is not here")
onnx = pytest.importorskip("onnx", reason="the extra wsrl[files] is not here")

FOREIGN = Path(os.environ.get("WSRL_DATA", "/nowhere")) / "foreign"
MATRIX = np.arange(6, dtype="f4").reshape(2, 3)
COLUMN = np.asfortranarray(np.arange(6, dtype=">f8").reshape(3, 2))  # of other byte and axis order


def same(found: torch.Tensor, wanted: np.ndarray[Any, Any]) -> bool:
    return bool((found.numpy() == wanted).all()) and found.shape == wanted.shape


def test_arrays_of_an_npz_are_read_and_objects_named(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, w=MATRIX, f=COLUMN, phi=np.array(print, dtype=object))
    tensors, settings = read_npz(path)
    assert same(tensors["w"], MATRIX)
    assert same(tensors["f"], COLUMN)
    assert settings == {"left_out": ["phi"]}


@pytest.mark.parametrize("line", [b"", b'{"hidden": 3}\n'])
def test_arrays_in_a_row_are_leaves(line: bytes, tmp_path: Path) -> None:
    file = io.BytesIO()
    np.save(file, MATRIX)
    np.save(file, np.float32(2))
    (tmp_path / "x.eqx").write_bytes(line + file.getvalue())
    tensors, settings = read_leaves(tmp_path / "x.eqx")
    assert same(tensors["leaf 0"], MATRIX)
    assert tensors["leaf 1"].item() == 2
    assert settings == (json.loads(line) if line else {})
    np.save(file, np.array([print], dtype=object))
    (tmp_path / "x.eqx").write_bytes(file.getvalue())
    with pytest.raises(ValueError, match="leaf 2 is no array of numbers"):
        read_leaves(tmp_path / "x.eqx")


def pack(array: np.ndarray[Any, Any]) -> Any:
    content = msgpack.packb((array.shape, array.dtype.name, array.tobytes()))
    return msgpack.ExtType(1, content)


def test_arrays_of_flax_are_read_by_their_paths(tmp_path: Path) -> None:
    tree = {"params": {"cell": {"kernel": pack(MATRIX)}, "layers": {"0": pack(MATRIX + 1)}}}
    (tmp_path / "x.msgpack").write_bytes(msgpack.packb(tree | {"step": 7}))
    tensors, settings = read_msgpack(tmp_path / "x.msgpack")
    assert same(tensors["params/cell/kernel"], MATRIX)
    assert same(tensors["params/layers/0"], MATRIX + 1)
    assert settings == {"step": 7}
    short = msgpack.ExtType(1, msgpack.packb(((9, 9), "float32", b"1234")))
    (tmp_path / "x.msgpack").write_bytes(msgpack.packb({"w": short}))
    with pytest.raises(ValueError, match="324 bytes, not 4"):
        read_msgpack(tmp_path / "x.msgpack")


def write_hdf5(path: Path | io.BytesIO, **attributes: str) -> None:
    with h5py.File(path, "w") as file:
        file["layers/lstm/cell/vars/0"] = MATRIX
        file["layers/lstm/vars/0"] = np.array([b"text"])
        file["layers/lstm/vars"].attrs["name"] = "mine"
        file["elsewhere"] = h5py.ExternalLink("/etc/passwd", "x")
        file.attrs.update(attributes)


def test_numbers_names_and_configuration_of_hdf5_are_read(tmp_path: Path) -> None:
    write_hdf5(tmp_path / "x.h5", model_config='{"layers": []}')
    tensors, settings = read_hdf5(tmp_path / "x.h5")
    assert same(tensors.pop("layers/lstm/cell/vars/0"), MATRIX)
    assert not tensors
    assert settings == {"names": {"layers/lstm/vars": "mine"}, "model_config": {"layers": []}}
    (tmp_path / "raw").write_bytes(b"1234" * 6)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("w", (2, 3), "f4", external=[(str(tmp_path / "raw"), 0, 24)])
    with pytest.raises(ValueError, match="the numbers of w lie in another file"):
        read_hdf5(tmp_path / "x.h5")


def test_a_keras_archive_is_read_without_making_anything_of_it(tmp_path: Path) -> None:
    weights = io.BytesIO()
    write_hdf5(weights)
    with zipfile.ZipFile(tmp_path / "x.keras", "w") as archive:
        archive.writestr("model.weights.h5", weights.getvalue())
        archive.writestr("config.json", '{"class_name": "Lambda"}')
    tensors, settings = read_keras(tmp_path / "x.keras")
    assert same(tensors["layers/lstm/cell/vars/0"], MATRIX)
    assert settings["model_config"] == {"class_name": "Lambda"}


@pytest.mark.parametrize("compressed", [True, False])
def test_matlab_files_are_read_as_scipy_reads_them(compressed: bool, tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    kinds = ["f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?"]
    content: dict[str, Any] = {f"a{kind.strip('?')}": COLUMN.astype(kind) for kind in kinds}
    content |= {"cube": MATRIX[None] * 0.5, "one": 3, "none": np.zeros((0, 2)), "row": [1.5, 2]}
    text = {"activation": "sigmoid"}
    odd = {
        "cell": np.array([MATRIX, 1], dtype=object),
        "structure": {"w": MATRIX},
        "sparse": scipy.sparse.csc_matrix(MATRIX),
        "complex": MATRIX + 1j,
    }
    scipy.io.savemat(path, content | text | odd, do_compression=compressed)
    tensors, settings = read_mat(path)
    wanted = scipy.io.loadmat(path, mat_dtype=False)
    assert tensors.keys() == content.keys()
    assert all(same(value, wanted[name]) for name, value in tensors.items())
    assert {str(v.dtype) for v in tensors.values()} >= {"torch.float32", "torch.uint8"}
    assert settings == text | {"left_out": [*odd]}
    whole = path.read_bytes()
    for end in range(129, len(whole), 97):
        path.write_bytes(whole[:end])
        with pytest.raises((ValueError, TypeError, zlib.error)):
            read_mat(path)
    with h5py.File(path, "w", userblock_size=512):
        pass
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file")
    with pytest.raises(ValueError, match="save it with -v7"):
        read_mat(path)


def test_lists_of_numbers_in_json_are_tensors(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"w": [[1, 2], [3, 4.5]], "odd": [[1], []], "tau": 10}')
    tensors, settings = read_json_arrays(tmp_path / "x.json")
    assert tensors["w"].tolist() == [[1, 2], [3, 4.5]]
    assert settings == {"odd": [[1], []], "tau": 10}


def test_an_onnx_file_gives_its_graph(tmp_path: Path) -> None:
    weight = onnx.numpy_helper.from_array(MATRIX, "w")
    node = onnx.helper.make_node("Gemm", ["x", "w"], ["y"], alpha=1.0, transB=1)
    values = [onnx.helper.make_tensor_value_info(n, 1, [None]) for n in "xy"]
    graph = onnx.helper.make_graph([node], "g", values[:1], values[1:], [weight])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "x.onnx")
    tensors, settings = read_onnx(tmp_path / "x.onnx")
    assert same(tensors["w"], MATRIX)
    (found,) = settings["nodes"]
    assert (found.op, found.inputs, found.outputs) == ("Gemm", ("x", "w"), ("y",))
    assert found.attributes == {"alpha": 1, "transB": 1}
    assert (settings["inputs"], settings["outputs"]) == (["x"], ["y"])
    model = onnx.load(tmp_path / "x.onnx")
    onnx.external_data_helper.convert_model_to_external_data(model, size_threshold=0)
    onnx.save(model, tmp_path / "x.onnx")
    with pytest.raises(ValueError, match="the numbers of w lie in another file"):
        read_onnx(tmp_path / "x.onnx")


SAMPLES: dict[str, tuple[Callable[[Path], Contents], bool]] = {
    # A reader, and whether it tells a file that is cut off anywhere.
    "multitask-leaky/model.ckpt.index": (read_checkpoint, True),
    "psychrnn-basic/weights.npz": (read_npz, True),
    "equinox-lstm/model.eqx": (read_leaves, False),  # whole leaves may lack
    "flax-lstm/params.msgpack": (read_msgpack, True),
    "keras-lstm/model.weights.h5": (read_hdf5, True),
    "onnx-lstm/model.onnx": (read_onnx, False),
}


@pytest.mark.skipif(not FOREIGN.is_dir(), reason="no WSRL_DATA with the folder foreign")
@pytest.mark.parametrize("sample", SAMPLES)
def test_a_file_that_is_cut_off_is_refused(sample: str, tmp_path: Path) -> None:
    read, always = SAMPLES[sample]
    whole = FOREIGN / sample
    for file in whole.parent.iterdir():
        (tmp_path / file.name).symlink_to(file)
    path, content = tmp_path / whole.name, whole.read_bytes()
    tensors, _ = read(path)
    assert tensors
    path.unlink()
    for part in range(1, 20):
        path.write_bytes(content[: len(content) * part // 20])
        try:
            found = read(path)[0]
        except Exception:  # of the libraries, any: whoever calls makes one line of it
            continue
        assert not always
        assert len(found) < len(tensors)


def test_what_reads_a_file_is_named_where_it_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_hdf5(tmp_path / "x.h5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ValueError, match=r"x\.h5: .* read with h5py, .*'wsrl\[files\]'") as error:
        read_container(tmp_path / "x.h5")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["", ".index", ".meta", ".data-00000-of-00001"])
def test_a_checkpoint_of_tensorflow_is_given_by_any_of_its_files(name: str, tmp_path: Path) -> None:
    for file in sample("multitask-leaky").glob("model.ckpt.*"):
        shutil.copy(file, tmp_path)
    (tmp_path / "model.ckpt.meta").write_bytes(b"a graph")
    content = read_container(tmp_path / f"model.ckpt{name}")
    assert (content.kind, len(content.tensors), content.settings) == ("tensorflow", 14, {})
