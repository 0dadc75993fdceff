"""What problems say of their tasks."""

from __future__ import annotations

from wsrl.problems import FormalLanguages, TiledImages
from wsrl.problems.packed import PackedRNNs
from wsrl.problems.variable_binding import VariableBinding


def test_tasks_have_names() -> None:
    assert FormalLanguages().task_name([0, -2, 0, 1]) == "a^n b^(n-2) c^n d^(n+1)"
    assert TiledImages().task_name([12.34]) == "12.3 degrees"
    assert VariableBinding(2, 2, ["repeat_copy"]).task_name([0, 1, 1, -1]) == "0, 1, 1, -1"
    properties = [
        {"name": "animal", "kind": "classes", "classes": ["mouse", "rat"]},
        {"name": "weight", "kind": "real"},
    ]
    settings = (3, 2, "real", 5, 1, "normal", properties)
    assert PackedRNNs(*settings).task_name([7.0]) == "run 7"
    both = PackedRNNs(*settings, task=["animal", "weight"])
    assert both.task_name([1.0, 2.5]) == "animal rat, weight 2.5"


def test_scores_are_said_in_words() -> None:
    assert "a^n b^(n+1): 97%" in FormalLanguages(num_tokens=2).score_text([0, 1], 0.97)
    assert "by 30.0 degrees: 80% right" in TiledImages().score_text([30.0], 0.8)
    assert "task 0, 1: score 0.50" in VariableBinding(1, 1, ["repeat_copy"]).score_text([0, 1], 0.5)
