"""JSON that every reader takes."""

import json

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


def test_null_is_read_as_nan_and_what_is_no_json_is_refused() -> None:
    found = numbers(json.loads(to_json({"r2": float("nan"), "mae": 0.5})))
    assert found["r2"] != found["r2"]
    assert found["mae"] == 0.5
    with pytest.raises(TypeError):
        to_json({1 + 2j: "complex"})
