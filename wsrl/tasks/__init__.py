"""Lightning modules that train encoders: by emulation, and for predicting properties."""

from wsrl.tasks.base import TaskModule
from wsrl.tasks.emulation import EmulationModule
from wsrl.tasks.muon import MuonWithAdamW
from wsrl.tasks.prediction import PredictionModule

__all__ = ["EmulationModule", "MuonWithAdamW", "PredictionModule", "TaskModule"]
