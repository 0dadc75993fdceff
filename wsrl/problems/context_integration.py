"""Context-dependent integration: a cue says which of two streams counts (Mante et al. 2013)."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

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

SHARES = (0.1, 0.3, 1.0)
"""Coherences of a member, as shares of its largest: NeuroGym's are 5, 15 and 50 %."""


@register_problem
class ContextIntegration(TrialProblem):
    """The output is the sign of the mean of that stream which the context names.

    Inputs are a fixation cue, 1 until the decision, two streams, and two contexts, one of them 1
    until the decision. A stream's mean is a coherence of either sign. The decision counts.
    ``performance`` is the share of the choices that are right: less than 1 is the best that can be
    done where inputs are noisy. Times are those of NeuroGym's ContextDecisionMaking, which has a
    coherence of 0.5 and, at its ``dt`` of 100, an ``input_noise`` of 0.1 (``1 / sqrt(dt)``; of two
    inputs a stream, here it is one).

    Raises:
        ValueError: for values out of range, and a decision of less than a step.

    Args:
        dt: milliseconds of a step.
        fixation: milliseconds before the streams.
        decision: milliseconds of the decision.
        coherence: the largest; a trial has it, or 0.3 or 0.1 of it, in each stream; like all that
            follow but the last two a number, or the lowest and the highest of the members.
        stimulus: milliseconds of the streams.
        delay: milliseconds between them and the decision.
        jitter: by what share of it the delay of a trial may differ, either way.
        input_noise: standard deviation of what is added to every input at every step.
        unit_noise: standard deviation of what is added to every neuron at every step in training.
        evaluated_trials: trials on which an RNN is judged.
        stored_trials: how many of these are stored with the outputs on them.
    """

    name: ClassVar[str] = "context_integration"
    criterion = staticmethod(right_choices)

    def __init__(
        self,
        dt: Milliseconds = 100.0,
        fixation: Milliseconds = 300.0,
        decision: Milliseconds = 100.0,
        coherence: Parameter = (0.3, 0.6),
        stimulus: Parameter = (600.0, 1200.0),
        delay: Parameter = (300.0, 900.0),
        jitter: Parameter = (0.0, 0.6),
        input_noise: Parameter = (0.0, 0.1),
        unit_noise: Parameter = 0.0,
        evaluated_trials: Count = 128,
        stored_trials: Count = 16,
    ) -> None:
        check_durations(dt, decision=decision)
        parameters = {
            "coherence": span("coherence", coherence),
            "stimulus": span("stimulus", stimulus, dt),
            "delay": span("delay", delay),
            "jitter": span("jitter", jitter, 0, 1),
        }
        self.dt, self.fixation, self.decision = dt, fixation, decision
        longest = parameters["delay"][1] * (1 + parameters["jitter"][1])
        durations = (fixation, parameters["stimulus"][1], longest, decision)
        length = sum(steps_of(each, dt) for each in durations)
        super().__init__(
            5, 1, length, parameters, input_noise, unit_noise, evaluated_trials, stored_trials
        )

    def draw(self, own: np.random.Generator, task: Mapping[str, float], count: int) -> Trials:
        """Draw the coherences of both streams, the context and the delay."""
        signs = own.choice((-1.0, 1.0), (count, 1, 2))
        means = task["coherence"] * own.choice(SHARES, (count, 1, 2)) * signs
        context = np.eye(2)[own.integers(2, size=(count, 1))]
        durations: Durations = {
            "fixation": self.fixation,
            "stimulus": task["stimulus"],
            "delay": delays(own, count, task["delay"], task["jitter"]),
            "decision": self.decision,
        }
        found = periods(durations, self.dt, count, self.length)
        on = {name: steps[..., None] for name, steps in found.items()}
        fixed = on["fixation"] | on["stimulus"] | on["delay"]
        inputs = np.concatenate([fixed, on["stimulus"] * means, fixed * context], 2)
        sign = (signs * context).sum(2, keepdims=True)
        return Trials(inputs, sign * on["decision"], found["decision"])
