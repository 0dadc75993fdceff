"""Progress of a benchmark, and an estimate of the time left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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

    def know(self, name: str, seconds: float) -> None:
        """Record a finished trial without printing."""
        self.seconds[name] = seconds

    def done(self, name: str, seconds: float) -> None:
        """Record and report a finished trial."""
        self.know(name, seconds)
        self._say(name, f"done in {duration(seconds)}")

    def fail(self, name: str, reason: str) -> None:
        """Record and report a failed trial."""
        self.failed[name] = reason
        self._say(name, f"FAILED: {reason}")

    def leave_out(self, name: str, needed: str) -> None:
        """Record and report a trial that cannot be run."""
        self.fail(name, f"left out, since {needed} failed")

    def show(self, running: Sequence[str]) -> None:
        """Say how many trials are through, and which are being run here."""
        through = len(self.seconds) + len(self.failed)
        say(f"{through} of {len(self.trials)} trials are through; running: {', '.join(running)}")

    def time_left(self) -> float | None:
        """Return the estimated seconds left; ``None`` if no similar trial has finished."""
        left = [c for n, c in self.trials.items() if n not in self.seconds and n not in self.failed]
        times = _times(self.trials, self.seconds)
        known = [self._guess(trial, times) for trial in left]
        guesses = [guess for guess in known if guess is not None]
        if left and not guesses:
            return None
        return mean(guesses) * len(left) / self.workers if left else 0.0

    def _guess(self, trial: Trial, times: Mapping[tuple[str, ...], list[float]]) -> float | None:
        """Return the mean time of the most similar finished trials."""
        return next((mean(times[key]) for key in _likenesses(trial) if key in times), None)

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


def _times(
    trials: Mapping[str, Trial], seconds: Mapping[str, float]
) -> dict[tuple[str, ...], list[float]]:
    times: dict[tuple[str, ...], list[float]] = {}
    for name, taken in seconds.items():
        for key in _likenesses(trials[name]):
            times.setdefault(key, []).append(taken)
    return times
