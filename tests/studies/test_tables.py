"""Tables show names as they are, whatever is in them."""

from __future__ import annotations

from wsrl.studies.tables import aligned, listed, spreadsheet_cell

NAME = "a\nwsrl: well\x1b[2J\u202e"
SHOWN = r"a\nwsrl: well\x1b[2J\u202e"


def test_a_name_stays_in_its_place() -> None:
    assert listed({"zoo": NAME, NAME: "x"}).splitlines() == [
        f"{'zoo':{len(SHOWN)}}  {SHOWN}",
        f"{SHOWN}  x",
    ]
    assert aligned(["name"], [{"name": NAME}]).splitlines() == ["name".rjust(len(SHOWN)), SHOWN]


def test_names_that_look_alike_when_shown_are_both_there() -> None:
    assert len(listed({"\x1b": "1", r"\x1b": "2"}).splitlines()) == 2


def test_only_text_is_marked_as_no_formula() -> None:
    assert [spreadsheet_cell(text) for text in ("=1", "+1", "-1", "@a")] == [
        *("'=1", "'+1", "'-1", "'@a")
    ]
    assert [spreadsheet_cell(value) for value in (-1, -0.5, None, "a=1", "")] == [
        *(-1, -0.5, None, "a=1", "")
    ]
