"""Registration, options, rebuilding: what a third party's encoder relies on."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from jsonargparse import ArgumentParser
from torch import Tensor, nn

from tests.encoders.encoder_cases import SMALL, SPECS, random_weights
from wsrl.encoders import (
    Encoder,
    build_encoder,
    create_encoder,
    get_encoder,
    list_encoders,
    register_encoder,
)
from wsrl.encoders.registry import ENCODERS
from wsrl.rnn import RNNSpec, RNNWeights

SPEC = SPECS[0]


class FirstWeights(Encoder):
    """A user's encoder: nothing but a constructor and ``forward``."""

    def __init__(
        self, spec: RNNSpec, embedding_dim: int = 16, scale: float = 1.0, note: Any = None
    ) -> None:
        super().__init__(spec, embedding_dim)
        self.scale = nn.Parameter(torch.tensor(scale))
        self.note = note

    def forward(self, weights: RNNWeights) -> Tensor:
        return self.scale * weights.flat[:, : self.embedding_dim]


@pytest.fixture(autouse=True)
def own_registry() -> Iterator[None]:
    """Let a test register what it likes, and look for entry points anew."""
    with ENCODERS.restored():
        yield


def test_a_users_encoder_is_used_like_the_others() -> None:
    assert register_encoder(FirstWeights) is FirstWeights
    assert "FirstWeights" in list_encoders()
    encoder = create_encoder("FirstWeights", spec=SPEC, embedding_dim=3, scale=2.0)
    assert encoder.config() == {
        "class_path": f"{__name__}.FirstWeights",
        "init_args": {"embedding_dim": 3, "scale": 2.0, "note": None},
    }
    weights = random_weights(SPEC)
    torch.testing.assert_close(encoder(weights), 2 * weights.flat[:, :3])
    assert build_encoder(encoder.config(), SPEC).config() == encoder.config()
    positional = FirstWeights(SPEC, 4, 0.5).config()["init_args"]
    assert positional == {"embedding_dim": 4, "scale": 0.5, "note": None}


@pytest.mark.parametrize("name", sorted(SMALL))
def test_unknown_options_and_sizes_below_one_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no option hidden_size; it has: embedding_dim") as caught:
        create_encoder(name, SPEC, hidden_size=3)
    assert all(option in str(caught.value) for option in SMALL[name])
    config = {"class_path": f"wsrl.encoders.{name}", "init_args": {"hidden_size": 3}}
    with pytest.raises(ValueError, match="no option hidden_size"):
        build_encoder(config, SPEC)
    for option in ("embedding_dim", *SMALL[name]):
        options = SMALL[name] | {option: 0}
        with pytest.raises(ValueError, match=f"{option} must be a whole number of at least 1"):
            create_encoder(name, SPEC, **options)


def test_bad_choices_are_refused() -> None:
    with pytest.raises(ValueError, match="softmax, sigmoid, tanh, identity"):
        create_encoder("InteractiveProbing", SPEC, input_activation="relu")
    with pytest.raises(ValueError, match="multiple of heads, not 10 with 4"):
        create_encoder("ParameterTransformer", SPEC, width=10, heads=4)
    with pytest.raises(ValueError, match="dropout"):
        create_encoder("ParameterTransformer", SPEC, dropout=1.0)


def test_a_path_that_leads_to_no_encoder() -> None:
    for config, reason in (
        ({"class_path": "NoSuchEncoder"}, "unknown encoder 'NoSuchEncoder'; choose one of"),
        ({"class_path": "torch.nn.Linear"}, "no subclass"),
        ({"init_args": {}}, "class_path"),
    ):
        with pytest.raises(ValueError, match=reason):
            build_encoder(config, SPEC)


def test_options_that_are_no_plain_values_cannot_be_described() -> None:
    with pytest.raises(TypeError, match="the option note must be made of numbers"):
        FirstWeights(SPEC, note=torch.zeros(1)).config()
    assert FirstWeights(SPEC, note={"a": [1, 2.0]}).config()["init_args"]["note"] == {"a": [1, 2.0]}


def test_a_constructor_must_name_its_arguments() -> None:
    class Vague(FirstWeights):
        def __init__(self, spec: RNNSpec, **kwargs: Any) -> None:
            super().__init__(spec, **kwargs)

    with pytest.raises(TypeError, match=r"Vague: .* must name all its arguments"):
        Vague(SPEC)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", sorted(SMALL))
def test_the_command_line_sees_the_options(name: str) -> None:
    gc.collect()  # classes of the same name that other tests made
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--encoder", type=Callable[[RNNSpec], Encoder])
    options = SMALL[name]
    parsed = parser.parse_args(
        [f"--encoder={name}", *(f"--encoder.{key}={value}" for key, value in options.items())]
    )
    encoder = parser.instantiate_classes(parsed).encoder(SPEC)
    assert type(encoder) is get_encoder(name)
    assert options.items() <= encoder.config()["init_args"].items()
    # The path may be spelled by the package or by the module; both lead to the class.
    assert re.fullmatch(rf"wsrl\.encoders\.(\w+\.)?{name}", encoder.config()["class_path"])
