"""A checkpoint that unpickles well may still say anything: it chooses nothing that is run."""

import importlib
import inspect
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch  # noqa: F401 here, since its log keeps the stderr it finds at import
import pytest
import torch
import yaml
from torch import nn

from wsrl.cli import main
from wsrl.data import ZooDataModule
from wsrl.studies.training.checkpoints import NOT_RECORDED
from wsrl.torch_files import read_torch_file
from wsrl.zoos import open_zoo

CONFIG = {
    "model": {
        "class_path": "wsrl.EmulationModule",
        "init_args": {"emulator_width": 4, "emulator_layers": 1, "clone_rnns": 0},
    },
    "data": {"batch_size": 4, "steps_per_epoch": 1, "split_by": "nothing"},
    "trainer": {
        "max_steps": 1,
        "limit_val_batches": 0,
        "logger": False,
        "enable_model_summary": False,
    },
}
OWN = """
import wsrl

class Sums(wsrl.Encoder):
    def __init__(self, spec: wsrl.RNNSpec, embedding_dim: int = 16):
        super().__init__(spec, embedding_dim)
        self.scale = __import__("torch").nn.Parameter(__import__("torch").ones(1))

    def forward(self, weights):
        total = self.scale * weights.flat.sum(1, keepdim=True)
        return total.expand(-1, self.embedding_dim)
"""


NAMED = ["--import", "own_encoders"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, zoo_path: Path) -> Path:
    """A folder that one works in: an encoder of one's own, and a run with it."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "own_encoders.py").write_text(OWN)
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    importlib.invalidate_caches()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", [*sys.path, str(folder)])
        options = ["--model.encoder", "own_encoders.Sums", "--data.zoo", str(zoo_path)]
        assert main(["fit", "--config", "config.yaml", "--run", "run", *options]) == 0
    sys.modules.pop("own_encoders")  # the next process has not imported it
    return folder


@pytest.fixture
def here(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, with a script beside that writes a file when it is imported."""
    copy = Path(shutil.copytree(folder, tmp_path / "work"))
    (copy / "script.py").write_text(
        "open('ran', 'w')\nclass Sums: pass\nclass EmulationModule: pass\n"
    )
    monkeypatch.chdir(copy)
    monkeypatch.setattr(sys, "path", [*sys.path, str(copy)])
    importlib.invalidate_caches()
    sys.modules.pop("own_encoders", None)
    return copy


def test_a_run_with_ones_own_encoder_is_tested(here: Path) -> None:
    """The negative partner: the command line names the encoder, and it is one."""
    assert main(["test", "--run", "run", "--ckpt_path", "last", *NAMED]) == 0


def test_an_encoder_that_nobody_named_is_not_imported(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["test", "--run", "run", "--ckpt_path", "last"]) == 1
    message = capsys.readouterr().err
    assert "no encoder at 'own_encoders.Sums' is registered or installed" in message
    assert "add --import own_encoders" in message
    assert "own_encoders" not in sys.modules
    named = ["--model.encoder", "own_encoders.Sums", "--config", "run/config.yaml"]
    assert main(["test", "--run", "run", "--ckpt_path", "last", *named[:2]]) == 0
    del sys.modules["own_encoders"]
    assert main(["test", "--run", "run", "--ckpt_path", "last", *named[2:]]) == 0


def encoder(path: str, **options: Any) -> Callable[[dict[str, Any]], object]:
    config = {"class_path": path, "init_args": options}
    return lambda content: content["hyper_parameters"].update(encoder=config)


def model(path: str) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["wsrl"].update(class_path=path)


def bomb() -> list[Any]:
    """A short file that says 10^30 things."""
    inside: list[Any] = ["!"] * 10
    for _ in range(30):
        inside = [inside] * 10
    return inside


def endless() -> list[Any]:
    inside: list[Any] = []
    inside.append(inside)
    return inside


def option(**options: Any) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["hyper_parameters"].update(options)


