"""The subject networks: their specification, their weights and the runtime for many at once."""

from wsrl.rnn.backends import Backend
from wsrl.rnn.black_box import BlackBox
from wsrl.rnn.cells import Cell, get_cell, list_cells, register_cell
from wsrl.rnn.cross_entropy import population_cross_entropy, sequence_cross_entropy
from wsrl.rnn.fixed_points import FixedPoints, find_fixed_points
from wsrl.rnn.formats import (
    OpenChoiceError,
    read_rnn,
    read_state_dict,
    weights_from_state_dict,
)
from wsrl.rnn.interface import RNNInterface
from wsrl.rnn.linearization import (
    Linearization,
    advance,
    flatten_state,
    linearize,
    linearize_step,
    spectral_residues,
    state_size,
    states_along,
    unflatten_state,
)
from wsrl.rnn.mixed import MixedRNNs, RNNs, change_groups, concatenate
from wsrl.rnn.population import PreparedPopulation, State, run_population, run_with_noise
from wsrl.rnn.spec import RNNSpec, TensorSpec, read_interface
from wsrl.rnn.starts import random_starts, settled_states, visited_states
from wsrl.rnn.usable import check_finite, check_usable
from wsrl.rnn.weights import (
    RNNWeights,
    random_permutations,
    with_initial_values,
)

__all__ = [
    "Backend",
    "BlackBox",
    "Cell",
    "FixedPoints",
    "Linearization",
    "MixedRNNs",
    "OpenChoiceError",
    "PreparedPopulation",
    "RNNInterface",
    "RNNSpec",
    "RNNWeights",
    "RNNs",
    "State",
    "TensorSpec",
    "advance",
    "change_groups",
    "check_finite",
    "check_usable",
    "concatenate",
    "find_fixed_points",
    "flatten_state",
    "get_cell",
    "linearize",
    "linearize_step",
    "list_cells",
    "population_cross_entropy",
    "random_permutations",
    "random_starts",
    "read_interface",
    "read_rnn",
    "read_state_dict",
    "register_cell",
    "run_population",
    "run_with_noise",
    "sequence_cross_entropy",
    "settled_states",
    "spectral_residues",
    "state_size",
    "states_along",
    "unflatten_state",
    "visited_states",
    "weights_from_state_dict",
    "with_initial_values",
]
