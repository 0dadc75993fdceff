"""Files may be anybody's: whatever is in them, nothing is run, written or allocated for it."""

from __future__ import annotations

import importlib
import json
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch  # noqa: F401 here, since its log keeps the stderr it finds at import
import numpy as np
import pytest
import torch
import yaml
from torch import nn

from wsrl.cli import main
from wsrl.tasks import EmulationModule, PredictionModule
from wsrl.torch_files import read_torch_file
from wsrl.zoos import Manifest, ZooError, open_zoo, verify_zoo

OTHERS = {"cell": "gru", "hidden_size": 3}


class Payload:
    """Unpickling this writes a file into the folder one works in."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch ran",)


def as_torch_saves(content: object, path: Path) -> None:
    torch.save(content, path)


def as_torch_saved_once(content: object, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def as_a_bare_pickle(content: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(content))


def as_the_oldest_tar(content: object, path: Path) -> None:
    part = path.with_name("part")
    part.write_bytes(pickle.dumps(content))
    with tarfile.open(path, "w") as archive:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            archive.add(part, name)
    part.unlink()


FORMATS = [as_torch_saves, as_torch_saved_once, as_a_bare_pickle, as_the_oldest_tar]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that one works in, in which nothing must come to be."""
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # no flag turns it off
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    importlib.invalidate_caches()
    return folder


def refused(args: list[str], capsys: pytest.CaptureFixture[str], named: object) -> str:
    """Run a command that must fail with one message that names a file."""
    before = sorted(Path().rglob("*"))
    status = main(args)
    output = capsys.readouterr()
    assert status == 1, output
    assert output.err.startswith(f"wsrl {args[0]}")
    assert str(named) in output.err
    assert "Traceback" not in output.err
    assert sorted(Path().rglob("*")) == before, "something ran, or was written"
    return output.err


def commands(path: Path, zoo: Path) -> list[list[str]]:
    emulation = {"class_path": "wsrl.PredictionModule", "init_args": {"target": "task"}}
    config = yaml.safe_dump({"model": emulation, "data": {"zoo": str(zoo)}})
    (path.parent / "config.yaml").write_text(config)
    given = ["--ckpt_path", str(path)]
    pretrained = ["--config", str(path.parent / "config.yaml"), "--run", "run"]
    return [
        ["fit", *given],
        ["validate", *given],
        ["test", *given],
        ["predict", *given],
        ["fit", *pretrained, "--model.pretrained", str(path)],
    ]


