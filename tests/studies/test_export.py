"""A trained encoder that is given away says what it said at home."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import wsrl
from tests.studies.conftest import Own
from wsrl.cli import main
from wsrl.studies.pretrained import list_pretrained, load_pretrained
from wsrl.zoos import ZooError


@pytest.fixture(scope="module")
def exported(language_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported run, where neither the run nor its zoo is."""
    folder = tmp_path_factory.mktemp("given")
    assert main(["export", str(language_runs / "emulation"), "--out", str(folder / "away")]) == 0
    return Path(shutil.copytree(folder / "away", folder / "copied"))


def without_places(found: wsrl.Inspection) -> dict[str, Any]:
    facts = found.to_dict()
    for each in facts["properties"].values():
        each.pop("source")
    return {name: value for name, value in facts.items() if name not in ("checkpoint", "zoo")}


def test_it_says_the_same(exported: Path, language_runs: Path, own_rnns: Any) -> None:
    for _, model in own_rnns[:3]:
        away = wsrl.inspect_rnn(model, exported)
        home = wsrl.inspect_rnn(model, language_runs / "emulation")
        assert without_places(away) == without_places(home)
        assert any("best.ckpt" in each.source for each in away.properties)  # heads came along


def test_it_is_small_and_names_no_folder_of_the_machine(
    exported: Path, language_runs: Path
) -> None:
    files = [path for path in exported.rglob("*") if path.is_file()]
    zoo = sum(path.stat().st_size for path in (language_runs / "zoo").rglob("*.safetensors"))
    assert sum(path.stat().st_size for path in files) < zoo
    for path in files:
        assert str(language_runs).encode() not in path.read_bytes(), path


def test_what_is_measured_of_the_whole_zoo_only_says_so(
    exported: Path,
) -> None:
    (exported / "encoder" / "checkpoints" / "inspection.safetensors").rename(exported / "moved")
    try:
        with pytest.raises(ZooError, match="is a catalogue, without weights: give the zoo"):
            wsrl.inspect_rnn(Own(), exported)
    finally:
        (exported / "moved").rename(exported / "encoder/checkpoints/inspection.safetensors")


def test_encoders_that_come_with_the_package_embed_and_inspect() -> None:
    for name in list_pretrained():
        spec = load_pretrained(name).spec
        modules = nn.GRU(spec.input_size, 9), nn.Linear(9, spec.output_size)
        rnn = wsrl.RNNWeights.from_module(*modules)
        embedding = wsrl.embed(load_pretrained(name).encoder, rnn)
        found = wsrl.inspect_rnn(rnn, name)
        assert embedding[0].tolist() == pytest.approx(found.embedding, abs=1e-6)
    with pytest.raises(ValueError, match="no pretrained encoder 'spiral'; there are: languages"):
        load_pretrained("spiral")
    with pytest.raises(ValueError, match="no run and no checkpoint at spiral; encoders that come"):
        wsrl.inspect_rnn(rnn, "spiral")