CHANGES = {
    "a script as encoder": encoder("script.Sums"),
    "a module that does something": encoder("antigravity.webbrowser"),
    "no name": encoder("no\0such.Encoder"),
    "another class": encoder("torch.nn.Linear"),
    "a function": encoder("os.system", command="touch ran"),
    "huge RNNs": lambda content: content["hyper_parameters"]["spec"].update(num_layers=10**12),
    "half a spec": option(spec={"cell": "lstm"}),
    "a function by name": option(encoder="os.system"),
    "a script as model": model("script.EmulationModule"),
    "a datamodule": model("wsrl.data.datamodule.ZooDataModule"),
    "no path": lambda content: content["wsrl"].update(class_path=["os.system"]),
    "more than can be read": option(hook=bomb()),
    "what holds itself": option(hook=endless()),
    "no such option": option(hook="ls"),
    "a tensor": option(emulator_width=torch.zeros(3)),
    "no settings": lambda content: content.update(hyper_parameters=[1]),
    "a callback": lambda content: content["datamodule_hyper_parameters"].update(
        zoo={"class_path": "script.Sums"}
    ),
    "a folder to copy to": lambda content: content["datamodule_hyper_parameters"].update(
        stage_to="copies"
    ),
    "an optimiser of a script": option(optimizer={"class_path": "script.Sums"}),
    "a program as schedule": option(lr_scheduler={"class_path": "subprocess.Popen"}),
    "an optimiser without its options": option(
        optimizer={"class_path": "torch.optim.SGD", "init_args": [1]}
    ),
    "a head of a script": lambda content: (
        content["wsrl"].update(class_path="wsrl.tasks.prediction.PredictionModule")
        or content["hyper_parameters"].update(head={"class_path": "script.Sums"})
    ),
    "no weights": lambda content: content.pop("state_dict"),
    "weights that are text": lambda content: content["state_dict"].update({"encoder.scale": "1"}),
    "another Lightning": lambda content: content.update({"pytorch-lightning_version": "0.7.1"}),
    "nothing of ours": lambda content: content.pop("wsrl"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_checkpoint_says_is_one_error(
    change: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = here / "run/checkpoints/last.ckpt"
    content = read_torch_file(path)
    CHANGES[change](content)
    torch.save(content, path)
    before = sorted(here.rglob("*"))
    assert main(["test", "--ckpt_path", str(path), *NAMED]) in (1, 2)
    message = capsys.readouterr().err
    assert message.startswith("wsrl test: error: ")
    assert "Traceback" not in message
    after = [file for file in sorted(here.rglob("*")) if "__pycache__" not in file.parts]
    assert after == [file for file in before if "__pycache__" not in file.parts]
    assert not {"script", "antigravity"} & {*sys.modules}


def test_an_unknown_name_is_no_matter_of_trust(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = here / "run/checkpoints/last.ckpt"
    content = read_torch_file(path)
    content["hyper_parameters"]["spec"]["cell"] = "my_cell"
    torch.save(content, path)
    assert main(["test", "--ckpt_path", str(path), *NAMED]) == 1
    message = capsys.readouterr().err
    assert "last.ckpt: unknown cell 'my_cell'; choose one of gru, " in message
    assert "(--import MODULE)" in message
    assert "trusted" not in message


def test_the_settings_that_a_run_records_are_all_that_it_takes(zoo_path: Path) -> None:
    """A new option of the data is either recorded or not taken from a checkpoint."""
    recorded = set(ZooDataModule(str(zoo_path)).hparams)
    assert recorded == inspect.signature(ZooDataModule).parameters.keys() - set(NOT_RECORDED)


COMMANDS = {
    "test": ["test", "--ckpt_path", "CKPT"],
    "predict": ["predict", "--ckpt_path", "CKPT"],
    "fit": ["fit", "--ckpt_path", "CKPT", "--trainer.max_steps", "2"],
    "inspect": ["inspect", "own.pt", "--ckpt", "CKPT"],
    "search": ["search", "own.pt", "--ckpt", "CKPT"],
    "pretrained": [
        *("fit", "--run", "new", "--model", "wsrl.PredictionModule", "--model.target"),
        *("performance", "--data.zoo", "ZOO", "--model.pretrained", "CKPT"),
        *("--data.split_by", "nothing", "--trainer.max_steps", "1", "--trainer.logger", "false"),
        *("--data.batch_size", "4", "--data.steps_per_epoch", "1"),
    ],
}


def run(command: str, here: Path, zoo: Path) -> int:
    words = {"CKPT": str(here / "run/checkpoints/last.ckpt"), "ZOO": str(zoo)}
    return main([*NAMED, *(words.get(word, word) for word in COMMANDS[command])])


@pytest.fixture
def own(here: Path, zoo_path: Path) -> Path:
    """The same folder with an RNN of one's own."""
    spec = open_zoo(zoo_path).spec
    lstm = nn.LSTM(spec.input_size, spec.hidden_size, spec.num_layers)
    readout = nn.Linear(spec.hidden_size, spec.output_size)
    torch.save(nn.ModuleDict({"rnn": lstm, "out": readout}).state_dict(), here / "own.pt")
    return here


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_what_did_not_change(command: str, own: Path, zoo_path: Path) -> None:
    assert run(command, own, zoo_path) == 0


ENCODER_CHANGES = {
    "an option less": ("embedding_dim: int = 16", "size: int = 16"),
    "no spec": ("spec: wsrl.RNNSpec, ", ""),
    "a scalar": ("ones(1)", "ones(())"),
    "another name": ("self.scale", "self.factor"),
    "a module that ends": ("import wsrl", "import wsrl\nraise SystemExit(3)"),
    "another class": ("class Sums", "class Products"),
    "no encoder": ("(wsrl.Encoder)", ""),
    "a constructor that fails": ("self.scale =", "self.scale = spec.nothing ="),
}


@pytest.mark.parametrize(
    ("change", "command"),
    [("another name", command) for command in COMMANDS]
    + [(change, "test") for change in ENCODER_CHANGES if change != "another name"],
)
def test_an_encoder_of_ones_own_that_changed_is_one_error(
    change: str, command: str, own: Path, zoo_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = ENCODER_CHANGES[change]
    assert before in OWN
    text = OWN.replace(before, after)
    (own / "own_encoders.py").write_text(text)
    capsys.readouterr()
    assert run(command, own, zoo_path) in (1, 2)
    lines = capsys.readouterr().err.splitlines()
    errors = [line for line in lines if line.startswith("wsrl ")]
    assert lines[-1:] == errors
    assert "Traceback" not in errors[0]
    assert "own_encoders" in errors[0] or "model.encoder" in errors[0] or "Sums" in errors[0]
