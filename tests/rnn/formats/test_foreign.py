"""Samples of other libraries and projects are read exactly, or refused for what they are."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.rnn.formats.samples import sample
from wsrl import read_rnn
from wsrl.rnn.formats import Content, OpenChoiceError, read_container, read_content

for library in ("h5py", "msgpack", "onnx"):
    pytest.importorskip(library, reason="the extra wsrl[files] is not here")


class Case(NamedTuple):
    """A file, what must be said of it, the spec that it has, and what is wrong said of it."""

    file: str
    said: Mapping[str, Any]
    spec: str
    wrong: Mapping[str, Any] | None = None


READ = [
    Case("equinox-gru/model.eqx", {}, "gru 1x14, 2 inputs, 1 outputs"),
    Case("equinox-lstm/model.eqx", {}, "lstm 1x14, 2 inputs, 1 outputs"),
    Case("flax-gru/params.msgpack", {}, "gru 1x16, 2 inputs, 1 outputs"),
    Case("flax-lstm/params.msgpack", {}, "lstm 1x16, 2 inputs, 1 outputs"),
    Case(
        "flax-simple-rnn/params.msgpack",
        {"nonlinearity": "tanh"},
        "tanh 1x20, 2 inputs, 1 outputs",
        {"nonlinearity": "tanh", "residual": True},
    ),
    Case("keras-gru/model.keras", {}, "gru 1x14, 2 inputs, 1 outputs"),
    Case("keras-lstm/model.keras", {}, "lstm 1x14, 2 inputs, 1 outputs"),
    Case("keras-lstm/model.h5", {}, "lstm 1x14, 2 inputs, 1 outputs"),
    Case("keras-lstm/model.weights.h5", {}, "lstm 1x14, 2 inputs, 1 outputs"),
    Case("keras-simple-relu/model.keras", {}, "relu 1x16, 2 inputs, 1 outputs"),
    Case("keras-gru-reset-before/model.keras", {}, "gru_reset_before 1x14, 2 inputs, 1 outputs"),
    Case(
        "keras-gru-reset-before/model.weights.h5",
        {},
        "gru_reset_before 1x14, 2 inputs, 1 outputs",
    ),
    Case("onnx-lstm/model.onnx", {}, "lstm 1x16, 3 inputs, 3 outputs"),
    Case("onnx-lstm-two-layers/model.onnx", {}, "lstm 2x12, 3 inputs, 3 outputs"),
    Case(
        "ctrnn-jax/params.bin",
        {"form": "state", "nonlinearity": "tanh", "alpha": 0.1, "initial_state": "ones"},
        "leaky(form='state') 1x32, 1 inputs, 1 outputs, own first state",
        {"form": "state", "nonlinearity": "tanh", "alpha": 0.1, "initial_state": "zeros"},
    ),
    Case(
        "lfads-torch-gru/model.pt",
        {"cell": "gru_reset_before"},
        "gru_reset_before 1x20, 3 inputs, 3 outputs",
        {"cell": "gru"},
    ),
    Case(
        "lowrank-inference-full/rdm_full_40.pt",
        {"form": "state", "nonlinearity": "tanh", "alpha": 0.2},
        "leaky(form='state') 1x40, 1 inputs, 1 outputs, no biases",
        {"form": "state", "nonlinearity": "tanh", "alpha": 0.1},
    ),
    Case(
        "lowrank-inference-rank1/rdm_rank1_56.pt",
        {"form": "state", "nonlinearity": "tanh", "alpha": 0.2, "scale": "1/N"},
        "low_rank(rank=1) 1x56, 1 inputs, 1 outputs, no biases",
        {"form": "state", "nonlinearity": "tanh", "alpha": 0.2, "scale": "1"},
    ),
    Case(
        "lowrank-inference-rank2/rdm_rank2_64.pt",
        {"form": "state", "nonlinearity": "tanh", "alpha": 0.2, "scale": "1/N"},
        "low_rank(bias_in='rates') 1x64, 1 inputs, 1 outputs, own first state",
        {"form": "state", "nonlinearity": "sigmoid", "alpha": 0.2, "scale": "1/N"},
    ),
    Case("mingru/model.pt", {}, "min_gru 1x24, 3 inputs by 16, 3 outputs"),
    Case(
        "minimal-lru/params.msgpack",
        {},
        "lru 1x10, 2 inputs by 8, 1 outputs",
    ),
    Case(
        "multitask-leaky/model.ckpt",
        {"form": "rate"},
        "leaky(nonlinearity='softplus') 1x32, 85 inputs, 33 outputs, then sigmoid",
        {"form": "state"},
    ),
    Case(
        "nn4n-ctrnn-ei/ctrnn.pt",
        {"form": "state"},
        "leaky(form='state', nonlinearity='relu') 1x30, 3 inputs, 3 outputs",
        {"form": "inside"},
    ),
    Case(
        "nnbrain-ctrnn/model.pt",
        {"form": "inside", "nonlinearity": "relu", "alpha": 0.2},
        "leaky(form='inside', nonlinearity='relu') 1x32, 3 inputs, 3 outputs",
        {"form": "rate", "nonlinearity": "relu", "alpha": 0.2},
    ),
    Case(
        "nnbrain-eirnn/model.pt",
        {"form": "state", "nonlinearity": "relu", "alpha": 0.2, "constraint": "dale"},
        "leaky(form='state', nonlinearity='relu', constraint='dale') 1x30, 3 inputs, 3 outputs",
        {"form": "state", "nonlinearity": "relu", "alpha": 0.2, "constraint": "none"},
    ),
    Case(
        "psychrnn-basic/weights.npz",
        {"form": "state", "nonlinearity": "tanh", "alpha": 0.2},
        "leaky(form='state') 1x24, 2 inputs, 2 outputs, own first state",
        {"form": "rate", "nonlinearity": "tanh", "alpha": 0.2},
    ),
    Case(
        "smc-rnns-lowrank/compare_state_dict.pkl",
        {"form": "state", "nonlinearity": "tanh", "alpha": 0.2, "scale": "1/N"},
        "low_rank(bias_in='rates') 1x48, 2 inputs, 1 outputs, own first state",
        {"form": "state", "nonlinearity": "tanh", "alpha": 0.25, "scale": "1/N"},
    ),
    Case(
        "spikernn-rate/Task_go-nogo_N_40_Taus_4.0_20.0_Act_sigmoid.mat",
        {"form": "state"},
        "leaky(form='state', nonlinearity='sigmoid', leak='neuron') 1x40, 1 inputs, 1 outputs",
        {"form": "rate"},
    ),
]
REFUSED = {
    "durstewitz-plrnn/model_12.pt": "a PLRNN .* overwrite entries of the state",
    "psychrnn-lstm/weights.npz": r"LSTM computes h' = o \* sigmoid\(c'\)",
    "trainrnnbrain-cubic/0.9_LastParams_Compare.json": r"cubic leak \(gamma 0.1\)",
}


@pytest.mark.parametrize("case", READ, ids=[case.file for case in READ])
def test_a_sample_gives_the_outputs_of_its_own_code(case: Case) -> None:
    folder, _, name = case.file.partition("/")
    path, reference = sample(folder) / name, sample(folder) / "io.safetensors"
    for one in (reference, None):
        weights = read_rnn(path, reference=one, **case.said)
        assert str(weights.spec) == case.spec
    assert str(read_rnn(path, reference=reference).spec) == case.spec  # which settles it
    # The form is open only where not one project alone names tensors so.
    asked = case.said.keys() - (set() if folder.startswith("nnbrain") else {"form"})
    if asked:
        with pytest.raises(OpenChoiceError) as error:
            read_rnn(path)
        assert error.value.options.keys() == asked
    if case.wrong is not None:
        with pytest.raises(ValueError, match=r"differ from the reference's by [0-9.e-]+ \(the la"):
            read_rnn(path, reference=reference, **case.wrong)


@pytest.mark.parametrize("file", REFUSED)
def test_a_sample_that_no_cell_computes_is_refused_for_the_reason(file: str) -> None:
    folder, _, name = file.partition("/")
    with pytest.raises(ValueError, match=REFUSED[file]) as error:
        read_rnn(sample(folder) / name)
    assert "\n" not in str(error.value)


# What tensors are is in these files not said by their names alone.
OTHERS = ("equinox", "keras", "onnx", "spikernn", "nn4n")
NAMED = [case for case in READ if not case.file.startswith(OTHERS)]


@pytest.mark.parametrize("kind", ["safetensors", "npz"])
@pytest.mark.parametrize("case", NAMED, ids=[case.file for case in NAMED])
def test_tensors_by_name_are_read_from_other_containers(
    case: Case, kind: str, tmp_path: Path
) -> None:
    folder, _, name = case.file.partition("/")
    content, path = read_container(sample(folder) / name), tmp_path / f"moved.{kind}"
    slash = "." if content.kind == "flax" else "/"
    moved = {key.replace("/", slash): value for key, value in content.tensors.items()}
    if kind == "npz":
        np.savez(path, **{key: value.numpy() for key, value in moved.items()})
    else:
        save_file(moved, path)
    facts = {"nonlinearity": "softplus", "alpha": 0.2} if content.kind == "tensorflow" else {}
    found = read_rnn(path, reference=sample(folder) / "io.safetensors", **case.said, **facts)
    assert bool((found.flat == read_rnn(sample(folder) / name, **case.said).flat).all())


def changed(value: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return what a tensor could be in a file of somebody else."""
    return {
        "flat": value.reshape(-1),
        "deep": value[None, None],
        "cut": value[:-1] if value.ndim else value[None],
        "empty": value[:0] if value.ndim else value[None][:0],
        "one number": value.sum(),
        "whole numbers": value.long(),
        "complex": value.to(torch.complex64),
    }


