"""An encoder that was trained on LSTMs of one size looks at RNNs of other cells and sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import wsrl
from tests.studies.conftest import EMULATION, LANGUAGES, Own, fit, train_own
from wsrl.cli import main
from wsrl.encoders import list_encoders
from wsrl.problems import FormalLanguages
from wsrl.rnn import concatenate
from wsrl.studies.inspection import Inspector
from wsrl.zoos import BuildSettings, build_zoo


@pytest.fixture(scope="module")
def grus() -> list[tuple[tuple[int, ...], Own]]:
    """Four GRUs of twice the size, each with its language."""
    with torch.random.fork_rng():
        return [(each, train_own(each, 1, hidden=24, cell=nn.GRU)) for each in LANGUAGES[3:7]]


@pytest.fixture(scope="module")
def folder(
    grus: list[tuple[tuple[int, ...], Own]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder of GRUs and an LSTM."""
    made = tmp_path_factory.mktemp("any")
    for number, (_, model) in enumerate(grus):
        torch.save(model.state_dict(), made / f"gru{number}.pt")
    torch.save(Own().state_dict(), made / "lstm.pt")
    return made


@pytest.fixture(scope="module")
def bound(language_runs: Path) -> Path:
    """The run of an encoder that reads one spec."""
    steps = ["--trainer.max_steps", "2", "--data.steps_per_epoch", "2"]
    fit(language_runs, "bound", EMULATION, "--model.encoder", "LayerwiseStatistics", *steps)
    return language_runs / "bound"


def test_the_language_of_grus_is_named_by_what_was_trained_on_lstms(
    grus: list[tuple[tuple[int, ...], Own]], language_runs: Path
) -> None:
    inspector = Inspector(language_runs / "emulation")
    near = performed = 0
    for language, model in grus:
        found = inspector.inspect(model)
        assert found.spec["cell"] == "gru"
        assert [spec["cell"] for spec in found.trained_on] == ["lstm"]
        assert (found.fit.weights, found.fit.tensors) == (None, {})
        assert found.properties[0].source == str(language_runs / "task/checkpoints/best.ckpt")
        performed += found.skill.task == language
        near += sum(each.task == language for each in found.neighbours[:2])
    assert performed >= 3  # of 4: what it does is measured by running it
    assert near >= 3  # of 8, where chance gives 1


