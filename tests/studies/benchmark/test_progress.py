"""How long the rest may take."""

from __future__ import annotations

import pytest

from wsrl.studies.benchmark.progress import Progress, duration
from wsrl.studies.benchmark.results import Trial


def trials() -> list[Trial]:
    found = []
    for encoder in ("A", "B"):
        for seed in range(3):
            place = f"z/{encoder}/seed{seed}"
            found.append(Trial(f"{place}/emulation", "emulation", "z", encoder, seed))
            found.append(
                Trial(f"{place}/task-frozen", "prediction", "z", encoder, seed, "task", "frozen")
            )
    return found


def test_the_rest_takes_what_its_like_took() -> None:
    progress = Progress(trials(), workers=2)
    assert progress.time_left() is None
    progress.seconds["z/A/seed0/emulation"] = 100
    progress.seconds["z/B/seed0/emulation"] = 10
    progress.seconds["z/A/seed0/task-frozen"] = 4
    left = 2 * 100 + 2 * 10 + 5 * 4  # B's prediction is like A's: of the same kind on the same zoo
    assert progress.time_left() == pytest.approx(left / 2)


def test_failed_trials_take_no_time(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(trials(), workers=1)
    for trial in trials()[1:]:
        progress.seconds[trial.name] = 1
    assert progress.time_left() == pytest.approx(1)
    progress.fail("z/A/seed0/emulation", "no luck")
    assert progress.time_left() == 0
    assert "[12/12] z/A/seed0/emulation: FAILED: no luck" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.24, "0.2s"), (59.4, "59s"), (60, "1m 00s"), (3599, "59m 59s"), (7500, "2h 05m")],
)
def test_durations_have_two_units_at_most(seconds: float, said: str) -> None:
    assert duration(seconds) == said
