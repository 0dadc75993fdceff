"""From a file to one RNN: what the user says and a reference settle which it is."""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import wsrl
from tests.rnn.formats.samples import sample
from wsrl.rnn import RNNSpec, RNNWeights, run_population
from wsrl.rnn.formats import (
    Candidate,
    Content,
    OpenChoiceError,
    Recogniser,
    Reference,
    read,
    read_container,
    read_content,
    reading,
)

SPECS = {cell: RNNSpec(cell, 3, 5, 1, 2) for cell in ("tanh", "relu", "linear")}


@pytest.fixture
def flat() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, SPECS["tanh"].num_parameters, generator=generator)


@contextmanager
def recognised(*found: Candidate | str, options: dict[str, str]) -> Iterator[Content]:
    """Yield a content of which these candidates are found."""
    known = reading.RECOGNISERS
    result = found[0] if isinstance(found[0], str) else list(found)
    one = Recogniser("own", frozenset({"own"}), options, lambda content, said: result)  # type: ignore[arg-type,return-value]
    reading.RECOGNISERS = (one, *known)
    try:
        yield Content({"a": torch.zeros(1), "b.c": torch.zeros(1)}, {}, "own")
    finally:
        reading.RECOGNISERS = known


def candidates(flat: torch.Tensor) -> list[Candidate]:
    return [
        Candidate(RNNWeights(flat, spec), {"nonlinearity": cell}, usual=cell != "linear")
        for cell, spec in SPECS.items()
    ]


def reference_of(flat: torch.Tensor, cell: str) -> Reference:
    inputs = torch.randn(4, 7, 3, generator=torch.Generator().manual_seed(1))
    return Reference(inputs, run_population(RNNWeights(flat, SPECS[cell]), inputs[None])[0][0])


def test_what_is_open_is_said_or_settled_by_a_reference_never_guessed(flat: torch.Tensor) -> None:
    with recognised(*candidates(flat), options={"nonlinearity": "of the cell"}) as content:
        with pytest.raises(OpenChoiceError, match=r"--said\.nonlinearity relu or tanh ") as error:
            read_content(content)
        assert error.value.options == {"nonlinearity": ("relu", "tanh")}
        for cell in SPECS:  # the unusual one, too
            weights, _ = read_content(content, said={"nonlinearity": cell})
            assert weights.spec == SPECS[cell]
            weights, notes = read_content(content, reference=reference_of(flat, cell))
            assert weights.spec == SPECS[cell]
            assert any(f"nonlinearity {cell}" in note for note in notes)
        assert read_content(content, cell="relu").weights.spec.cell == "relu"
        with pytest.raises(ValueError, match="nonlinearity is linear or relu or tanh, not 'cube'"):
            read_content(content, said={"nonlinearity": "cube"})
        with pytest.raises(ValueError, match="cannot be said: alpha; what can be is cell, non"):
            read_content(content, said={"nonlinearity": "relu", "alpha": 1})


def test_what_the_reference_contradicts_is_refused_with_the_difference(flat: torch.Tensor) -> None:
    told = reference_of(flat, "relu")
    with recognised(*candidates(flat), options={"nonlinearity": "of the cell"}) as content:
        with pytest.raises(ValueError, match=r"differ from the reference's by \d\S+ \(the larg"):
            read_content(content, reference=told, said={"nonlinearity": "tanh"})
        near = Reference(told.inputs, told.outputs + 2e-5 * told.size)
        with pytest.raises(ValueError, match=r"3 readings were tried, the nearest as .* relu"):
            read_content(content, reference=near)
        near = Reference(told.inputs, told.outputs + 5e-6 * told.size)
        assert read_content(content, reference=near).weights.spec.cell == "relu"
        other = Reference(told.inputs[..., :2], told.outputs)
        sizes = "has 2 inputs and 2 outputs, but the RNN of the file has 3 and 2$"
        with pytest.raises(ValueError, match=sizes):
            read_content(content, reference=other)


