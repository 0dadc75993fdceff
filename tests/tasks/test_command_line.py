"""The constructors' signatures are read by jsonargparse: encoders by name, options checked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonargparse import ArgumentParser

from wsrl.encoders import InteractiveProbing
from wsrl.rnn import RNNSpec
from wsrl.tasks import EmulationModule, PredictionModule

SPEC = RNNSpec("lstm", 3, 4, 1, 3).to_dict()
TARGETS = {"task": {"kind": "classes", "parts": 2, "classes": 3}}


def build(cls: type, arguments: list[str], **values: Any) -> Any:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(cls, "model")
    given = [
        part
        for name, value in values.items()
        for part in (f"--model.{name}", value if isinstance(value, str) else json.dumps(value))
    ]
    return parser.instantiate(parser.parse_args([*given, *arguments])).model


def test_an_encoder_is_chosen_by_name_with_its_options() -> None:
    arguments = ["--model.encoder=InteractiveProbing", "--model.encoder.probing_length=12"]
    module = build(EmulationModule, [*arguments, "--model.loss=reverse_kl"], spec=SPEC)
    assert isinstance(module.encoder, InteractiveProbing)
    assert module.encoder.probing_length == 12
    assert module.hparams["encoder"]["init_args"]["probing_length"] == 12
    module = build(
        PredictionModule,
        [*arguments, "--model.mode=scratch"],
        spec=SPEC,
        targets=TARGETS,
        target="task",
    )
    assert module.encoder.probing_length == 12


def test_a_checkpoints_description_of_the_encoder_is_understood() -> None:
    module = EmulationModule(InteractiveProbing, SPEC, emulator_width=8)
    again = build(EmulationModule, [], spec=SPEC, encoder=dict(module.hparams["encoder"]))
    assert again.encoder.config() == module.encoder.config()


@pytest.mark.parametrize("cls", [EmulationModule, PredictionModule])
def test_a_misspelled_option_is_refused_when_it_is_read(cls: type) -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(cls, "model", skip={"spec", "targets", "target"})
    arguments = ["--model.encoder=InteractiveProbing", "--model.encoder.probing_lenth=12"]
    with pytest.raises(Exception, match="'probing_lenth' is not accepted"):
        parser.parse_args(arguments)
