"""A user's models: which files are read, and what is noticed of them."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from wsrl.hints import Hints
from wsrl.rnn import RNNSpec, RNNWeights
from wsrl.zoos.packing.models import Model as Given
from wsrl.zoos.packing.models import find_models, read_model


class Model(nn.Module):
    def __init__(self, kind: type[nn.RNNBase] = nn.GRU) -> None:
        super().__init__()
        self.rnn, self.fc = kind(3, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.fc(self.rnn(inputs)[0])
        return outputs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.save(Model().state_dict(), tmp_path / "a.pt")
    return tmp_path


def test_a_flipped_bit_is_found(folder: Path) -> None:
    file = folder / "a.pt"
    weights = torch.load(file, weights_only=True)["rnn.weight_hh_l0"]
    assert len(read_model(file).weights) == 1
    content = bytearray(file.read_bytes())
    content[content.find(weights.numpy().tobytes()) + 3] ^= 0x40
    file.write_bytes(content)
    assert not torch.equal(torch.load(file, weights_only=True)["rnn.weight_hh_l0"], weights)
    for read in (lambda: read_model(file), find_models(folder).read[0]):
        with pytest.raises(ValueError, match=r"a\.pt cannot be read .*in it has changed"):
            read()


def test_only_regular_files_are_read(folder: Path) -> None:
    (folder / "run.pt").mkdir()  # folders may have any name
    assert find_models(folder).names == ["a.pt"]
    os.mkfifo(folder / "b.pt")  # to open it for reading would wait for a writer
    (folder / "c.pt").symlink_to("/dev/zero")
    (folder / "d.pt").symlink_to(folder / "nowhere")
    with pytest.raises(ValueError, match=r"is no regular file: 'b\.pt', 'c\.pt', 'd\.pt'\."):
        find_models(folder)
    for name in ("b.pt", "c.pt", "run.pt"):
        with pytest.raises(ValueError, match=rf"{name} is no regular file"):
            read_model(folder / name)


def test_folders_below_are_read_and_hidden_files_are_not(folder: Path) -> None:
    for name in ("seed1/model.pt", "seed0/m.PTH", "._a.pt", ".git/b.pt", "seed0/._m.pth"):
        (folder / name).parent.mkdir(exist_ok=True)
        torch.save(Model().state_dict(), folder / name)
    found = find_models(folder)
    assert found.names == ["a.pt", "seed0/m.PTH", "seed1/model.pt"]
    assert torch.equal(
        found.read[2]().weights.flat, read_model(folder / "seed1/model.pt").weights.flat
    )


def test_files_that_may_be_anything_are_models_where_there_is_no_other(folder: Path) -> None:
    state = Model().state_dict()
    np.savez(folder / "x.npz", **{name: value.numpy() for name, value in state.items()})
    assert find_models(folder).names == ["a.pt"]
    (folder / "a.pt").unlink()
    found = find_models(folder)
    assert found.names == ["x.npz"]
    assert str(found.read[0]().weights.spec) == "gru 1x4, 3 inputs, 2 outputs"


def test_a_process_is_sent_a_model_alone() -> None:
    spec = RNNWeights.from_module(Model()).spec
    every = RNNWeights(torch.randn(99, spec.num_parameters), spec)
    sent = pickle.dumps(find_models([every[row : row + 1] for row in range(99)]).read[7])
    assert len(sent) < 2 * every.flat.nbytes / 99 + 999
    assert torch.equal(pickle.loads(sent)().weights.flat, every.flat[7:8])


def spec_of(model: Given, cell: str | None = None) -> RNNSpec:
    return read_model(model, Hints(cell)).weights.spec


def test_a_cell_must_be_said_and_agree() -> None:
    tanh = Model(nn.RNN)
    assert spec_of(tanh).cell == "tanh"  # a module says itself
    for cell in ("tanh", "linear"):
        assert spec_of(tanh.state_dict(), cell).cell == cell
    with pytest.raises(ValueError, match=r"0: .*cell relu or tanh"):
        find_models([tanh.state_dict()])
    for model in (tanh, RNNWeights.from_module(tanh)):
        with pytest.raises(ValueError, match="the cell is tanh, not 'linear'"):
            spec_of(model, "linear")
    weights = RNNWeights.from_module(Model())
    with pytest.raises(ValueError, match="expected the weights of one RNN, not of 2"):
        read_model(RNNWeights.cat([weights, weights]))


def write_reference(model: Model, path: Path) -> None:
    inputs = torch.randn(3, 6, 3)
    save_file({"inputs": inputs, "outputs": model(inputs).detach()}, path)


def test_files_are_compared_with_references_beside_them(folder: Path) -> None:
    for name in ("b", "c"):
        model = Model(nn.RNN)
        torch.save(model.state_dict(), folder / f"{name}.pt")
        write_reference(model, folder / f"{name}.io.safetensors")
    (folder / "a.pt").unlink()
    found = find_models(folder, Hints(reference="{stem}.io.safetensors"))
    assert found.names == ["b.pt", "c.pt"]  # references are no models
    for read in found.read:
        weights, notes = read()
        assert weights.spec.cell == "tanh"
        assert notes[-1].startswith("outputs are those of the reference: they differ by at most")
    write_reference(Model(nn.RNN), folder / "c.io.safetensors")
    with pytest.raises(ValueError, match=r"c\.pt: its outputs differ from the reference's by"):
        found.read[1]()
