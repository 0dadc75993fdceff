"""Samples of other libraries and projects are read exactly, or refused for what they are."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from tests.rnn.formats.samples import sample
from wsrl import read_rnn
from wsrl.rnn.formats import OpenChoiceError

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
    Case("onnx-lstm/model.onnx", {}, "lstm 1x16, 3 inputs, 3 outputs"),
    Case("onnx-lstm-two-layers/model.onnx", {}, "lstm 2x12, 3 inputs, 3 outputs"),
]
REFUSED: dict[str, str] = {}


@pytest.mark.parametrize("case", READ, ids=[case.file for case in READ])
def test_a_sample_gives_the_outputs_of_its_own_code(case: Case) -> None:
    folder, _, name = case.file.partition("/")
    path, reference = sample(folder) / name, sample(folder) / "io.safetensors"
    for one in (reference, None):
        weights = read_rnn(path, reference=one, **case.said)
        assert str(weights.spec) == case.spec
    assert str(read_rnn(path, reference=reference).spec) == case.spec  # which settles it
    if case.said:
        with pytest.raises(OpenChoiceError) as error:
            read_rnn(path)
        assert error.value.options.keys() == case.said.keys() - {"form"}
    if case.wrong is not None:
        with pytest.raises(ValueError, match=r"differ from the reference's by [1-9.e-]+ \(the la"):
            read_rnn(path, reference=reference, **case.wrong)


@pytest.mark.parametrize("file", REFUSED)
def test_a_sample_that_no_cell_computes_is_refused_for_the_reason(file: str) -> None:
    folder, _, name = file.partition("/")
    with pytest.raises(ValueError, match=REFUSED[file]) as error:
        read_rnn(sample(folder) / name)
    assert "\n" not in str(error.value)