@pytest.mark.parametrize("write", FORMATS)
def test_a_checkpoint_with_code_in_it_runs_nothing(
    write: Callable[[object, Path], None],
    here: Path,
    tmp_path: Path,
    zoo_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bad = tmp_path / "best.ckpt"
    write({"state_dict": {}, "hyper_parameters": Payload(), "wsrl": Payload()}, bad)
    for args in commands(bad, zoo_path):
        refused(args, capsys, bad)
    for module in (EmulationModule, PredictionModule):
        with pytest.raises(ValueError, match="nothing in a file is ever run"):
            module.load_from_checkpoint(bad)
    assert list(here.iterdir()) == []


def test_the_payload_would_have_run(here: Path, tmp_path: Path) -> None:
    torch.save(Payload(), tmp_path / "bad.ckpt")
    torch.load(tmp_path / "bad.ckpt", weights_only=False)
    assert [file.name for file in here.iterdir()] == ["ran"]


@pytest.mark.parametrize("suffix", [".PTH", ".bin", ".safetensors"])
@pytest.mark.parametrize("write", FORMATS)
def test_a_state_dict_with_code_in_it_runs_nothing(
    write: Callable[[object, Path], None],
    suffix: str,
    here: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bad = tmp_path / "models" / f"rnn{suffix}"
    bad.parent.mkdir()
    write(Payload(), bad)
    task = ["--task", "repeat_copy", "--steps", "2", "--dims", "2"]
    refused(["memory", "analyze", str(bad), *task], capsys, bad)
    pack = ["--output_kind", "real", "--inputs", "normal", "--length", "3", "--out", "out"]
    refused(["zoo", "pack", str(bad.parent), *pack], capsys, bad.parent)


def test_arrays_of_objects_are_not_unpickled(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    objects = np.array([Payload()], object)
    models, inputs = tmp_path / "models", tmp_path / "inputs.npy"
    models.mkdir()
    lstm = nn.ModuleDict({"rnn": nn.LSTM(2, 3), "linear": nn.Linear(3, 2)})
    torch.save(lstm.state_dict(), models / "rnn.pt")
    np.save(inputs, objects, allow_pickle=True)
    pack = ["--output_kind", "real", "--inputs", str(inputs), "--out", "out"]
    refused(["zoo", "pack", str(models), *pack], capsys, inputs)
    published = tmp_path / "published"
    published.mkdir()
    for name in ("parameters", "sequences", "logits", "tasks", "num_step_correct"):
        np.save(published / f"{name}.npy", objects, allow_pickle=True)
    for args in (["zoo", "info"], ["zoo", "verify"]):
        refused([*args, str(published)], capsys, published)
    refused(["zoo", "import", str(published), "--out", "out"], capsys, published)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 1000000000000)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -1)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1, 1)}",
        "{'descr': " + "[" * 3000 + "]" * 3000 + ", 'fortran_order': False, 'shape': (1, 1)}",
        "-" * 9000 + "1",
        "__import__('os').system('touch ran')",
    ],
)
def test_an_npy_header_is_not_believed(
    header: str, here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = (header + "\n").encode()
    for name in ("parameters", "sequences", "logits", "tasks", "num_step_correct"):
        file = tmp_path / f"{name}.npy"
        file.write_bytes(b"\x93NUMPY\x01\x00" + len(raw).to_bytes(2, "little") + raw + b"\0" * 16)
    refused(["zoo", "verify", str(tmp_path)], capsys, tmp_path)


def test_an_archive_that_unpacks_to_more_than_it_is(tmp_path: Path) -> None:
    import zipfile

    torch.save({"state_dict": {"a": torch.zeros(1 << 20)}}, tmp_path / "good.ckpt")
    with (
        zipfile.ZipFile(tmp_path / "good.ckpt") as good,
        zipfile.ZipFile(tmp_path / "bad.ckpt", "w", zipfile.ZIP_DEFLATED) as bad,
    ):
        for name in good.namelist():
            bad.writestr(name, good.read(name))
    assert len(read_torch_file(tmp_path / "good.ckpt")["state_dict"]["a"]) == 1 << 20
    with pytest.raises(ValueError, match="unpacks to 4"):
        read_torch_file(tmp_path / "bad.ckpt")


def edited(zoo: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a manifest as somebody would who means harm: without its checksum."""
    content = json.loads((zoo / "manifest.json").read_text())
    content.pop("sha256", None)
    change(content)
    (zoo / "manifest.json").write_text(json.dumps(content))


@pytest.fixture
def bad(zoo_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(zoo_path, tmp_path / "zoo"))


HUGE = 10**12
SETTINGS = {"source": "mnist", "tile_size": 4, "download": True}
LIES: dict[str, Callable[[dict[str, Any]], object]] = {
    "a shard above": lambda m: m["shards"][0].update(file="../x.safetensors"),
    "a shard anywhere": lambda m: m["shards"][0].update(file="/etc/passwd"),
    "a NUL": lambda m: m["shards"][0].update(file="a\0.safetensors"),
    "a shard that is hidden": lambda m: m["shards"][0].update(file=".x.safetensors"),
    "no name": lambda m: m["shards"][0].update(file=3),
    "a shard twice": lambda m: m["shards"].append(m["shards"][0]),
    "another entry": lambda m: m["shards"][0].update(run="ls"),
    "huge rows": lambda m: m["shards"][0].update(rows=HUGE),
    "rows True": lambda m: m["shards"][0].update(rows=True),
    "huge bytes": lambda m: m["shards"][0].update(bytes=HUGE),
    "no digest": lambda m: m["shards"][0].update(sha256=None),
    "huge column": lambda m: m["columns"]["weights"].update(shape=[HUGE]),
    "huge row": lambda m: m["columns"]["outputs"].update(shape=[HUGE, HUGE, 5]),
    "empty row": lambda m: m["columns"]["outputs"].update(shape=[0, HUGE, 5]),
    "dtype": lambda m: m["columns"]["run"].update(dtype="U64"),
    "no columns": lambda m: m.update(columns={}),
    "another column": lambda m: m["columns"].update(more={"dtype": "F64", "shape": [HUGE]}),
    "huge runs": lambda m: m["build"].update(runs=HUGE),
    "huge step": lambda m: m["build"].update(snapshots=[0, 20, 10**30]),
    "many snapshots": lambda m: m["build"].update(snapshots=list(range(10**5))),
    "huge RNNs": lambda m: m["spec"].update(hidden_size=10**9),
    "many layers": lambda m: m["spec"].update(num_layers=10**9),
    "other RNNs": lambda m: m["spec"].update(**OTHERS),
    "a cell to call": lambda m: m["spec"].update(cell=["lstm"]),
    "no such problem": lambda m: m.update(problem="os.system"),
    "no such setting": lambda m: m["problem_settings"].update(command="ls"),
    "huge setting": lambda m: m["problem_settings"].update(max_difference=HUGE),
    "huge length": lambda m: m["problem_settings"].update(length=HUGE, max_difference=HUGE - 1),
    "many strings": lambda m: m["problem_settings"].update(stored_strings=40),
    "a number as text": lambda m: m["problem_settings"].update(length="16"),
    "another problem": lambda m: m.update(problem="tiled_images", problem_settings=SETTINGS),
    "a huge task": lambda m: m.update(
        problem="variable_binding",
        problem_settings={"steps": 2, "dims": 10**11, "tasks": ["repeat_copy"]},
    ),
    "properties that are none": lambda m: m.update(
        problem="packed", problem_settings={"properties": [{"x": 1}]}
    ),
    "strange failures": lambda m: m.update(failed={"__import__('os')": 1}),
    "failed at no step": lambda m: m.update(failed={"3": "4"}),
    "versions": lambda m: m.update(versions={"torch": 3}),
    "complete without a shard": lambda m: m.update(shards=[]),
    "more tokens than 16 bits": lambda m: m["problem_settings"].update(num_tokens=40000),
    "origin": lambda m: m.update(origin="somewhere"),
    "old schema": lambda m: m.update(schema=0),
    "more": lambda m: m.update(hook="ls"),
    "less": lambda m: m.pop("columns"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_manifest_that_lies_is_one_error(
    lie: str, bad: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edited(bad, LIES[lie])
    before = sorted(bad.rglob("*"))
    assert len(refused(["zoo", "verify", str(bad)], capsys, bad)) < 1500
    assert sorted(bad.rglob("*")) == before


def test_settings_that_are_no_part_of_a_zoo_are_refused(bad: Path, here: Path) -> None:
    settings = {"image_folder": str(here), "source": "digits"}
    edited(bad, lambda m: m.update(problem="tiled_images", problem_settings=settings))
    with pytest.raises(ZooError, match="settings that no zoo of tiled_images has: image_folder"):
        _ = open_zoo(bad).problem


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[" * 10**6, "nested too deeply"),
        (b'{"a":' * 10**5 + b"1" + b"}" * 10**5, "nested too deeply"),
        (b"\xff\xfe{}", "no UTF-8"),
        (b"[]", "expected a JSON object"),
        (b"", "damaged"),
        (b'{"schema": 1, "schema": 1}', "a name twice"),
        (b'{"schema": ' + b"9" * 10**5 + b"}", "damaged"),
        (b'{"schema": NaN}', "damaged"),
        (b'{"schema": 1, "' + b"x" * 10**5 + b'": 2}', "damaged"),
    ],
)
def test_json_that_makes_no_manifest(content: bytes, reason: str, bad: Path) -> None:
    (bad / "manifest.json").write_bytes(content)
    with pytest.raises(ZooError, match=reason) as error:
        open_zoo(bad)
    assert "manifest.json" in str(error.value)
    assert len(str(error.value)) < 1500


def test_a_manifest_that_is_no_file(bad: Path) -> None:
    file = bad / "manifest.json"
    file.unlink()
    for make in (os.mkfifo, os.mkdir):
        make(file)
        with pytest.raises(ZooError, match=r"holds no manifest\.json"):
            open_zoo(bad)  # and does not wait for anybody to write into it
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    with file.open("wb") as sparse:
        sparse.truncate(10**10)
    with pytest.raises(ZooError, match=r"manifest\.json is damaged: it has 10000000000 bytes"):
        open_zoo(bad)


def test_shards_that_are_no_files_of_the_zoo(bad: Path, tmp_path: Path) -> None:
    shard = bad / "shards/00001.safetensors"
    outside = Path(shutil.copy(shard, tmp_path / "elsewhere.safetensors"))
    inside = Path(shutil.copy(shard, bad / "shards/kept"))
    for place, message in (
        (outside, r"00001\.safetensors is a link that leads out"),
        ("/dev/zero", r"00001\.safetensors"),
        ("/proc/self/mem", r"00001\.safetensors"),
    ):
        shard.unlink()
        shard.symlink_to(place)
        with pytest.raises(ZooError, match=message):
            open_zoo(bad)
    shard.unlink()
    shard.symlink_to(inside)
    assert len(open_zoo(bad)) == 72  # a link that stays is none of our business
    shard.unlink()
    os.mkfifo(shard)
    with pytest.raises(ZooError, match=r"00001\.safetensors is missing"):
        open_zoo(bad)
    shard.unlink()
    inside.rename(shard)
    (bad / "shards").rename(tmp_path / "shards")
    (bad / "shards").symlink_to(tmp_path / "shards")
    with pytest.raises(ZooError, match="leads out"):
        open_zoo(bad)


def header(shapes: dict[str, Any]) -> bytes:
    raw = json.dumps(shapes).encode()
    return len(raw).to_bytes(8, "little") + raw


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 8,
        (10**12).to_bytes(8, "little") + b"{}",
        header({"run": {"dtype": "I64", "shape": [10**12], "data_offsets": [0, 8 * 10**12]}}),
        header({"run": {"dtype": "I64", "shape": [2**62, 4], "data_offsets": [0, 0]}}),
        header({"run": {"dtype": "I64", "shape": [-1], "data_offsets": [0, 8]}}) + b"\0" * 8,
        header({"run": {"dtype": "I64", "shape": [1], "data_offsets": [8, 0]}}) + b"\0" * 8,
        header({"run": {"dtype": "O", "shape": [1], "data_offsets": [0, 8]}}) + b"\0" * 8,
        header({"run": {"dtype": "F8_E8M0", "shape": [8], "data_offsets": [0, 8]}}) + b"\0" * 8,
        header({"run": {"dtype": "F4", "shape": [16], "data_offsets": [0, 8]}}) + b"\0" * 8,
        (10**5).to_bytes(8, "little") + b'{"a":' * 20000,
    ],
)
def test_a_shard_that_lies_about_itself(content: bytes, bad: Path) -> None:
    (bad / "shards/00001.safetensors").write_bytes(content)
    size = max(1, len(content))
    edited(bad, lambda m: m["shards"][1].update(bytes=size))
    with pytest.raises(ZooError, match=r"00001\.safetensors"):
        open_zoo(bad)


def test_tokens_that_are_none_are_one_error(bad: Path) -> None:
    from wsrl.zoos.files import checksum
    from wsrl.zoos.tensors import read_tensors, write_tensors

    shard = bad / "shards/00001.safetensors"
    tensors = {name: tensor.clone() for name, tensor in read_tensors(shard).items()}
    tensors["sequences"][3, 1, 4] = 31000
    write_tensors(shard, tensors, {})
    told = {"bytes": shard.stat().st_size, "sha256": checksum(shard)}
    edited(bad, lambda m: m["shards"][1].update(told))
    with pytest.raises(ValueError, match=r"tokens outside of 0\.\.4"):
        verify_zoo(bad)


LIMITED = """
import resource, sys
import torch, wsrl
from wsrl.zoos import ZooError, verify_zoo
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20),) * 2)
try:
    bytearray(80 << 20)
