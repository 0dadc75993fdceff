"""Published zoos: opened as they are, imported, exported byte for byte, refused where wrong."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.zoos.building import contents
from wsrl.cli import main
from wsrl.data import ZooDataModule
from wsrl.jobs import locked
from wsrl.problems import FormalLanguages
from wsrl.rnn import RNNWeights, run_population
from wsrl.zoos import (
    BuildSettings,
    Manifest,
    PublishedHints,
    Zoo,
    ZooError,
    build_zoo,
    export_published,
    import_published,
    making,
    open_published,
    open_zoo,
    shards,
    verify_zoo,
)
from wsrl.zoos.folder import open_or_create
from wsrl.zoos.published import exchange
from wsrl.zoos.published.reading import find_spec
from wsrl.zoos.soundness import ROUNDED_INPUTS

DATA = Path(os.environ.get("WSRL_DATA", Path(__file__).parents[3] / "shared" / "data"))
STEPS = (0, 10, 20)
RUNS, HIDDEN, LAYERS, STORED = 8, 5, 2, 6
ERRORS = {"formal_languages": 0.02, "sequential_mnist": 0.1}
"""Largest output errors of the samples: what float16 storage makes of them, and little more."""

Edit = Callable[[NDArray[Any]], NDArray[Any]]


def sample(name: str) -> Path:
    folder = DATA / "official" / name
    if not folder.is_dir():
        pytest.skip(f"no official sample at {folder} (set WSRL_DATA)")
    return folder


def run_modules(inputs: Tensor, outputs: int) -> tuple[NDArray[Any], Tensor]:
    """Run a new ``nn.LSTM`` for each of ``inputs (n, S, T, I)``: flat parameters, outputs."""
    flat, results = [], []
    with torch.no_grad():
        for batch in inputs:
            rnn = nn.LSTM(inputs.shape[-1], HIDDEN, LAYERS, batch_first=True)
            linear = nn.Linear(HIDDEN, outputs)
            parameters = [2 * p for module in (rnn, linear) for p in module.parameters()]
            for p, value in zip([*rnn.parameters(), *linear.parameters()], parameters, strict=True):
                p.copy_(value)
            flat.append(torch.cat([p.flatten() for p in parameters]))
            results.append(linear(rnn(batch)[0]))
    return torch.stack(flat).numpy(), torch.stack(results)


def labels() -> NDArray[np.int64]:
    return np.stack([np.repeat(np.arange(RUNS), len(STEPS)), np.tile(STEPS, RUNS)], 1)


def write_languages(folder: Path, tokens: int = 3) -> Path:
    """Write a zoo of languages in the published format, without ``args.json``."""
    rng, rows, length = np.random.default_rng(0), RUNS * len(STEPS), 3 * tokens + 2
    sequences = rng.integers(0, tokens + 2, (rows, STORED, length), dtype=np.int16)
    sequences[:, :, 0] = tokens
    inputs = nn.functional.one_hot(torch.from_numpy(sequences).long(), tokens + 2).float()
    parameters, outputs = run_modules(inputs[:, :, :-1], tokens + 2)
    sequences[:, 0, 0] = tokens + 1  # as in published files: a string without EOS has one here
    tasks = np.stack([np.zeros(RUNS), np.arange(RUNS) % 5 - 2, np.arange(RUNS) // 5], 1)
    accepted = rng.integers(0, 1001, (rows, 1))
    return save(
        folder,
        parameters=parameters,
        sequences=sequences,
        logits=outputs.log_softmax(-1).half().numpy(),
        tasks=np.repeat(tasks[:, :tokens], len(STEPS), 0).astype(np.int64),
        num_step_correct=np.concatenate([labels(), accepted], 1),
    )


def write_images(folder: Path) -> Path:
    """Write a zoo of 8 x 8 images in the published format, with ``args.json``."""
    rng, rows = np.random.default_rng(0), RUNS * len(STEPS)
    sequences = rng.standard_normal((rows, STORED, 17, 4), dtype=np.float32)
    parameters, outputs = run_modules(torch.from_numpy(sequences), 10)
    numbers = np.concatenate([rng.random((rows, 3)), np.full((rows, 1), 0.01)], 1)
    save(
        folder,
        parameters=parameters,
        sequences=sequences.astype(np.float16),
        logits=outputs.half().numpy(),
        tasks=np.repeat(rng.random((RUNS, 1)) * 360, len(STEPS), 0),
        num_step=labels(),
        accuracy_losses=numbers,
    )
    arguments = {"tile_size": 2, "rnn_hidden_size": HIDDEN, "rnn_num_layers": LAYERS}
    (folder / "args.json").write_text(json.dumps(arguments, indent=1) + "\r\n")
    return folder


def save(folder: Path, **arrays: NDArray[Any]) -> Path:
    folder.mkdir()
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return folder


def change(folder: Path, name: str, edit: Edit) -> None:
    path = folder / f"{name}.npy"
    np.save(path, edit(np.load(path)))


WRITERS = {"languages": write_languages, "images": write_images}


@pytest.fixture
def languages(tmp_path: Path) -> Path:
    return write_languages(tmp_path / "languages")


@pytest.fixture(params=WRITERS)
def published(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A small published zoo of each kind; a test may damage it."""
    return WRITERS[request.param](tmp_path / "published")


