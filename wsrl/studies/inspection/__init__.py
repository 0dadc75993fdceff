"""Inspection of a user's own RNN: what an encoder trained on a zoo says of it."""

from wsrl.studies.inspection.inspector import Inspector, inspect_rnn
from wsrl.studies.inspection.records import Inspection

__all__ = ["Inspection", "Inspector", "inspect_rnn"]