except MemoryError:
    print("limited")
for zoo in sys.argv[1:]:
    try:
        verify_zoo(zoo)
    except ZooError as error:
        assert zoo in str(error), error
    else:
        raise AssertionError(zoo)
print("ended")
"""


def test_nothing_big_is_allocated_for_a_manifest(bad: Path, tmp_path: Path) -> None:
    """All of them in a process that may have 64 MiB more than it has after its imports."""
    lies = ["huge rows", "huge column", "huge row", "huge runs", "many layers", "huge RNNs"]
    lies += ["huge setting", "huge length", "a huge task", "another column"]
    zoos = []
    for lie in lies:
        zoo = Path(shutil.copytree(bad, tmp_path / lie.replace(" ", "-")))
        edited(zoo, LIES[lie])
        zoos.append(str(zoo))
    result = subprocess.run([sys.executable, "-c", LIMITED, *zoos], capture_output=True, text=True)
    assert result.stdout == "limited\nended\n", result.stderr


def test_a_published_zoo_that_says_strange_things(
    here: Path, zoo_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from wsrl.zoos import export_published

    published = tmp_path / "published"
    export_published(zoo_path, published)
    for text in (
        "[" * 10**5,
        '{"rnn_num_layers": 1000000000}',
        '{"rnn_hidden_size": 1000000000000}',
        '{"max_n": true}',
        '{"max_difference": 1000000000000}',
        '{"num_tokens": 3, "num_tokens": 3}',
    ):
        (published / "args.json").write_text(text)
        refused(["zoo", "info", str(published)], capsys, published)


def test_an_imported_zoo_chooses_neither_what_nor_how_much_is_exported(
    here: Path, zoo_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from wsrl.zoos import export_published, import_published

    export_published(zoo_path, tmp_path / "published")
    zoo = tmp_path / "imported"
    manifest = import_published(tmp_path / "published", zoo, quiet=True)
    sound = manifest.source["headers"]["tasks"]
    export = ["zoo", "export", str(zoo), "--out", "out"]
    for header in (
        sound.replace("(72", "(10000000000000000"),
        sound.replace("False", "True").replace("(72", "(1000000000000"),
        sound.replace("<i8", "|O"),
        sound + "more",
        "\u2603",
        None,
    ):
        edited(zoo, lambda m, h=header: m["source"]["headers"].update(tasks=h))
        refused(export, capsys, "tasks.npy")
    edited(zoo, lambda m: m["source"].update(headers=[]))
    refused(export, capsys, zoo)
    edited(zoo, lambda m: m["source"].update(headers=manifest.source["headers"], arguments=3))
    refused(export, capsys, zoo)


def test_a_manifest_as_we_write_it_is_believed(zoo_path: Path) -> None:
    """The negative partner of all of the above."""
    assert Manifest.read(zoo_path).complete
    assert verify_zoo(zoo_path).snapshots == 72
