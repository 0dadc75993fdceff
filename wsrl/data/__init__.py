"""From a zoo to batches: splits by task, reproducible streams, Lightning's datamodule."""

from wsrl.data.batch import ZooBatch
from wsrl.data.datamodule import ZooDataModule
from wsrl.data.loaders import EvaluationLoader, TrainingLoader, ZooReader

__all__ = ["EvaluationLoader", "TrainingLoader", "ZooBatch", "ZooDataModule", "ZooReader"]