# The samples that the official scripts wrote


@pytest.mark.parametrize("name", ERRORS)
def test_samples_import_verify_and_export_bit_for_bit(name: str, tmp_path: Path) -> None:
    source, zoo, out = sample(name), tmp_path / "zoo", tmp_path / "out"
    assert main(["zoo", "import", str(source), "--out", str(zoo), "--quiet", "true"]) == 0
    error = verify_zoo(zoo).largest_error
    assert 0 < error < ERRORS[name]
    assert verify_zoo(source).largest_error == error
    command = ["zoo", "export", str(zoo), "--format", "official", "--out", str(out)]
    assert main(command) == 0
    assert contents(out) == contents(source)


def swap_gates(flat: NDArray[Any], spec: Any, gates: tuple[int, int]) -> NDArray[Any]:
    order = list(range(4))
    order[gates[0]], order[gates[1]] = order[gates[1]], order[gates[0]]
    for tensor in spec.tensors:
        if tensor.gates == 4:
            at = slice(tensor.offset, tensor.offset + tensor.numel)
            blocks = flat[:, at].reshape(len(flat), 4, -1)
            flat[:, at] = blocks[:, order].reshape(len(flat), -1)
    return flat


def test_the_tolerance_of_rounded_inputs_is_what_its_docstring_says() -> None:
    zoo = open_published(sample("sequential_mnist"))
    stored = zoo.read("outputs").float().log_softmax(-1)

    def errors(flat: Tensor) -> Tensor:
        inputs = zoo.problem.encode(zoo.read("sequences"))
        outputs = run_population(RNNWeights(flat, zoo.spec), inputs)[0].log_softmax(-1)
        error = (outputs - stored).square().flatten(1).mean(1).sqrt()
        return error / outputs.flatten(1).std(1, correction=0)

    flat, trained = zoo.read("weights"), zoo.read("step") > 0
    assert errors(flat).max() < 0.002
    for gates in ((0, 3), (1, 3)):  # the two that change least
        swapped = torch.from_numpy(swap_gates(flat.numpy().copy(), zoo.spec, gates))
        assert errors(swapped)[trained].min() > 0.39
        assert errors(swapped)[~trained].max() < ROUNDED_INPUTS < 0.39  # why trained ones count


# Small zoos that the tests write


def test_a_published_zoo_is_the_same_zoo_opened_and_imported(
    published: Path, tmp_path: Path
) -> None:
    manifest = import_published(published, tmp_path / "zoo", rows_per_shard=7, quiet=True)
    assert manifest.complete
    assert [shard.rows for shard in manifest.shards] == [7, 7, 7, 3]
    direct, zoo = open_zoo(published), open_zoo(tmp_path / "zoo")
    assert zoo.problem.settings() == direct.problem.settings()
    assert str(direct.spec) == str(zoo.spec)
    assert (direct.spec.hidden_size, direct.spec.num_layers) == (HIDDEN, LAYERS)
    assert zoo.steps == direct.steps == STEPS
    assert zoo.manifest.snapshot_updates == direct.manifest.snapshot_updates == "n + 1"
    assert zoo.manifest.origin == "official"
    assert zoo.columns == direct.columns
    for name in zoo.columns:
        assert torch.equal(zoo.read(name), direct.read(name)), name
    assert verify_zoo(published) == verify_zoo(tmp_path / "zoo")


NAMES = {
    "languages": ("num_step_correct", ("run", "step", "accepted")),
    "images": (
        "accuracy_losses",
        ("performance", "training_loss", "validation_loss", "weight_decay"),
    ),
}
FOUND: dict[str, dict[str, Any]] = {
    "languages": {"num_tokens": 3, "length": 11, "max_n": 3, "min_difference": -2},
    "images": {"source": "digits", "tile_size": 2, "weight_decays": [0.0, 0.001, 0.01, 0.1]},
}


