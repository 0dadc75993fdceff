"""Path integration: say where one is from how one moves (Cueva and Wei 2018)."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np

from wsrl.problems.criteria import explained
from wsrl.problems.registry import register_problem
from wsrl.problems.trials import Count, Parameter, TrialProblem, Trials, span


@register_problem
class PathIntegration(TrialProblem):
    """The output is a position between walls at -1 and 1; inputs are velocities.

    At the first step other inputs tell where the path begins. The velocity is an
    Ornstein-Uhlenbeck process that walls reflect; inputs are what was moved in a step (a vector,
    as in Sorscher et al. 2019, not an angle and a speed). ``performance`` is the share of the
    positions' variance that is explained.

    Args:
        dimensions: of the space.
        length: steps of a trial.
        speed: standard deviation of the velocity, in each dimension, a step; like all that follow
            but the last two a number, or the lowest and the highest of the members.
        persistence: time constant of the velocity, in steps; 0 for a walk without memory.
        input_noise: standard deviation of what is added to every input at every step.
        unit_noise: standard deviation of what is added to every neuron at every step in training.
        evaluated_trials: trials on which an RNN is judged.
        stored_trials: how many of these are stored with the outputs on them.
    """

    name: ClassVar[str] = "path_integration"
    criterion = staticmethod(explained)

    def __init__(
        self,
        dimensions: Literal[1, 2, 3] = 2,
        length: Count = 50,
        speed: Parameter = (0.05, 0.15),
        persistence: Parameter = (0.0, 10.0),
        input_noise: Parameter = (0.0, 0.02),
        unit_noise: Parameter = 0.0,
        evaluated_trials: Count = 64,
        stored_trials: Count = 16,
    ) -> None:
        parameters = {
            "speed": span("speed", speed, 0, 1),
            "persistence": span("persistence", persistence),
        }
        sizes = (2 * dimensions, dimensions, length)
        super().__init__(
            *sizes, parameters, input_noise, unit_noise, evaluated_trials, stored_trials
        )

    def draw(self, own: np.random.Generator, task: Mapping[str, float], count: int) -> Trials:
        """Draw paths."""
        kept = np.exp(-1 / task["persistence"]) if task["persistence"] else 0.0
        pushes = own.standard_normal((self.length, count, self.output_size))
        position = own.uniform(-1, 1, pushes.shape[1:])
        velocity = task["speed"] * pushes[0]
        moved, positions = [0 * position], [position]
        for push in pushes[1:]:
            velocity = kept * velocity + (1 - kept**2) ** 0.5 * task["speed"] * push
            velocity = velocity.clip(-1, 1)
            velocity = np.where(abs(position + velocity) > 1, -velocity, velocity)
            position = position + velocity
            moved.append(velocity)
            positions.append(position)
        velocities, targets = np.stack(moved, 1), np.stack(positions, 1)
        start = np.where(np.arange(self.length)[:, None] == 0, targets, 0)
        return Trials(np.concatenate([velocities, start], 2), targets, np.ones(targets.shape[:2]))
