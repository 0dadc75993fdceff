"""Delayed discrimination: which of two stimuli, one after the other, was stronger (Romo 1999)."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from wsrl.problems.criteria import right_choices
from wsrl.problems.periods import (
    Durations,
    Milliseconds,
    check_durations,
    delays,
    periods,
    steps_of,
)
from wsrl.problems.registry import register_problem
from wsrl.problems.trials import Count, Parameter, TrialProblem, Trials, span


@register_problem
class DelayedDiscrimination(TrialProblem):
    """Each output is 1 where the second stimulus of its channel is stronger, -1 where the first.

    Inputs are a fixation cue, 1 until the decision, and the channels; stimuli are from 0.5 to 1.
    The decision counts. ``performance`` is the share of the choices that are right: less than 1 is
    the best that can be done where inputs are noisy. Times are those of NeuroGym's DelayComparison,
    which has a difference of 1/3, a delay of 1000 without jitter, and, at its ``dt`` of 100, an
    ``input_noise`` of 0.1 (``1 / sqrt(dt)``).

    Raises:
        ValueError: for values out of range, and a stimulus or decision of less than a step.

    Args:
        channels: with stimuli of their own.
        dt: milliseconds of a step.
        fixation: milliseconds before the first stimulus.
        stimulus: milliseconds of each stimulus.
        decision: milliseconds after the second.
        difference: of the two stimuli, as a share of their range; like all that follow but the last
            two a number, or the lowest and the highest of the members.
        delay: milliseconds between the stimuli.
        jitter: by what share of it the delay of a trial may differ, either way.
        input_noise: standard deviation of what is added to every input at every step.
        unit_noise: standard deviation of what is added to every neuron at every step in training.
        evaluated_trials: trials on which an RNN is judged.
        stored_trials: how many of these are stored with the outputs on them.
    """

    name: ClassVar[str] = "delayed_discrimination"
    criterion = staticmethod(right_choices)

    def __init__(
        self,
        channels: Annotated[int, Field(ge=1, le=64)] = 1,
        dt: Milliseconds = 100.0,
        fixation: Milliseconds = 500.0,
        stimulus: Milliseconds = 500.0,
        decision: Milliseconds = 100.0,
        difference: Parameter = (0.2, 0.5),
        delay: Parameter = (500.0, 2000.0),
        jitter: Parameter = (0.0, 0.6),
        input_noise: Parameter = (0.0, 0.1),
        unit_noise: Parameter = 0.0,
        evaluated_trials: Count = 128,
        stored_trials: Count = 16,
    ) -> None:
        check_durations(dt, stimulus=stimulus, decision=decision)
        parameters = {
            "difference": span("difference", difference, 0, 1),
            "delay": span("delay", delay),
            "jitter": span("jitter", jitter, 0, 1),
        }
        self.dt, self.fixation, self.stimulus, self.decision = dt, fixation, stimulus, decision
        longest = parameters["delay"][1] * (1 + parameters["jitter"][1])
        length = sum(steps_of(ms, dt) for ms in (fixation, stimulus, longest, stimulus, decision))
        sizes = (1 + channels, channels, length)
        super().__init__(
            *sizes, parameters, input_noise, unit_noise, evaluated_trials, stored_trials
        )

    def draw(self, own: np.random.Generator, task: Mapping[str, float], count: int) -> Trials:
        """Draw pairs of stimuli, in either order, and delays."""
        shape = (count, 1, self.output_size)
        weaker = own.uniform(0, 1 - task["difference"], shape)
        sign = own.choice((-1.0, 1.0), shape)
        first, second = (weaker + task["difference"] * (way * sign > 0) for way in (-1, 1))
        durations: Durations = {
            "fixation": self.fixation,
            "first": self.stimulus,
            "delay": delays(own, count, task["delay"], task["jitter"]),
            "second": self.stimulus,
            "decision": self.decision,
        }
        found = periods(durations, self.dt, count, self.length)
        on = {name: steps[..., None] for name, steps in found.items()}
        fixed = on["fixation"] | on["first"] | on["delay"] | on["second"]
        stimuli = on["first"] * (1 + first) / 2 + on["second"] * (1 + second) / 2
        inputs = np.concatenate([fixed, stimuli], 2)
        return Trials(inputs, sign * on["decision"], found["decision"])
