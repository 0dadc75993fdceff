"""Encoders that read any RNN go from zoo to zoo, whatever the cells and sizes there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file

import wsrl
from wsrl.cli import main
from wsrl.rnn import RNNSpec
from wsrl.studies.inspection import Inspector

PROBING = {"probing_length": 4, "probe_width": 8, "reader_width": 8, "reader_layers": 1}
COMMON = {
    "data": {"batch_size": 8, "steps_per_epoch": 2, "split_by": "task"},
    "trainer": {"max_steps": 2, "enable_model_summary": False, "logger": False},
}


def config(path: Path, model: str, **init_args: object) -> list[str]:
    path.write_text(
        yaml.safe_dump({"model": {"class_path": f"wsrl.{model}", "init_args": init_args}, **COMMON})
    )
    return ["--config", str(path)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, collection_path: Path) -> Path:
    """A folder with emulation runs: of the whole collection, and of its GRUs."""
    folder = tmp_path_factory.mktemp("mixed")
    encoder = {"class_path": "FreeRunningProbing", "init_args": PROBING}
    sizes = {"emulator_width": 8, "emulator_layers": 1, "clone_rnns": 0, "figures": False}
    words = config(folder / "emulation.yaml", "EmulationModule", encoder=encoder, **sizes)
    for name, zoo in (("all", collection_path), ("gru", collection_path / "gru-4")):
        run = ["--data.zoo", str(zoo), "--run", str(folder / name)]
        assert main(["fit", *words, *run]) == 0
    return folder


def own(folder: Path, spec: RNNSpec) -> Path:
    weights = wsrl.RNNWeights(0.3 * torch.randn(1, spec.num_parameters), spec)
    tensors = {name: value[0].clone() for name, value in weights.tensors().items()}
    save_file(tensors, folder / f"{spec.cell}{spec.hidden_size}.safetensors")
    return folder / f"{spec.cell}{spec.hidden_size}.safetensors"


def test_a_run_on_a_collection_inspects_rnns_of_its_specs_and_of_others(
    runs: Path, collection_path: Path, tmp_path: Path
) -> None:
    inspector = Inspector(runs / "all")
    assert isinstance(inspector.module.spec, wsrl.RNNInterface)
    known = inspector.zoo.specs
    for spec in (known[0], known[-1]):
        found = inspector.inspect(own(tmp_path, spec))
        assert found.fit.weights is not None
        assert found.fit.tensors.keys() == {tensor.name for tensor in spec.tensors}
        assert found.trained_on == tuple(each.to_dict() for each in known)
        rows = torch.tensor([each.row for each in found.neighbours])
        assert [each.rnn for each in found.neighbours] == [*map(str, inspector.zoo.spec_of(rows))]
    foreign = inspector.inspect(own(tmp_path, RNNSpec("gru", 5, 9, 1, 5)))
    assert (foreign.fit.weights, foreign.fit.tensors) == (None, {})
    assert foreign.zoo.startswith(str(collection_path))
    own_zoo = Inspector(runs / "all", collection_path / "gru-4")  # a part of it
    assert {each.rnn for each in own_zoo.inspect(own(tmp_path, known[0])).neighbours} == {
        str(own_zoo.zoo.spec)
    }


def test_sizes_are_compared_with_those_of_the_same_spec(runs: Path) -> None:
    """A tensor's deviation is the same, by hand, from the rows of its own zoo alone."""
    inspector = Inspector(runs / "all")
    (part,) = [zoo for zoo in inspector.zoo.zoos if zoo.spec.hidden_size == 6]
    weights = part.read_weights(torch.tensor([5]))
    logs = {
        name: value.flatten(1).double().square().mean(1).sqrt().log()
        for name, value in part.read_weights().tensors().items()
    }
    found = inspector.inspect(weights).fit.tensors
    for name, values in logs.items():
        expected = (values[5] - values.mean()) / values.std()
        assert found[name] == pytest.approx(float(expected), abs=1e-3)


def test_a_run_goes_to_zoos_of_other_cells(
    runs: Path, collection_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, zoo in (("gru", collection_path / "lstm-6"), ("all", collection_path / "lstm-4")):
        run = ["--run", str(runs / name), "--ckpt_path", "last", "--data.zoo", str(zoo)]
        assert main(["test", *run]) == 0
        assert main(["predict", *run, "--out", str(tmp_path / f"{name}.csv")]) == 0
        embedded = wsrl.read_embeddings(tmp_path / f"{name}.csv")
        assert set(embedded["cell"]) == {"lstm"}
    words = config(tmp_path / "task.yaml", "PredictionModule", target="task", mode="frozen")
    for name, zoo in (("gru", collection_path), ("all", collection_path / "lstm-4")):
        pretrained = ["--model.pretrained", str(runs / name / "checkpoints/last.ckpt")]
        run = ["--data.zoo", str(zoo), "--run", str(tmp_path / name)]
        assert main(["fit", *words, *pretrained, *run]) == 0
        assert main(["test", "--run", str(tmp_path / name), "--ckpt_path", "last"]) == 0


def test_an_encoder_of_one_spec_is_refused_before_any_work(
    collection_path: Path, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--config", str(runs / "emulation.yaml"), "--run", str(tmp_path / "run")]
    bound = ["--model.encoder", "FlattenedWeights"]
    assert main(["fit", *words, *bound, "--data.zoo", str(collection_path)]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "FlattenedWeights reads RNNs of one spec, not any cell and size, 5 inputs" in error
    assert re.search("those that read any RNN are .*FreeRunningProbing", error)
    assert not (tmp_path / "run").exists()
    assert main(["fit", *words, *bound, "--data.zoo", str(collection_path / "gru-4")]) == 0
    run = ["--run", str(tmp_path / "run"), "--ckpt_path", "last"]
    assert main(["test", *run, "--data.zoo", str(collection_path / "lstm-4")]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert re.search(r"was made for RNNs \(gru 1x4,.*\(lstm 1x4, .*those that read any", error)
