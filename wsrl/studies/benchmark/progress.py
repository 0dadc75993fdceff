"""Progress of a benchmark, and an estimate of the time left."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from statistics import mean

from wsrl.studies.benchmark.results import Trial
from wsrl.terminal import say


class Progress:
    """Reports how each trial ended, and how much of the grid is left.

    Args:
        trials: all trials of the grid.
        workers: trials that run at once here.
    """

    def __init__(self, trials: Iterable[Trial], workers: int) -> None:
        self.trials = {trial.name: trial for trial in trials}
        self.workers = workers
        self.seconds: dict[str, float] = {}
        self.failed: dict[str, str] = {}

    def done(self, name: str, seconds: float) -> None:
        """Record and report a finished trial; those finished before go into ``seconds``."""
        self.seconds[name] = seconds
        self._say(name, f"done in {duration(seconds)}")

    def fail(self, name: str, reason: str) -> None:
        """Record and report a failed trial."""
        self.failed[name] = reason
        self._say(name, f"FAILED: {reason}")

    def time_left(self) -> float | None:
        """Return the estimated seconds left; ``None`` if no similar trial has finished."""
        left = [t for n, t in self.trials.items() if n not in self.seconds and n not in self.failed]
        times = defaultdict(list)
        for name, taken in self.seconds.items():
            for key in _likenesses(self.trials[name]):
                times[key].append(taken)
        likest = [next((key for key in _likenesses(t) if key in times), None) for t in left]
        guesses = [mean(times[key]) for key in likest if key is not None]
        if left and not guesses:
            return None
        return mean(guesses) * len(left) / self.workers if left else 0.0

    def _say(self, name: str, text: str) -> None:
        through = len(self.seconds) + len(self.failed)
        left = self.time_left()
        rest = "" if left is None or through == len(self.trials) else f"; {duration(left)} left"
        width = len(str(len(self.trials)))
        say(f"[{through:{width}}/{len(self.trials)}] {name}: {text}{rest}")


def duration(seconds: float) -> str:
    """Write a duration in two units at most, as ``2h 05m``."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f}s" if seconds < 10 else f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m"


def _likenesses(trial: Trial) -> list[tuple[str, ...]]:
    """Return keys by which trials are similar, the most specific first."""
    mode = trial.mode or ""
    alike = [(trial.zoo, trial.kind, trial.encoder, mode), (trial.zoo, trial.kind, mode)]
    return [*alike, (trial.zoo, trial.kind), (trial.kind,)]