def refusal(content: Content, said: Mapping[str, Any]) -> str:
    """Return why a content is refused; nothing where it is read. Other errors are the test's."""
    own = dict(said)
    try:
        read_content(content, cell=own.pop("cell", None), said=own)
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("case", READ, ids=[case.file for case in READ])
def test_tensors_of_other_shapes_are_an_error_of_one_line(case: Case) -> None:
    folder, _, name = case.file.partition("/")
    content, reasons = read_container(sample(folder) / name), []
    for key, value in content.tensors.items():
        kept = {k: v for k, v in content.tensors.items() if k != key}
        others = [{}, {key: value, f"{key}_2": value}, *({key: v} for v in changed(value).values())]
        changes = [replace(content, tensors={**kept, **other}) for other in others]
        reasons += [refusal(change, case.said) for change in changes]
    assert len([*filter(None, reasons)]) >= 10
    for key in content.settings:
        others = [{**content.settings, key: value} for value in (None, -1.5, "x", [], {"a": []})]
        reasons += [refusal(replace(content, settings=other), case.said) for other in others]
    assert all("\n" not in reason for reason in reasons)


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    state = {"rnn.input2h.weight": torch.ones(4, 3), "rnn.h2h.weight": torch.eye(4)}
    state |= {"fc.weight": torch.ones(2, 4), "fc.bias": torch.tensor([1.0, torch.nan])}
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(ValueError, match=r"x\.pt: not all numbers are finite in linear\.bias, "):
        read_rnn(tmp_path / "x.pt", form="rate", nonlinearity="tanh", alpha=0.2)
