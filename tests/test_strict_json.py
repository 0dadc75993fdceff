"""JSON that every reader takes."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsrl.strict_json import numbers, to_json

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
CONTENTS = st.recursive(
    LEAVES, lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside), max_leaves=20
)


def refuse(word: str) -> None:
    raise ValueError(word)


def with_null(content: object) -> object:
    if isinstance(content, dict):
        return {name: with_null(value) for name, value in content.items()}
    if isinstance(content, list):
        return [with_null(value) for value in content]
    return None if isinstance(content, float) and content - content != 0 else content


@given(CONTENTS)
def test_a_strict_reader_reads_all_but_what_is_not_finite(content: object) -> None:
    assert json.loads(to_json(content), parse_constant=refuse) == with_null(content)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_null_at_any_depth(value: float) -> None:
    with pytest.raises(ValueError, match=r"NaN|Infinity"):
        json.loads(json.dumps(value), parse_constant=refuse)  # as json would write it
    assert to_json({"a": (value, [1.5])}) == '{"a": [null, [1.5]]}'


def test_null_is_read_as_nan() -> None:
    found = numbers({"r2": None, "mae": 0.5})
    assert found["r2"] != found["r2"]
    assert found["mae"] == 0.5


def test_what_cannot_be_json_is_refused() -> None:
    with pytest.raises(TypeError):
        to_json({1 + 2j: "complex"})
