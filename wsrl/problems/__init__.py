"""The problems of zoos: what their RNNs were trained on, one file each."""

from wsrl.plugins import import_modules
from wsrl.problems.base import Batch as Batch
from wsrl.problems.base import InputKind as InputKind
from wsrl.problems.base import Problem as Problem
from wsrl.problems.base import Runner as Runner
from wsrl.problems.base import TrainableProblem as TrainableProblem
from wsrl.problems.base import TrainingStream as TrainingStream
from wsrl.problems.columns import Column as Column
from wsrl.problems.columns import Target as Target
from wsrl.problems.context_integration import ContextIntegration as ContextIntegration
from wsrl.problems.delayed_discrimination import DelayedDiscrimination as DelayedDiscrimination
from wsrl.problems.flip_flop import FlipFlop as FlipFlop
from wsrl.problems.formal_languages import FormalLanguages as FormalLanguages
from wsrl.problems.neurogym import NeuroGym as NeuroGym
from wsrl.problems.packed import PackedRNNs as PackedRNNs
from wsrl.problems.path_integration import PathIntegration as PathIntegration
from wsrl.problems.registry import create_problem as create_problem
from wsrl.problems.registry import get_problem as get_problem
from wsrl.problems.registry import get_trainable_problem as get_trainable_problem
from wsrl.problems.registry import list_problems as list_problems
from wsrl.problems.registry import list_trainable_problems as list_trainable_problems
from wsrl.problems.registry import register_problem as register_problem
from wsrl.problems.sine_generator import SineGenerator as SineGenerator
from wsrl.problems.tiled_images import TiledImages as TiledImages
from wsrl.problems.trials import TrialProblem as TrialProblem
from wsrl.problems.variable_binding import VariableBinding as VariableBinding

import_modules(__name__, __path__)
