"""What the benchmark of faults counts; the faults themselves are tested beside what they hit."""

from __future__ import annotations

from benchmarks.faults import Result


def test_what_is_lost_and_what_differs_is_counted() -> None:
    whole = Result({"train/loss 0": (0, 0.5), "train/loss 1": (1, 0.4), "weight": [1.0]})
    less = Result({"train/loss 0": (0, 0.5), "weight": [1.0]})
    other = Result(whole.values | {"weight": [1.5], "train/loss 1": (2, 0.4)})
    assert (whole.lost(whole), whole.different(whole)) == (0, 0)
    assert (whole.lost(less), whole.different(less)) == (1, 0)
    assert (less.lost(whole), less.different(whole)) == (0, 1)  # one too many
    assert (whole.lost(other), whole.different(other)) == (0, 2)
