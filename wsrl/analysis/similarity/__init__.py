"""How far apart RNNs are: by what they do, by their states, their dynamics and their weights.

All functions return symmetric matrices ``(B, B)`` of distances, 0 on the diagonal.
"""

from wsrl.analysis.similarity.behaviour import output_distances
from wsrl.analysis.similarity.comparable import no_weight_distance
from wsrl.analysis.similarity.operators import delay_operators, operator_angles
from wsrl.analysis.similarity.relations import Relation, cluster_order, rank_relation
from wsrl.analysis.similarity.representation import RepresentationDistances, representations
from wsrl.analysis.similarity.spectra import settled_spectra, spectral_distances
from wsrl.analysis.similarity.spread import Spread, mean_distance, spread_difference
from wsrl.analysis.similarity.weights import WeightDistances, weight_distances

__all__ = [
    "Relation",
    "RepresentationDistances",
    "Spread",
    "WeightDistances",
    "cluster_order",
    "delay_operators",
    "mean_distance",
    "no_weight_distance",
    "operator_angles",
    "output_distances",
    "rank_relation",
    "representations",
    "settled_spectra",
    "spectral_distances",
    "spread_difference",
    "weight_distances",
]
