"""Flip-flop: remember the last pulse of every channel (Sussillo and Barak 2013)."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from wsrl.problems.criteria import explained
from wsrl.problems.registry import register_problem
from wsrl.problems.trials import Count, Parameter, TrialProblem, Trials, span


@register_problem
class FlipFlop(TrialProblem):
    """Each output has the sign of the last pulse of its input.

    At the first step every channel has a pulse. ``performance`` is the share of the outputs'
    variance that is explained. Golub and Sussillo (2018) have 3 bits, 64 steps and a rate of 0.5.

    Args:
        bits: channels.
        length: steps of a trial.
        pulse_rate: probability of a pulse, -1 or 1, in a channel at a step; like all that follow
            but the last two a number, or the lowest and the highest of the members.
        input_noise: standard deviation of what is added to every input at every step.
        unit_noise: standard deviation of what is added to every neuron at every step in training.
        evaluated_trials: trials on which an RNN is judged.
        stored_trials: how many of these are stored with the outputs on them.
    """

    name: ClassVar[str] = "flip_flop"
    criterion = staticmethod(explained)

    def __init__(
        self,
        bits: Annotated[int, Field(ge=1, le=64)] = 3,
        length: Count = 64,
        pulse_rate: Parameter = (0.05, 0.5),
        input_noise: Parameter = (0.0, 0.1),
        unit_noise: Parameter = 0.0,
        evaluated_trials: Count = 64,
        stored_trials: Count = 16,
    ) -> None:
        parameters = {
            "pulse_rate": span("pulse_rate", pulse_rate, 0, 1),
        }
        super().__init__(
            bits, bits, length, parameters, input_noise, unit_noise, evaluated_trials, stored_trials
        )

    def draw(self, own: np.random.Generator, task: Mapping[str, float], count: int) -> Trials:
        """Draw pulses; targets are the last of them."""
        shape = (count, self.length, self.input_size)
        there = own.random(shape) < task["pulse_rate"]
        there[:, 0] = True
        pulses = np.where(there, own.choice((-1.0, 1.0), shape), 0)
        steps = np.arange(self.length)[:, None]
        last = np.maximum.accumulate(np.where(there, steps, 0), axis=1)
        return Trials(pulses, np.take_along_axis(pulses, last, 1), np.ones(shape[:2]))
