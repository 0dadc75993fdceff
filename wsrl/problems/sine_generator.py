"""Sine generator: a constant input says how fast to oscillate (Sussillo and Barak 2013)."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from wsrl.problems.criteria import explained
from wsrl.problems.registry import register_problem
from wsrl.problems.trials import Count, Parameter, TrialProblem, Trials, span

FASTEST = np.pi
"""Radians a step: a faster sine looks like a slower one."""


@register_problem
class SineGenerator(TrialProblem):
    """Each output is ``sin(w t)``, with a frequency ``w`` that its input stands for.

    A member has ``frequencies`` of them, evenly spaced; the ``j``-th is asked for by a constant
    input of ``j / frequencies + 0.25``. ``performance`` is the share of the outputs' variance that
    is explained. Sussillo and Barak have 51 frequencies from 0.1 to 0.6.

    Args:
        channels: inputs, and outputs.
        length: steps of a trial.
        frequencies: of one member.
        slowest: lowest frequency in radians a step; like all that follow but the last two a number,
            or the lowest and the highest of the members.
        fastest: highest frequency.
        input_noise: standard deviation of what is added to every input at every step.
        unit_noise: standard deviation of what is added to every neuron at every step in training.
        evaluated_trials: trials on which an RNN is judged.
        stored_trials: how many of these are stored with the outputs on them.
    """

    name: ClassVar[str] = "sine_generator"
    criterion = staticmethod(explained)

    def __init__(
        self,
        channels: Count = 1,
        length: Count = 64,
        frequencies: Count = 51,
        slowest: Parameter = (0.05, 0.15),
        fastest: Parameter = (0.4, 0.6),
        input_noise: Parameter = 0.0,
        unit_noise: Parameter = 0.0,
        evaluated_trials: Count = 64,
        stored_trials: Count = 16,
    ) -> None:
        parameters = {
            "slowest": span("slowest", slowest, 0, FASTEST),
            "fastest": span("fastest", fastest, 0, FASTEST),
        }
        if parameters["slowest"][1] > parameters["fastest"][0]:
            raise ValueError(f"slowest, {slowest}, must not be above fastest, {fastest}")
        self.frequencies = frequencies
        sizes = (channels, channels, length)
        super().__init__(
            *sizes, parameters, input_noise, unit_noise, evaluated_trials, stored_trials
        )

    def draw(self, own: np.random.Generator, task: Mapping[str, float], count: int) -> Trials:
        """Draw one frequency a channel."""
        which = own.integers(self.frequencies, size=(count, 1, self.input_size))
        known = np.linspace(task["slowest"], task["fastest"], self.frequencies)
        steps = np.arange(1, self.length + 1)[:, None]
        inputs = (which + 1) / self.frequencies + 0.25 + 0 * steps
        return Trials(inputs, np.sin(known[which] * steps), np.ones((count, self.length)))
