"""Files of ``torch.save``: a change is found, and nothing is larger than what is stored."""

import argparse
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from wsrl.torch_files import HARMLESS, read_torch_file, tensors_in

WEIGHTS = torch.arange(1.0, 65.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "weights.pt"
    torch.save({"a": WEIGHTS, "b": {"c": [WEIGHTS[:3]]}}, path)
    return path


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("bit", [0, 6])
def test_a_flipped_bit_is_found(path: Path, bit: int, mmap: bool) -> None:
    assert torch.equal(read_torch_file(path, mmap=mmap)["a"], WEIGHTS)
    at = path.read_bytes().find(WEIGHTS.numpy().tobytes())
    assert at > 0
    content = bytearray(path.read_bytes())
    content[at + 17] ^= 1 << bit
    path.write_bytes(content)
    assert not torch.equal(torch.load(path, weights_only=True)["a"], WEIGHTS)  # PyTorch is silent
    with pytest.raises(ValueError, match=r"weights\.pt cannot be read .*data/0 in it has changed"):
        read_torch_file(path, mmap=mmap)


def test_a_file_without_checksums_is_read(tmp_path: Path) -> None:
    torch.save(WEIGHTS, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(WEIGHTS, tmp_path / "none.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    for name in ("old.pt", "none.pt"):
        assert torch.equal(read_torch_file(tmp_path / name), WEIGHTS)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(1).expand(1 << 40),
        torch.zeros(8).unfold(0, 4, 1),
        torch.zeros(2, device="meta"),
        torch.nn.Parameter(torch.zeros(1).expand(1 << 30)),
    ],
)
def test_a_tensor_of_more_numbers_than_are_stored_is_refused(
    tensor: torch.Tensor, tmp_path: Path
) -> None:
    torch.save({"deep": [({"in": tensor},)]}, tmp_path / "claims.pt")
    with pytest.raises(ValueError, match=r"claims\.pt .*shape .* needs \d+ bytes, but \d+ are"):
        read_torch_file(tmp_path / "claims.pt")


def test_views_of_one_storage_are_read(tmp_path: Path) -> None:
    """The negative partner: tied, transposed, cut out, empty and sparse tensors."""
    base = torch.randn(6, 4)
    content = {
        "tied": base,
        "transposed": base.T,
        "row": base[2],
        "steps": base[::2],
        "empty": base[:0].expand(0, 4),
        "number": torch.tensor(3.0),
        "sparse": torch.eye(100).to_sparse(),
    }
    torch.save(content, tmp_path / "views.pt")
    found = read_torch_file(tmp_path / "views.pt")
    assert found.keys() == content.keys()
    for name, tensor in content.items():
        assert torch.equal(found[name].to_dense(), tensor.to_dense())


def test_what_holds_itself_ends() -> None:
    inside: list[object] = [WEIGHTS]
    inside += [inside, {"a": inside, "b": WEIGHTS}, (WEIGHTS + 1, 3, "text")]
    assert len(list(tensors_in(inside))) == 2


def test_a_file_that_must_not_be_read_is_not_called_damaged(path: Path) -> None:
    path.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # no mode keeps root from reading
    try:
        with pytest.raises(PermissionError, match="Permission denied"):
            read_torch_file(path)
    finally:
        if user == 0:
            os.seteuid(user)
    path.write_bytes(b"nothing of PyTorch's")
    path.chmod(0o600)
    with pytest.raises(ValueError, match="damaged"):
        read_torch_file(path)


def test_options_and_numbers_of_numpy_are_read_where_they_are_allowed(tmp_path: Path) -> None:
    content = {"args": argparse.Namespace(lr=0.1), "best": np.float64(0.5), "n": np.int32(3)}
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"objects of argparse\.Namespace, numpy.*ever run"):
        read_torch_file(tmp_path / "a.pt")
    assert read_torch_file(tmp_path / "a.pt", allowed=HARMLESS) == content
    torch.save(content | {"path": Path("a")}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"objects of pathlib\..*Path, and nothing"):
        read_torch_file(tmp_path / "a.pt", allowed=HARMLESS)
