"""Projects that train RNNs, told by the names that they give tensors; one file each."""

from wsrl.rnn.formats.projects.ctrnn_jax import CTRNN_JAX
from wsrl.rnn.formats.projects.dend_plrnn import DEND_PLRNN
from wsrl.rnn.formats.projects.lfads_torch import LFADS_TORCH
from wsrl.rnn.formats.projects.lowrank_inference import LOWRANK_INFERENCE
from wsrl.rnn.formats.projects.min_gru import MIN_GRU
from wsrl.rnn.formats.projects.minimal_lru import MINIMAL_LRU
from wsrl.rnn.formats.projects.multitask import MULTITASK
from wsrl.rnn.formats.projects.nn4n import NN4N
from wsrl.rnn.formats.projects.nn_brain import NN_BRAIN
from wsrl.rnn.formats.projects.psychrnn import PSYCHRNN
from wsrl.rnn.formats.projects.smc_rnns import SMC_RNNS
from wsrl.rnn.formats.projects.spikernn import SPIKERNN
from wsrl.rnn.formats.projects.trainrnnbrain import TRAINRNNBRAIN

PROJECTS = (
    CTRNN_JAX,
    DEND_PLRNN,
    LFADS_TORCH,
    LOWRANK_INFERENCE,
    MIN_GRU,
    MINIMAL_LRU,
    MULTITASK,
    NN4N,
    NN_BRAIN,
    PSYCHRNN,
    SMC_RNNS,
    SPIKERNN,
    TRAINRNNBRAIN,
)
"""A recogniser for each."""
