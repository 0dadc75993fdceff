"""The command, run for real in this process on a small zoo."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import lightning.pytorch  # noqa: F401 here, since its log keeps the stderr it finds at import
import pytest
import torch
import yaml

import wsrl
from wsrl.cli import main
from wsrl.zoos.tensors import read_metadata, read_tensors

TINY_ZOO = ["--num_tokens", "2", "--length", "8", "--max_n", "3", "--min_difference", "-2"]
TINY_ZOO += ["--evaluated_strings", "8", "--stored_strings", "4", "--hidden_size", "4"]
TINY_ZOO += ["--num_layers", "1", "--runs", "6", "--snapshots", "[0, 3]", "--quiet", "true"]

PROBING = {"probing_length": 3, "probe_width": 8, "reader_width": 8, "reader_layers": 1}
CONFIG = {
    "model": {
        "class_path": "wsrl.EmulationModule",
        "init_args": {
            "encoder": {"class_path": "InteractiveProbing", "init_args": PROBING},
            "emulator_width": 8,
            "emulator_layers": 1,
            "learning_rate": 0.01,
            "clone_rnns": 2,
            "clone_sequences": 2,
            "figures": False,
        },
    },
    "data": {"batch_size": 4, "steps_per_epoch": 2},
    "trainer": {"max_steps": 4, "enable_model_summary": False, "logger": False},
}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("configs") / "tiny.yaml"
    path.write_text(yaml.safe_dump(CONFIG))
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, config: Path, zoo_path: Path) -> Path:
    """A finished run; tests must not train in it."""
    folder = tmp_path_factory.mktemp("runs") / "emulation"
    assert fit(config, zoo_path, "--run", str(folder), "--trainer.logger", "true") == 0
    return folder


@pytest.fixture(scope="module")
def other_zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zoo of RNNs of another spec."""
    folder = tmp_path_factory.mktemp("zoos")
    config = folder / "zoo.yaml"
    config.write_text("problem: formal_languages\nruns: 3\nhidden_size: 5\nseed: 8\n")
    build = ["zoo", "build", *TINY_ZOO, "--out", str(folder / "other"), "--config", str(config)]
    assert main(build) == 0
    return folder / "other"


def fit(config: Path, zoo: Path, *options: str) -> int:
    return main(["fit", *options, "--data.zoo", str(zoo), "--config", str(config)])


