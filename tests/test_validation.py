"""Values from anybody's files are refused in one clear line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from wsrl.validation import check_arguments, check_size, checked, from_json


@checked
class Part:
    rows: Annotated[int, Field(ge=1, le=9)]
    kind: Literal["a", "b"] = "a"
    shape: Annotated[tuple[int, ...], Field(max_length=2, strict=False)] = ()


@checked
class Whole:
    parts: dict[str, Part]
    versions: dict[str, str] = Field(default_factory=dict)


@pytest.mark.parametrize(
    ("part", "line"),
    [
        ({"rows": 0}, "parts.x.rows must be at least 1, not 0"),
        ({"rows": True}, "parts.x.rows must be a whole number, not True"),
        ({}, "parts.x.rows is missing"),
        ({"rows": 1, "more": 2}, "parts.x.more is unknown"),
        ({"rows": 1, "kind": "c"}, "parts.x.kind must be 'a' or 'b', not 'c'"),
        ({"rows": 1, "shape": [1, "2"]}, r"parts.x.shape\[1\] must be a whole number, not '2'"),
        (7, "parts.x must be an object, not 7"),
    ],
)
def test_a_refusal_names_the_place_what_was_given_and_what_was_expected(
    part: Any, line: str
) -> None:
    with pytest.raises(ValueError, match=f"^{line}$") as caught:
        from_json(Whole, {"parts": {"x": part}})
    assert type(caught.value) is ValueError


def test_what_fits_is_made_and_can_be_made_from_python_too() -> None:
    made = from_json(Whole, {"parts": {"x": {"rows": 2, "shape": [1, 2]}}})
    assert made == Whole({"x": Part(2, shape=(1, 2))})
    with pytest.raises(ValueError, match=r"^rows must be at most 9, not 10$"):
        Part(10)


@given(st.recursive(st.none() | st.text() | st.integers() | st.floats(), st.lists, max_leaves=5))
def test_a_line_is_one_line_of_bounded_length(hostile: Any) -> None:
    for content in ({"parts": hostile}, {"parts": {str(hostile): hostile}}):
        with pytest.raises(ValueError, match=r"must|unknown|missing") as caught:
            from_json(Whole, content)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 300


class Made:
    def __init__(
        self,
        count: int,
        share: float = 0.5,
        name: str | None = None,
        pairs: Sequence[tuple[int, float]] = (),
        kinds: Sequence[Mapping[str, Any]] = (),
        way: Literal["up", "down"] = "up",
        size: Annotated[int, Field(ge=1)] = 1,
        other: Made | None = None,
        untyped=None,  # type: ignore[no-untyped-def]
    ) -> None: ...


def test_arguments_of_the_annotated_kinds_pass() -> None:
    check_arguments(Made, {"count": 1, "share": 1, "name": None, "pairs": [[0, 0.1], (1, 2)]})
    check_arguments(Made, {"share": float("nan"), "kinds": [{"name": 1}], "untyped": object()})


@pytest.mark.parametrize(
    "wrong",
    [
        *({"count": True}, {"count": 1.0}, {"count": "1"}, {"count": None}, {"share": "x"}),
        *({"share": True}, {"name": 1}, {"pairs": [[0]]}, {"pairs": [["0", 1]]}, {"pairs": "ab"}),
        *({"kinds": [1]}, {"way": "left"}, {"size": 0}, {"way": 10**5000}),
    ],
)
def test_arguments_of_other_kinds_are_named(wrong: Mapping[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=rf"^{name}(\[.*)? (must|is missing)"):
        check_arguments(Made, wrong)


def test_a_size_has_bounds() -> None:
    check_size("rows", 1, 1, 2)
    for value, line in ((0, "at least 1, not 0"), (3, "at most 2, not 3"), (True, "whole number")):
        with pytest.raises(ValueError, match=f"^rows must be .*{line}"):
            check_size("rows", value, 1, 2)