def test_the_commands_say_what_it_is_and_what_the_encoder_was_trained_on(
    folder: Path, language_runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(language_runs / "emulation")
    assert main(["inspect", str(folder / "gru0.pt"), "--ckpt", run]) == 0
    text = capsys.readouterr().out
    assert "gru0.pt (gru 1x24, 5 inputs, 5 outputs)" in text
    assert "note: the encoder was trained on RNNs of other cells or sizes (lstm 1x12, " in text
    assert main(["inspect", str(folder / "lstm.pt"), "--ckpt", run]) == 0
    assert "note: the encoder" not in capsys.readouterr().out
    assert main(["search", str(folder), "--ckpt", run]) == 0
    assert [line.count("gru 1x24") for line in capsys.readouterr().out.splitlines()[1:]] == [
        *([1] * 4),
        0,
    ]


def test_embeddings_are_those_of_the_commands(
    folder: Path, grus: list[tuple[tuple[int, ...], Own]], language_runs: Path, tmp_path: Path
) -> None:
    run, out = language_runs / "emulation", tmp_path / "embeddings.csv"
    module = wsrl.EmulationModule.load_from_checkpoint(run / "checkpoints/best.ckpt")
    own = wsrl.RNNWeights.from_module(grus[0][1])
    inspected = wsrl.inspect_rnn(folder / "gru0.pt", run).embedding
    assert wsrl.embed(module.encoder, own).tolist() == [[*inspected]]
    assert module.training  # as it was
    assert main(["predict", "--ckpt_path", "best", "--run", str(run), "--out", str(out)]) == 0
    written = wsrl.read_embeddings(out)
    rows = torch.tensor(written["row"].tolist())
    of_zoo = wsrl.open_zoo(language_runs / "zoo").read_weights(rows)
    columns = torch.tensor(written.filter(regex=r"embedding_\d+").values.tolist())
    found = wsrl.embed(module.encoder, concatenate([of_zoo, own]))
    torch.testing.assert_close(found[:-1], columns, rtol=0, atol=1e-6)
    torch.testing.assert_close(found[-1], torch.tensor(inspected), rtol=0, atol=1e-6)
    diverged = wsrl.RNNWeights(own.flat.clone(), own.spec)
    diverged.flat[0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"finite in rnn\.weight_ih_l0, as after"):
        wsrl.embed(module.encoder, concatenate([of_zoo, diverged]))


def failed(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    capsys.readouterr()
    assert main(["inspect", *map(str, args)]) == 1
    (error,) = capsys.readouterr().err.splitlines()
    return error


def test_what_the_encoder_cannot_read_is_one_line(
    folder: Path, language_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, model = language_runs / "emulation", tmp_path / "model.pt"
    torch.save(Own(tokens=6).state_dict(), model)
    error = failed(capsys, model, "--ckpt", run)
    assert f"{model}: InteractiveProbing was made for RNNs (lstm 1x12, 5 inputs" in error
    assert "these are (lstm 1x12, 6 inputs, 6 outputs): inputs and outputs must be" in error
    problem = FormalLanguages(2, 8, evaluated_strings=20, stored_strings=4)
    few = BuildSettings(runs=4, hidden_size=4, snapshots=(0, 20))
    build_zoo(tmp_path / "zoo", problem, few, quiet=True)
    other = failed(capsys, folder / "lstm.pt", "--ckpt", run, "--zoo", tmp_path / "zoo")
    assert "these are (lstm 2x4, 4 inputs" in other


def test_an_encoder_of_one_spec_names_those_that_read_any(
    folder: Path, bound: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = failed(capsys, folder / "gru0.pt", "--ckpt", bound)
    those = [
        name for name in list_encoders() if wsrl.encoders.get_encoder(name).reads != "one spec"
    ]
    assert "gru0.pt: LayerwiseStatistics was made for RNNs (lstm 1x12, " in error
    assert error.endswith(f"it reads one spec; those that read any RNN are {', '.join(those)}")


class Asked:
    """An RNN of one's own, of which only its answers are shown."""

    def __init__(self, model: Own) -> None:
        self.model = model

    def start(self, sequences: int) -> Tensor | None:
        return None

    def run(self, inputs: Tensor, state: Any) -> tuple[Any, Any]:
        hidden, state = self.model.net(inputs, state)
        return self.model.head(hidden).numpy(), state


def test_a_black_box_is_inspected_as_its_weights_are(
    grus: list[tuple[tuple[int, ...], Own]], language_runs: Path, bound: Path
) -> None:
    inspector = Inspector(language_runs / "emulation")
    box = wsrl.BlackBox(Asked(grus[0][1]), 5, 5)
    shown, asked = inspector.inspect(grus[0][1]), inspector.inspect(box)
    assert asked.embedding == pytest.approx(shown.embedding, abs=1e-5)
    assert asked.spec == {"input_size": 5, "output_size": 5}
    assert [each.row for each in asked.neighbours] == [each.row for each in shown.neighbours]
    assert asked.skill.task == shown.skill.task
    assert asked.imitation.own.value == pytest.approx(shown.imitation.own.value, abs=1e-4)
    assert (asked.fit.weights, asked.fit.verdict) == (None, shown.fit.verdict)
    head = wsrl.PredictionModule.load_from_checkpoint(
        language_runs / "task/checkpoints/best.ckpt"
    ).eval()
    weights = wsrl.RNNWeights.from_module(grus[0][1])
    assert torch.equal(head.predict(box), head.predict(weights))
    with pytest.raises(ValueError, match=r"^the RNN: LayerwiseStatistics reads weights, .*ask are"):
        wsrl.inspect_rnn(box, bound)
