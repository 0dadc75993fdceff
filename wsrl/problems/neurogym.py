"""Tasks of NeuroGym (Molano-Mazon et al. 2022) as problems: any environment with targets."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from wsrl.problems.criteria import explained, right_classes
from wsrl.problems.registry import register_problem
from wsrl.problems.trials import Count, Parameter, TrialProblem, Trials, span

_TRIED = 200  # trials from which a length is found, or until one is short enough


@register_problem
class NeuroGym(TrialProblem):
    """Trials of an environment; all their steps count in the loss.

    ``performance`` is the share of right classes at the steps whose target is not class 0, which
    is to fixate or to wait (at all steps, where none has another), or the share of variance that
    is explained where targets are real. A trial is drawn anew where it is too long. Needs the
    package: ``pip install wsrl[neurogym]``.

    Args:
        environment: its name, as ``ContextDecisionMaking-v0``.
        options: arguments of the environment, by name, as ``{dt: 20}``.
        vary: arguments that are the task's parameters: each a number, or the lowest and the highest
            of the members. ``timing.delay`` is the entry ``delay`` of the argument ``timing``.
        length: steps of a sequence; by default those of the longest of 200 trials.
        input_noise: standard deviation of what is added to every input at every step, beside the
            environment's own noise.
        unit_noise: standard deviation of what is added to every neuron at every step in training.
        evaluated_trials: trials on which an RNN is judged.
        stored_trials: how many of these are stored with the outputs on them.
    """

    name: ClassVar[str] = "neurogym"

    def __init__(
        self,
        environment: str = "PerceptualDecisionMaking-v0",
        options: Mapping[str, Any] | None = None,
        vary: Mapping[str, Parameter] | None = None,
        length: Count | None = None,
        input_noise: Parameter = 0.0,
        unit_noise: Parameter = 0.0,
        evaluated_trials: Count = 128,
        stored_trials: Count = 16,
    ) -> None:
        self.environment, self.given = environment, dict(options or {})
        parameters = {name: span(name, value) for name, value in (vary or {}).items()}
        longest = self._make({name: high for name, (_, high) in parameters.items()})
        if length is None:
            _seed(longest, np.random.RandomState(0))
            length = max(len(_trial(longest)[0]) for _ in range(_TRIED))
        self._recorded |= {"length": length}  # as it is used
        choices = getattr(longest.action_space, "n", None)
        self.output_kind = "real" if choices is None else "categorical"
        self.criterion = explained if choices is None else right_classes
        outputs = int(choices or np.prod(longest.action_space.shape))
        sizes = (int(np.prod(longest.observation_space.shape)), outputs, length)
        noise = (input_noise, unit_noise)
        super().__init__(*sizes, parameters, *noise, evaluated_trials, stored_trials)

    def _make(self, task: Mapping[str, float]) -> Any:
        """Return the environment of one member."""
        options: dict[str, Any] = {**self.given}
        for name, value in task.items():
            if name not in ("input_noise", "unit_noise"):
                argument, _, entry = name.partition(".")
                entries = {**options.get(argument, {}), entry: value} if entry else None
                options[argument] = entries or value
        return make_environment(self.environment, options)

    def draw(self, own: np.random.Generator, task: Mapping[str, float], count: int) -> Trials:
        """Draw trials that are short enough."""
        made = self._make(task)  # anew, since some remember what was drawn
        _seed(made, np.random.RandomState(own.bit_generator))
        inputs = np.zeros((count, self.length, self.input_size))
        classes = self.output_kind == "categorical"
        targets = np.zeros((count, self.length, *(() if classes else (self.output_size,))))
        mask = np.zeros((count, self.length))
        for row in range(count):
            seen, wanted = self._short_trial(made)
            steps = slice(len(seen))
            inputs[row, steps] = seen.reshape(len(seen), -1)
            targets[row, steps] = wanted.reshape(len(seen), *targets.shape[2:])
            mask[row, steps] = 1
        return Trials(inputs, targets, mask)

    def _short_trial(self, made: Any) -> tuple[Any, Any]:
        found: Sequence[Any] = ()
        for _ in range(_TRIED):
            found = _trial(made)
            if len(found[0]) <= self.length:
                return found[0], found[1]
        raise ValueError(f"{self.environment} has no trials of {self.length} steps: give a length")


def make_environment(name: str, options: Mapping[str, Any]) -> Any:
    """Return an environment of NeuroGym, or raise ``ValueError`` where it cannot be had."""
    try:
        import neurogym
    except ImportError as error:
        raise ValueError(f"NeuroGym is needed ({error}): pip install 'wsrl[neurogym]'") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own metadata
            made = neurogym.make(name, **options).unwrapped
            _seed(made, np.random.RandomState(0))
            _trial(made)
    except Exception as error:  # of any kind, as the environment likes
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ValueError(f"environment {name!r} gives no trials with {options}: {said}") from error
    return made


def _seed(made: Any, rng: np.random.RandomState) -> None:
    """Let all random numbers of an environment come from ``rng``."""
    made.rng = rng
    for duration in made.timing.values():
        if callable(duration):  # a random duration has numbers of its own
            duration.rng = rng


def _trial(made: Any) -> tuple[Any, Any]:
    made.new_trial()
    return made.ob, made.gt
