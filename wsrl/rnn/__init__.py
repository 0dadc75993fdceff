"""The subject networks: their specification, their weights and the runtime for many at once."""

from wsrl.rnn.backends import Backend
from wsrl.rnn.cross_entropy import population_cross_entropy, sequence_cross_entropy
from wsrl.rnn.population import State, run_population
from wsrl.rnn.prepared import PreparedPopulation
from wsrl.rnn.spec import CELLS, RNNSpec, TensorSpec
from wsrl.rnn.state_dicts import weights_from_state_dict
from wsrl.rnn.weights import RecurrentNetwork, RNNWeights, random_permutations

__all__ = [
    "CELLS",
    "Backend",
    "PreparedPopulation",
    "RNNSpec",
    "RNNWeights",
    "RecurrentNetwork",
    "State",
    "TensorSpec",
    "population_cross_entropy",
    "random_permutations",
    "run_population",
    "sequence_cross_entropy",
    "weights_from_state_dict",
]
