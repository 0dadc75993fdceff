"""Files of PyTorch as other people have them are read exactly, or refused for what they are."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest
from safetensors.torch import load_file

from tests.rnn.formats.samples import about, sample
from wsrl import read_rnn
from wsrl.rnn import run_population
from wsrl.rnn.formats import OpenChoiceError

OPTIONS = {
    "head_activation": "readout_activation",
    "output_nonlinearity": "output_activation",
    "nonlinearity": "nonlinearity",
}
"""How ``read_rnn`` calls what ``about.json`` says is not in a file."""

RECORDED = "output_activation"  # no reference tells it


class Case(NamedTuple):
    """The spec that a sample has, and what is wrong said of it."""

    spec: str
    wrong: Mapping[str, Any] | None = None


READ = {
    "fpf-flipflop-tanh": Case(
        "tanh 1x16, 3 inputs, 3 outputs, own first state", {"nonlinearity": "relu"}
    ),
    "lightning-lstm": Case("lstm 2x12, 2 inputs, 1 outputs"),
    "motornet-gru": Case("gru 1x24, 12 inputs, 4 outputs, then sigmoid"),
    "neurogym-lstm": Case("lstm 1x32, 5 inputs, 3 outputs"),
    "torch-checkpoint-namespace": Case("gru 1x16, 3 inputs, 3 outputs"),
    "torch-compile-lstm": Case("lstm 1x16, 3 inputs, 3 outputs"),
    "torch-dataparallel-gru": Case("gru 1x24, 3 inputs, 3 outputs"),
    "torch-embedding-lstm-mlp": Case(
        "lstm 1x20, 7 inputs by 5, 7 outputs by 16 relu", {"readout_activation": "gelu"}
    ),
    "torch-grucell-stack": Case("gru 2x16, 3 inputs, 3 outputs"),
    "torch-legacy-format": Case("gru 1x16, 3 inputs, 3 outputs"),
    "torch-lstm-learned-state": Case(
        "lstm 1x18, 3 inputs, 3 outputs, own first state", {"ignore": ["h0", "c0"]}
    ),
    "torch-lstm-proj": Case("lstm 2x24, 3 inputs, 3 outputs"),
    "torch-lstmcell-loop": Case("lstm 1x20, 3 inputs, 3 outputs"),
    "torch-mixed-biases": Case("tanh 1x24, 3 inputs, 3 outputs", {"nonlinearity": "linear"}),
    "torch-rnn-relu": Case("relu 2x20, 3 inputs, 3 outputs", {"nonlinearity": "tanh"}),
    "torch-rnncell-loop": Case("tanh 1x24, 3 inputs, 3 outputs", {"nonlinearity": "softplus"}),
    "torch-weight-norm": Case("gru 1x18, 3 inputs, 3 outputs"),
    "torch-weight-norm-old": Case("lstm 1x16, 3 inputs, 3 outputs"),
}
REFUSED = {
    "torch-bidirectional": r"rnn\.weight_ih_l0_reverse: a bidirectional RNN also reads",
    "torch-jit": r"is TorchScript, a program, and nothing in a file is ever run",
    "torch-pickled-module": r"it holds objects of my_project\.models\.PickledNet, torch\.nn",
}


@pytest.mark.parametrize("name", READ)
def test_a_sample_gives_the_outputs_of_its_own_code(name: str) -> None:
    folder, case = sample(name), READ[name]
    known = about(folder)
    path, reference = folder / next(iter(known["files"])), folder / "io.safetensors"
    said = {OPTIONS[n]: value for n, value in known["expected"]["not_in_the_file"].items()}
    weights = read_rnn(path, **said)
    assert str(weights.spec) == case.spec
    told = load_file(reference)
    outputs, _ = run_population(weights, told["inputs"][None].to(weights.flat.dtype))
    apart = (outputs[0] - told["outputs"]).abs().max()
    assert apart <= 1e-5 * told["outputs"].abs().max()
    recorded = {n: value for n, value in said.items() if n == RECORDED}
    found = read_rnn(path, reference=reference, **recorded)  # which settles the rest
    assert found.spec == weights.spec
    assert (found.flat == weights.flat).all()
    if asked := {*said} - {RECORDED}:
        with pytest.raises(OpenChoiceError) as error:
            read_rnn(path)
        assert {*error.value.options} == {"cell" if n == "nonlinearity" else n for n in asked}
    if case.wrong is not None:
        with pytest.raises(ValueError, match=r"differ from the reference's by [0-9.e+-]+ \(the la"):
            read_rnn(path, reference=reference, **said | dict(case.wrong))


@pytest.mark.parametrize("name", REFUSED)
def test_a_sample_that_is_no_rnn_of_here_is_refused_for_the_reason(name: str) -> None:
    folder = sample(name)
    for reference in (None, folder / "io.safetensors"):
        with pytest.raises(ValueError, match=REFUSED[name]) as error:
            read_rnn(folder / "model.pt", reference=reference)
        assert "\n" not in str(error.value)


def test_final_outputs_are_after_the_output_activation() -> None:
    folder = sample("motornet-gru")
    weights = read_rnn(folder / "weights", output_activation="sigmoid")
    told = load_file(folder / "io.safetensors")
    outputs, _ = run_population(weights, told["inputs"][None])
    apart = (weights.spec.final(outputs[0]) - told["outputs_final"]).abs().max()
    assert apart < 1e-5
    with pytest.raises(ValueError, match=r"output_activation is one of .*, not 'cube'"):
        read_rnn(folder / "weights", output_activation="cube")