def load(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(path, weights_only=True)
    return content


def failed(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """Run a command that must fail, in one message, and return that."""
    capsys.readouterr()
    assert main(args) in (1, 2)
    error = capsys.readouterr().err
    assert "error: " in error
    assert "Traceback" not in error
    return error.split("error: ", 1)[1]


def test_encoders_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encoders", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == set(wsrl.list_encoders())
    encoder = wsrl.create_encoder("FlattenedWeights", spec=wsrl.RNNSpec("lstm", 6, 32, 2, 6))
    size = sum(p.numel() for p in encoder.parameters())
    assert [*rows["FlattenedWeights"].values()][1:] == [size, "one spec", False]
    known = [rows[n]["reads"] for n in ("InteractiveProbing", "NeuronGraph")]
    assert known == ["any", "any weights"]
    assert rows["InteractiveProbing"]["permutation_invariant"]
    assert main(["encoders"]) == 0
    assert "InteractiveProbing" in capsys.readouterr().out


def test_a_zoo_is_built_described_and_verified(
    other_zoo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["zoo", "info", str(other_zoo), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["spec"] == wsrl.RNNSpec("lstm", 4, 4, 1, 4).to_dict()  # not as the config says
    assert (facts["runs"], facts["steps"], facts["snapshots"]) == (6, [0, 3], 12)
    assert facts["build"]["seed"] == 8  # as it says
    assert main(["zoo", "info", str(other_zoo)]) == 0
    assert "lstm 1x4" in capsys.readouterr().out
    assert main(["zoo", "verify", str(other_zoo)]) == 0


def test_a_name_that_no_result_could_hold_is_refused_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    zoo = f"{tmp_path}/z\udcff"  # as Python reads a byte that is no UTF-8
    build = ["zoo", "build", "--problem", "formal_languages", "--out", zoo, *TINY_ZOO]
    assert r"can't encode character '\udcff'" in failed(capsys, *build)
    assert not list(tmp_path.iterdir())


def test_an_error_that_nobody_foresaw_is_one_line(
    zoo_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def recurse(path: str) -> str:
        return recurse(path)

    monkeypatch.setattr("wsrl.studies.zoo_summary.summarize", recurse)
    monkeypatch.delenv("WSRL_TRACEBACK", raising=False)
    capsys.readouterr()
    assert main(["zoo", "info", str(zoo_path)]) == 70
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("wsrl zoo info: error: RecursionError: maximum recursion depth exceeded")
    assert "WSRL_TRACEBACK=1" in line


def test_a_run_has_one_folder(run: Path, zoo_path: Path) -> None:
    assert {path.name for path in run.iterdir()} == {
        *("checkpoints", "config.yaml", "cost.json", "logs")
    }
    assert {p.name for p in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert list((run / "logs").glob("events.*"))
    written = yaml.safe_load((run / "config.yaml").read_text())
    assert written["model"]["init_args"]["encoder"]["init_args"]["probing_length"] == 3
    assert written["model"]["init_args"]["weight_decay"] == 0.01  # a default, resolved
    assert written["data"]["zoo"] == str(zoo_path)
    last = load(run / "checkpoints" / "last.ckpt")
    assert last["global_step"] == 4
    assert last["hyper_parameters"]["spec"] == wsrl.open_zoo(zoo_path).spec.to_dict()
    module = wsrl.EmulationModule.load_from_checkpoint(run / "checkpoints" / "best.ckpt")
    assert type(module.encoder).__name__ == "InteractiveProbing"


def test_overwrite_starts_anew_and_leaves_other_files_alone(
    run: Path, tmp_path: Path, config: Path, zoo_path: Path
) -> None:
    folder = shutil.copytree(run, tmp_path / "run")
    (folder / "notes.txt").write_text("mine")
    (folder / "test.json").write_text("{}")
    where = ["--run", str(folder), "--trainer.limit_val_batches", "1"]
    assert fit(config, zoo_path, *where, "--overwrite", "--trainer.max_steps", "2") == 0
    assert load(folder / "checkpoints" / "last.ckpt")["global_step"] == 2
    assert (folder / "notes.txt").read_text() == "mine"
    assert not (folder / "test.json").exists()


def test_a_resumed_run_ends_like_one_that_was_not_interrupted(
    run: Path, tmp_path: Path, config: Path, zoo_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "first"
    assert fit(config, zoo_path, "--run", str(folder), "--trainer.max_steps", "2") == 0
    moved = folder.rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    # The settings that the run keeps are enough, in any folder.
    args = ["--config", str(moved / "config.yaml"), "--trainer.max_steps", "4"]
    assert main(["fit", "--ckpt_path", "last", *args]) == 0
    assert not folder.exists()
    straight, resumed = (load(f / "checkpoints" / "last.ckpt") for f in (run, moved))
    assert resumed["global_step"] == 4
    for name, value in straight["state_dict"].items():
        torch.testing.assert_close(resumed["state_dict"][name], value, rtol=0, atol=0)


def test_a_run_from_before_an_option_was_there_goes_on(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = shutil.copytree(run, tmp_path / "run") / "checkpoints/last.ckpt"
    content = load(last)
    assert content["hyper_parameters"].pop("warmup_steps") == 0
    assert content["hyper_parameters"]["encoder"]["init_args"].pop("echo") is False
    torch.save(content, last)
    (tmp_path / "run/config.yaml").unlink()  # it would name them
    options = ["--ckpt_path", str(last), "--trainer.max_steps", "6"]
    for other in (["--model.warmup_steps", "1"], ["--model.encoder.echo", "true"]):
        assert "contradicts" in failed(capsys, "fit", *options, *other)
    assert main(["fit", *options]) == 0
    assert load(last)["global_step"] == 6


def test_the_best_checkpoint_survives_a_move_and_a_worse_validation(
    run: Path, tmp_path: Path
) -> None:
    moved = shutil.copytree(run, tmp_path / "moved") / "checkpoints"
    best, last = (moved / "best.ckpt").read_bytes(), moved / "last.ckpt"
    spoiled = load(last)
    for name, value in spoiled["state_dict"].items():
        if name.startswith("emulator") and value.is_floating_point():
            value.mul_(30)
    torch.save(spoiled, last)
    assert main(["fit", "--ckpt_path", str(last), "--trainer.max_steps", "6"]) == 0
    assert (moved / "best.ckpt").read_bytes() == best


def test_a_checkpoint_is_enough_to_test_from_any_folder(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint = run / "checkpoints" / "best.ckpt"
    assert main(["test", "--ckpt_path", str(checkpoint), "--run", "elsewhere"]) == 0
    assert "shuffled_total_variation" in capsys.readouterr().out
    content = json.loads((tmp_path / "elsewhere" / "test.json").read_text())
    assert content["checkpoint"] == str(checkpoint)
    assert {"validation/total_variation", "ood/reverse_kl"} <= set(content["metrics"])
    assert main(["validate", "--config", str(run / "config.yaml"), "--ckpt_path", "best"]) == 0
    validated = json.loads((run / "validate.json").read_text())["metrics"]
    (run / "validate.json").unlink()
    name = "validation/total_variation"
    assert validated[name] == pytest.approx(content["metrics"][name])


def test_predict_writes_every_snapshot_with_its_split(
    run: Path, tmp_path: Path, zoo: wsrl.zoos.Zoo
) -> None:
    out, checkpoint = tmp_path / "embeddings.safetensors", str(run / "checkpoints/best.ckpt")
    assert main(["predict", "--ckpt_path", checkpoint, "--out", str(out)]) == 0
    found, metadata = read_tensors(out), read_metadata(out)
    assert metadata["splits"] == ["train", "validation", "ood"]
    assert metadata["checkpoint"] == checkpoint
    data = wsrl.ZooDataModule(str(zoo.path))
    for index, split in enumerate(metadata["splits"]):
        assert found["row"][found["split"] == index].tolist() == list(data.rows(split))
    for name in ("run", "step", "task", "performance"):
        assert torch.equal(found[name].double(), zoo.read(name).float().double())
    encoder = wsrl.EmulationModule.load_from_checkpoint(checkpoint).encoder
    embedding = wsrl.embed(encoder, wsrl.RNNWeights(zoo.read("weights"), zoo.spec))
    torch.testing.assert_close(found["embedding"], embedding, rtol=0, atol=1e-5)


def test_what_agrees_with_the_checkpoint_may_be_said_and_other_data_are_pointed_out(
    run: Path, config: Path, zoo_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "copy").symlink_to(zoo_path)
    words = ["test", "--ckpt_path", str(run / "checkpoints/best.ckpt"), "--run", str(tmp_path)]
    same = ["--config", str(config), "--model.encoder", "InteractiveProbing"]
    other = ["--data.zoo", str(tmp_path / "copy"), "--data.split_seed", "5"]
    assert main([*words, *same, *other]) == 0
    assert "data.split_seed: 5 given, 1 in the checkpoint" in capsys.readouterr().err


PREDICTION = ["--model", "PredictionModule", "--model.target", "task"]
PREDICTION += ["--data.steps_per_epoch", "2", "--trainer.max_steps", "2"]
PREDICTION += ["--trainer.logger", "false", "--trainer.enable_model_summary", "false"]


@pytest.fixture(scope="module")
def predicted(
    run: Path, zoo_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """A finished run, and the checkpoint that its encoder is from, which is gone."""
    folder = tmp_path_factory.mktemp("prediction")
    pretrained = folder / "pretrained.ckpt"
    shutil.copy(run / "checkpoints/best.ckpt", pretrained)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        words = ["--model.pretrained", pretrained.name, "--run", "run"]  # paths from here
        assert main(["fit", *PREDICTION, *words, "--data.zoo", str(zoo_path)]) == 0
    pretrained.unlink()
    return folder / "run", str(pretrained)


@pytest.mark.parametrize("command", ["the same", "run", "config"])
def test_a_prediction_goes_on_without_the_checkpoint_its_encoder_is_from(
    predicted: tuple[Path, str], command: str, zoo_path: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(predicted[0], tmp_path / "run")
    same = ["--run", str(folder), *PREDICTION, "--model.pretrained", predicted[1]]
    args = {
        "the same": [*same, "--data.zoo", str(zoo_path)],
        "run": ["--run", str(folder)],
        "config": ["--config", str(folder / "config.yaml")],
    }[command]
    assert main(["fit", *args, "--ckpt_path", "last", "--trainer.max_steps", "4"]) == 0
    checkpoint = load(folder / "checkpoints" / "last.ckpt")
    assert checkpoint["global_step"] == 4
    assert checkpoint["wsrl"]["pretrained"] == predicted[1]
    config = yaml.safe_load((folder / "config.yaml").read_text())["model"]["init_args"]
    assert config["pretrained"] == predicted[1]


def test_an_encoder_that_has_seen_what_is_held_out_is_pointed_out(
    run: Path, zoo_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = load(run / "checkpoints/best.ckpt")
    del bare["datamodule_hyper_parameters"]  # as Lightning writes it without a datamodule
    torch.save(bare, tmp_path / "bare.ckpt")
    words = [*PREDICTION, "--data.zoo", str(zoo_path), "--run", str(tmp_path / "run")]
    for pretrained, split_seed, said in (
        (run / "checkpoints/best.ckpt", "1", False),
        (run / "checkpoints/best.ckpt", "5", True),
        (tmp_path / "bare.ckpt", "5", False),
    ):
        capsys.readouterr()
        given = ["--model.pretrained", str(pretrained), "--data.split_seed", split_seed]
        assert main(["fit", *words, *given, "--overwrite"]) == 0
        error = capsys.readouterr().err
        assert ("has seen tasks that are held out" in error) == said
        assert ("data.split_seed: 5 given, 1 in the checkpoint" in error) == said


def test_a_run_that_is_refused_leaves_its_folder_free(
    zoo_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = [*PREDICTION, "--data.zoo", str(zoo_path), "--run", str(tmp_path / "run")]
    args += ["--model.encoder", "LayerwiseStatistics"]
    assert "needs `pretrained`" in failed(capsys, "fit", *args)
    assert main(["fit", *args, "--model.mode", "scratch"]) == 0


def test_fast_dev_run_leaves_no_run(
    config: Path, zoo_path: Path, run: Path, tmp_path: Path
) -> None:
    quick = ["--trainer.fast_dev_run", "1"]
    assert fit(config, zoo_path, "--run", str(tmp_path / "run"), *quick) == 0
    assert not (tmp_path / "run").exists()
    assert fit(config, zoo_path, "--run", str(run), *quick) == 0  # nor does it mind another


BUILD = "zoo build --out NEW --problem"
FIT = "fit --config CONFIG --data.zoo ZOO --run NEW"
FROM = "--ckpt_path RUN/checkpoints/last.ckpt"
REFUSED = {
    "zoo build --out NEW": "say which --problem: context_integration, ",
    f"{BUILD} nope": "unknown problem 'nope'; choose one of context_integration",
    f"{BUILD} formal_languages --cell nope": "unknown cell 'nope'; choose one of gru, ",
    f"{BUILD} tiled_images --weight_decay 0.7": "weight_decay",  # drawn
    f"{BUILD} tiled_images --source mnist": "cannot read the MNIST images at",
    f"{FIT} --model.encoder Nope": "unknown encoder 'Nope'; choose one of ConstantEmbedding, ",
    f"{FIT} --model Nope": "unknown model 'Nope'; choose one of EmulationModule, Prediction",
    f"{FIT} --model.encoder FlattenedWeights --model.encoder.probing_length 3": (
        "model.encoder: Option 'probing_length' is not accepted"
    ),
    f"{FIT} --model.loss nope": "total_variation",
    f"{FIT} --data.zoo nope": "no zoo at nope",
    f"{FIT} --data.sequences_per_rnn 99": "sequences_per_rnn must be at most 8",
    f"{FIT} --config nope.yaml": "no config file at nope.yaml",
    f"{FIT} --ckpt_path nope.ckpt": "no checkpoint at nope.ckpt",
    f"{FIT} --run RUN": "--overwrite",  # which holds one
    "fit --model PredictionModule --data.zoo ZOO --run NEW --model.target nope "
    "--model.pretrained RUN/checkpoints/best.ckpt": "choose one of task, performance, step",
    "fit": "--run DIR",
    "fit --run NEW --data.zoo ZOO --model.encoder Spectral": "--model: choose one of Emulation",
    f"test --ckpt_path {__file__}": "cannot be read as a checkpoint",
    f"test {FROM} --model.encoder FlattenedWeights": "FlattenedWeights",
    f"fit {FROM} --model.encoder.probing_length 4": "probing_length: 4 given, 3",
    f"test {FROM} --run NEW --data.zoo OTHER": "lstm 1x4, 4 inputs, 4 outputs",
    f"test --run TASK --ckpt_path best --model.pretrained {FROM.split()[1]}": "pretrained.ckpt",
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_cannot_be_is_one_error_before_any_work(
    line: str,
    tmp_path: Path,
    config: Path,
    zoo_path: Path,
    other_zoo: Path,
    run: Path,
    predicted: tuple[Path, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WSRL_IMAGES", str(tmp_path))
    places = {"NEW": tmp_path / "new", "CONFIG": config, "ZOO": zoo_path, "OTHER": other_zoo}
    places |= {"RUN": run, "TASK": predicted[0]}
    words = [re.sub(r"^[A-Z]{3,}", lambda n: str(places[n[0]]), word) for word in line.split()]
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert REFUSED[line] in failed(capsys, *words)
    assert not list((tmp_path / "new").glob("*"))
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_image_classifiers_are_emulated(
    digits: Path, tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = yaml.safe_load(config.read_text())
    del settings["model"]["init_args"]["encoder"]["init_args"]["probing_length"]
    Path("open_length.yaml").write_text(yaml.safe_dump(settings))
    args = ["--run", "emulation", "--model.figures", "true", "--trainer.logger", "true"]
    args += ["--model.clone_sequences", "40"]
    assert fit(Path("open_length.yaml"), digits, *args) == 0
    record = load(Path("emulation/checkpoints/best.ckpt"))["hyper_parameters"]["encoder"]
    assert record["init_args"]["probing_length"] == 17
    assert main(["test", "--run", "emulation", "--ckpt_path", "best"]) == 0
    metrics = json.loads(Path("emulation/test.json").read_text())["metrics"]
    assert 0 < metrics["ood/original_score"] <= 1  # accuracy on validation images


def test_what_was_not_split_is_predicted_once(
    config: Path, zoo_path: Path, tmp_path: Path, zoo: wsrl.zoos.Zoo
) -> None:
    folder = str(tmp_path / "run")
    assert fit(config, zoo_path, "--run", folder, "--data.split_by", "nothing") == 0
    assert main(["predict", "--run", folder, "--ckpt_path", "best"]) == 0
    found = read_tensors(tmp_path / "run/embeddings.safetensors")
    assert torch.equal(found["row"], torch.arange(len(zoo)))


def test_compiled_training_gives_the_same_model(
    config: Path, zoo_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All is traced and differentiated as for the default backend, but no machine code is made."""
    compiled_parts, compile_part = set(), torch.nn.Module.compile

    def compile_quickly(part: torch.nn.Module, mode: str) -> None:
        compiled_parts.add((type(part).__name__, mode))
        compile_part(part, backend="aot_eager")

    monkeypatch.setattr(torch.nn.Module, "compile", compile_quickly)
    states = []
    small = ["--model.encoder", "FlattenedWeights", "--model.encoder.depth", "1"]
    small += ["--trainer.limit_val_batches", "0"]  # compiled for its own shapes otherwise
    # Of a gradient near zero AdamW makes a whole step by its sign, which rounding may decide.
    small += ["--trainer.precision", "64-true"]
    for number, options in enumerate([[], ["--compile", "default"], ["--data.seed", "1"]]):
        folder = tmp_path / str(number)
        assert fit(config, zoo_path, "--run", str(folder), *small, *options) == 0
        state = load(folder / "checkpoints" / "last.ckpt")["state_dict"]
        states.append(torch.cat([value.flatten() for value in state.values()]))
    assert {("FlattenedWeights", "default"), ("ConditionedEmulator", "default")} <= compiled_parts
    eager, compiled, other = states
    torch.testing.assert_close(compiled, eager, rtol=0, atol=1e-9)
    assert not torch.allclose(other, eager, rtol=0, atol=1e-4)


def test_precision_of_products_is_an_option(config: Path, zoo_path: Path, tmp_path: Path) -> None:
    try:
        run = ("--run", str(tmp_path), "--trainer.fast_dev_run", "true")
        assert fit(config, zoo_path, *run, "--float32_matmul_precision", "high") == 0
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")