@pytest.mark.parametrize("kind", NAMES)
def test_columns_hold_what_the_files_hold(kind: str, tmp_path: Path) -> None:
    zoo, (file, names) = open_zoo(WRITERS[kind](tmp_path / "zoo")), NAMES[kind]
    for name, values in zip(names, np.load(tmp_path / "zoo" / f"{file}.npy").T, strict=True):
        assert torch.equal(zoo.read(name), torch.from_numpy(values))
    assert zoo.problem.settings().items() >= FOUND[kind].items()


def test_a_published_folder_is_read_by_the_datamodule(published: Path) -> None:
    module = ZooDataModule(str(published), batch_size=4)
    module.prepare_data()
    module.setup("fit")
    batch = module.train_dataloader().batch(0)
    assert batch.inputs.shape[0] == 4
    assert main(["zoo", "info", str(published)]) == 0


# What cannot be found, and bad input


def test_the_sizes_are_found_or_given(languages: Path) -> None:
    problem = open_zoo(languages).problem
    for spec in (problem.spec("lstm", 32, 2), problem.spec("lstm", 7, 3)):
        assert find_spec(problem, spec.num_parameters, None, spec.num_layers) == spec
    assert open_published(languages, hints=PublishedHints(hidden_size=HIDDEN)).spec.num_layers == 2
    change(languages, "sequences", lambda a: a[:, :, :-1])
    change(languages, "logits", lambda a: a[:, :, :-1])
    with pytest.raises(ZooError, match=r"max_n cannot be found from 3 tokens .*length 10.*--max_n"):
        open_zoo(languages)
    zoo = open_published(languages, hints=PublishedHints(max_n=5, min_difference=-4))
    assert (zoo.problem.settings()["max_n"], zoo.problem.settings()["min_difference"]) == (5, -4)


@pytest.mark.parametrize(
    ("kind", "hint", "text", "message"),
    [
        ("languages", {"num_layers": 3}, "{}", r"parameters.npy holds \d+ parameters, .*no LSTM"),
        ("languages", {"hidden_size": 6}, "{}", "fit no LSTM"),
        ("languages", {"min_difference": -1}, "{}", "differences -2..2: not -1"),
        ("images", {"max_n": 5}, "{}", "a zoo of tiled_images does not have: max_n"),
        ("images", {"source": "moon"}, "{}", "unknown source 'moon'"),
        ("images", {"tile_size": 4}, "{}", r"16 steps .* of 4 values, no square"),
        ("languages", {}, '{"num_tokens": 4}', "fit no LSTM"),
        ("languages", {}, '{"one_hot_input": 0}', "expected .*one_hot_input.*: 1"),
        ("languages", {}, '{"max_n": "5"}', "max_n must be a whole number, not '5'"),
        ("languages", {}, '{"rnn_num_layers": 0}', "must be a whole number of at least 1"),
        ("languages", {}, "[]", "expected a JSON object, not .*args.json"),
        ("languages", {}, "{", "Expecting property name .*args.json"),
    ],
)
def test_hints_and_arguments_must_fit(
    kind: str, hint: dict[str, Any], text: str, message: str, tmp_path: Path
) -> None:
    folder = WRITERS[kind](tmp_path / "zoo")
    (folder / "args.json").write_text(text)
    with pytest.raises(ZooError, match=message):
        open_published(folder, hints=PublishedHints(**hint))


class Bomb:
    def __reduce__(self) -> Any:
        return pytest.fail, ("unpickled",)


