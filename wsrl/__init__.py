"""wsrl: learn useful representations of recurrent neural network weights.

Everything public is here and loads on first use, so that ``import wsrl`` stays light and the
command line answers ``--help`` without importing torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from wsrl import _torchvision

if TYPE_CHECKING:
    from wsrl.data import ZooDataModule as ZooDataModule
    from wsrl.encoders import Encoder as Encoder
    from wsrl.encoders import create_encoder as create_encoder
    from wsrl.encoders import embed as embed
    from wsrl.encoders import list_encoders as list_encoders
    from wsrl.encoders import register_encoder as register_encoder
    from wsrl.rnn import BlackBox as BlackBox
    from wsrl.rnn import Cell as Cell
    from wsrl.rnn import RNNInterface as RNNInterface
    from wsrl.rnn import RNNSpec as RNNSpec
    from wsrl.rnn import RNNWeights as RNNWeights
    from wsrl.rnn import list_cells as list_cells
    from wsrl.rnn import read_rnn as read_rnn
    from wsrl.rnn import register_cell as register_cell
    from wsrl.rnn import run_population as run_population
    from wsrl.studies.embeddings import read_embeddings as read_embeddings
    from wsrl.studies.inspection import Inspection as Inspection
    from wsrl.studies.inspection import inspect_rnn as inspect_rnn
    from wsrl.studies.pretrained import list_pretrained as list_pretrained
    from wsrl.studies.pretrained import load_pretrained as load_pretrained
    from wsrl.tasks import EmulationModule as EmulationModule
    from wsrl.tasks import PredictionModule as PredictionModule
    from wsrl.zoos import open_zoo as open_zoo

__version__ = "0.1.0"

_PUBLIC = {
    "rnn": "BlackBox Cell RNNInterface RNNSpec RNNWeights list_cells read_rnn register_cell "
    "run_population",
    "zoos": "open_zoo",
    "data": "ZooDataModule",
    "encoders": "Encoder create_encoder embed list_encoders register_encoder",
    "tasks": "EmulationModule PredictionModule",
    "studies.embeddings": "read_embeddings",
    "studies.inspection": "Inspection inspect_rnn",
    "studies.pretrained": "list_pretrained load_pretrained",
}
_HOMES = {name: f"wsrl.{home}" for home, names in _PUBLIC.items() for name in names.split()}

__all__ = ["__version__", *_HOMES]

_torchvision.declare_before_import()


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'wsrl' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