def test_weights_that_diverged_are_named_before_a_difference_is(flat: torch.Tensor) -> None:
    told = reference_of(flat, "relu")
    flat[0, -1] = torch.nan
    refused = pytest.raises(ValueError, match=r"not all numbers are finite in linear\.bias, as")
    with recognised(*candidates(flat), options={"nonlinearity": "of the cell"}) as content, refused:
        read_content(content, reference=told)


def test_keys_are_ignored_by_name_or_with_their_module(flat: torch.Tensor) -> None:
    with recognised(*candidates(flat)[:1], options={}) as content:
        assert len(read_content(content, ignore=("a", "b")).weights) == 1
        assert len(read_content(content, ignore="b.c").weights) == 1
        with pytest.raises(ValueError, match=r"no key 'c' to ignore; there are a, b\.c"):
            read_content(content, ignore=("c",))


def test_the_reason_of_the_first_recogniser_is_given() -> None:
    refused = pytest.raises(ValueError, match=r"^of another planet$")
    with recognised("of another planet", options={}) as content, refused:
        read_content(content)


def test_a_reference_is_inputs_and_outputs_of_one_length(tmp_path: Path) -> None:
    path = tmp_path / "io.safetensors"
    good = {"inputs": torch.zeros(2, 3, 4), "outputs": torch.zeros(2, 3, 5)}
    save_file(good, path)
    assert Reference.read(path).outputs.shape == (2, 3, 5)
    for wrong in (
        {"outputs": torch.zeros(2, 4, 5)},
        {"inputs": torch.full((2, 3, 4), torch.nan)},
        {"inputs": torch.zeros(2, 3, 4, dtype=torch.complex64)},
        {"outputs": torch.zeros(2, 3, 5, dtype=torch.bool)},
    ):
        save_file(good | wrong, path)
        with pytest.raises(ValueError, match=r"^\S+io\.safetensors: "):
            Reference.read(path)
    path.write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"expected a safetensors file with inputs \(S, T, I\)"):
        Reference.read(path)
    with pytest.raises(ValueError, match="no file of reference outputs at "):
        Reference.read(tmp_path / "none")


def test_a_damaged_archive_is_an_error_of_one_line(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"weight": torch.zeros(3)}, path)
    whole = path.read_bytes()
    at = whole.index(b"PK\1\2")
    for place, byte in ((at, 0), (at + 6, 200), (at + 9, 8), (at + 46, 255)):
        content = bytearray(whole)
        content[place] = byte
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"^{path}") as error:
            read(path)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["torch-rnn-relu/model.pt", "psychrnn-basic/weights.npz"])
def test_a_file_whose_end_is_missing_is_told_so(name: str, tmp_path: Path) -> None:
    folder, _, file = name.partition("/")
    whole = (sample(folder) / file).read_bytes()
    for size in (10, len(whole) // 2, len(whole) - 1):
        (tmp_path / file).write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"damaged zip archive \(its end is missing: copy"):
            read_container(tmp_path / file)


def test_a_file_is_what_its_content_says(tmp_path: Path) -> None:
    model = torch.nn.ModuleDict({"rnn": torch.nn.GRU(3, 4), "fc": torch.nn.Linear(4, 2)})
    torch.save(model.state_dict(), tmp_path / "weights")
    torch.save(model.state_dict(), tmp_path / "w.tar", _use_new_zipfile_serialization=False)
    save_file(model.state_dict(), tmp_path / "w.pt")
    for name, kind in {"weights": "torch", "w.tar": "torch", "w.pt": "safetensors"}.items():
        assert read_container(tmp_path / name).kind == kind
        weights, _ = read(tmp_path / name)
        assert torch.equal(weights.flat, RNNWeights.from_module(model).flat)
        assert wsrl.read_rnn(tmp_path / name, cell="gru").spec == weights.spec


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a Git LFS pointer.*pull"),
        (b"<!doctype html><html></html>", "a web page"),
        (b"", "it is empty"),
        (pickle.dumps({"alpha": 0.2}), "a pickle, which could run code, and is never read"),
        (b"anything", r"no file of weights that is known here \(.*safetensors, torch"),
    ],
)
def test_other_files_are_refused_with_the_reason(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"^{path}: it is {reason}|^{path}: {reason}"):
        read_container(path)