def raw(edit: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(edit(path.read_bytes()))


def array(edit: Edit) -> Callable[[Path], object]:
    return lambda path: np.save(path, edit(np.load(path)))


WRONG: list[tuple[str, str, Callable[[Path], object], str]] = [
    ("languages", "logits", raw(lambda raw: raw[:-1]), r"has \d+ bytes, for .* it must have \d+"),
    ("images", "logits", raw(lambda raw: raw[:50]), "cannot be read as an .npy file"),
    ("images", "logits", raw(lambda raw: b"PK" + raw[2:]), "cannot be read .*expected axes"),
    ("images", "logits", raw(lambda raw: raw.replace(b"False", b"True ")), "in Fortran order"),
    ("images", "logits", array(lambda a: a[1:]), "logits.npy 23.*parameters.npy 24"),
    ("images", "logits", array(lambda a: a[..., :9]), r"column outputs is \(6, 17, 9\)"),
    ("languages", "logits", array(lambda a: a[:, :, :9]), r"column outputs is \(6, 9, 5\)"),
    ("images", "parameters", array(lambda a: a.astype("f8")), r"of f8: expected axes .* f2, f4"),
    ("images", "parameters", array(lambda a: a[:, :-1]), "fit no LSTM"),
    ("images", "tasks", array(lambda a: a[:, 0]), r"tasks.npy holds \(24,\) of f8: .* \(n, 1"),
    ("images", "sequences", array(lambda a: a[:0]), r"sequences.npy holds \(0, "),
    ("languages", "num_step_correct", array(lambda a: a + 1001), r"expected 0..1000"),
    ("images", "accuracy_losses", Path.unlink, "accuracy_losses.npy is missing"),
    ("languages", "num_step_correct", Path.unlink, "no published zoo at .*step_correct.npy"),
    (
        "images",
        "tasks",
        lambda path: np.save(path, np.array([[Bomb()]] * 24, dtype=object)),
        "holds Python objects, which are never unpickled",
    ),
]


@pytest.mark.parametrize(("kind", "name", "spoil", "message"), WRONG)
def test_wrong_files_are_named(
    kind: str, name: str, spoil: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    folder = WRITERS[kind](tmp_path / "zoo")
    spoil(folder / f"{name}.npy")
    with pytest.raises(ZooError, match=message):
        open_zoo(folder)


def test_runs_that_failed_are_counted_and_left_out(published: Path, tmp_path: Path) -> None:
    def spoil(flat: NDArray[Any]) -> NDArray[Any]:
        flat[5, 3], flat[4, 0], flat[9, 1] = np.nan, np.inf, np.nan
        return flat

    change(published, "parameters", spoil)
    import_published(published, tmp_path / "zoo", quiet=True)
    for path in (published, tmp_path / "zoo"):
        zoo = open_zoo(path)
        assert zoo.manifest.failed == {"1": 10, "3": 0}
        assert len(zoo) == 24 - 2 - 3  # with all that comes after
        pairs = set(zip(zoo.read("run").tolist(), zoo.read("step").tolist(), strict=True))
        assert (1, 0) in pairs
        assert not {(1, 10), (3, 0)} & pairs
        assert len(open_zoo(path, include_failed=True)) == 24
        verify_zoo(path)
    export_published(tmp_path / "zoo", tmp_path / "out")
    assert contents(tmp_path / "out") == contents(published)
    change(published, "parameters", lambda flat: flat * np.nan)
    with pytest.raises(ZooError, match="holds no sound snapshot"):
        import_published(published, tmp_path / "other", quiet=True)


def with_worst(worst: float) -> Edit:
    def edit(outputs: NDArray[Any]) -> NDArray[Any]:
        outputs[7, 0, 0, 0] = worst
        return outputs

    return edit


@pytest.mark.parametrize(
    ("name", "edit", "message"),
    [
        *(("logits", with_worst(x), "of 1 .* run 2, step 10") for x in (np.nan, np.inf, 100)),
        ("parameters", lambda flat: flat[:, ::-1].copy(), "do not follow from their weights"),
        ("tasks", lambda tasks: tasks + np.arange(len(tasks))[:, None] % 2, "task changes"),
    ],
)
def test_what_does_not_fit_together_is_refused_before_any_work(
    name: str, edit: Edit, message: str, published: Path, tmp_path: Path
) -> None:
    change(published, name, edit)
    for work in (
        lambda: import_published(published, tmp_path / "zoo", quiet=True),
        lambda: ZooDataModule(str(published)).prepare_data(),
    ):
        with pytest.raises(ZooError, match=message):
            work()
    assert not (tmp_path / "zoo").exists()


def test_an_import_that_ran_out_of_space_is_finished_by_another(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = shards.write_shard

    def full(folder: Path, index: int, *rest: Any) -> Any:
        if index == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(folder, index, *rest)

    out = tmp_path / "zoo"
    with monkeypatch.context() as context:
        context.setattr(shards, "write_shard", full)
        with pytest.raises(ZooError, match=r"unfinished .*No space left.* run the same command"):
            import_published(published, out, rows_per_shard=7, quiet=True)
    with pytest.raises(ZooError, match=r"unfinished \(2 shards are done\).*wsrl zoo import"):
        open_zoo(out)
    with pytest.raises(ZooError, match="rows_per_shard: 7 there, 8 asked for"):
        import_published(published, out, rows_per_shard=8, quiet=True)
    kept = [path.stat().st_mtime_ns for path in sorted((out / "shards").iterdir())]
    assert import_published(published, out, rows_per_shard=7, quiet=True).complete
    assert [p.stat().st_mtime_ns for p in sorted((out / "shards").iterdir())][:2] == kept
    export_published(out, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(published)
    with pytest.raises(ValueError, match="rows_per_shard must be at least 1, not 0"):
        import_published(published, out, rows_per_shard=0)


def test_several_processes_import_the_zoo_of_one(published: Path, tmp_path: Path) -> None:
    for workers in (1, 2):
        out = tmp_path / f"zoo{workers}"
        import_published(published, out, rows_per_shard=7, quiet=True, workers=workers)
    assert contents(tmp_path / "zoo1") == contents(tmp_path / "zoo2")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_shard_that_cannot_be_written_is_named(
    workers: int, languages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(folder: Path, manifest: Manifest) -> None:
        open_or_create(folder, manifest)
        (folder / "shards").touch()  # where a folder is to be

    monkeypatch.setattr(making, "open_or_create", begin)
    message = r"zoo is unfinished .*File exists: '.*shards.* run the same command again to go on"
    with pytest.raises(ZooError, match=message):
        import_published(languages, tmp_path / "zoo", quiet=True, workers=workers)


# Our own zoos in the published format


def test_our_zoo_is_exported_and_imported(
    zoo_path: Path, zoo: Zoo, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["zoo", "export", str(zoo_path), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    for lost in ("column accepted_ordered", "evaluated_strings 40", "n + 1", "how it was built"):
        assert lost in printed
    assert "column performance" not in printed
    np.save(tmp_path / "saved.npy", np.load(out / "num_step_correct.npy"))
    assert (tmp_path / "saved.npy").read_bytes() == (out / "num_step_correct.npy").read_bytes()
    import_published(out, tmp_path / "back", quiet=True)
    back = open_zoo(tmp_path / "back")
    assert back.spec == zoo.spec
    for name in ("weights", "run", "step", "task", "performance", "sequences", "outputs"):
        assert torch.equal(back.read(name), zoo.read(name)), name
    for name in ("num_tokens", "length", "max_n", "min_difference", "max_difference"):
        assert back.problem.settings()[name] == zoo.problem.settings()[name]
    verify_zoo(tmp_path / "back")


def test_failed_runs_of_ours_are_left_out(zoo_path: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(zoo_path, tmp_path / "copy"))
    replace(Manifest.read(copy), failed={"3": 20, "23": 60}).write(copy)
    lost = export_published(copy, tmp_path / "out")
    assert "2 failed runs are left out: 3, 23" in lost
    runs = np.load(tmp_path / "out" / "num_step_correct.npy")[:, 0]
    assert sorted(set(runs.tolist())) == [run for run in range(24) if run not in (3, 23)]
    assert np.load(tmp_path / "out" / "parameters.npy").shape[0] == 66


def test_zoos_the_format_cannot_hold(published: Path, tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="is in the published format already"):
        export_published(published, tmp_path / "out")
    problem = FormalLanguages(2, 8, 3, -2, 1, evaluated_strings=4, stored_strings=2)
    for name, option in (("gru", {"cell": "gru"}), ("bare", {"bias": False})):
        settings = BuildSettings(runs=2, snapshots=[0], hidden_size=3, **option)
        build_zoo(tmp_path / name, problem, settings, quiet=True)
        with pytest.raises(ZooError, match="the published format holds LSTMs with biases"):
            export_published(tmp_path / name, tmp_path / "out")
    manifest = Manifest.read(tmp_path / "gru")
    manifest = replace(manifest, origin="packed")
    manifest.write(tmp_path / "gru")
    with pytest.raises(ZooError, match="holds zoos of formal_languages or tiled_images, not of"):
        export_published(tmp_path / "gru", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ZooError, match="exists: choose an empty or a new folder"):
        export_published(tmp_path / "bare", tmp_path)


def test_an_export_is_one_process_s_and_there_whole_or_not_at_all(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_published(published, tmp_path / "zoo", quiet=True)
    out = tmp_path / "exports" / "out[1]"
    out.parent.mkdir()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(exchange, "_write", full)
        with pytest.raises(ZooError, match=r"nothing is left of it: .*No space left"):
            export_published(tmp_path / "zoo", out)
    assert list(out.parent.iterdir()) == []
    refused = pytest.raises(ZooError, match=rf"process {os.getpid()} .* exports to")
    with locked(out.with_name(".out[1].lock"), pytest.fail), refused:
        export_published(tmp_path / "zoo", out)
    (out.with_name(".out[1].partial") / "half").mkdir(parents=True)  # of one that was killed
    assert export_published(tmp_path / "zoo", out) == []
    assert [path.name for path in out.parent.iterdir()] == ["out[1]"]
    assert contents(out) == contents(published)
