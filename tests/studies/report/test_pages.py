"""Pages of studies: text as it is, tables, and charts that the script finds."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd

from wsrl.studies.report.charts import Chart, figure, points
from wsrl.studies.report.pages import Section, write_page

HOSTILE = "<script>alert(1)</script>\x1b[2J"


def test_a_page_shows_text_as_it_is_and_holds_its_charts(tmp_path: Path) -> None:
    made = figure("time", "state", [points([0, 1], [2, 3], ["a", "b"])])
    table = pd.DataFrame({"level": [HOSTILE], "found": [0.25]})
    parts = [Section("One", [HOSTILE], [Chart("a chart", made), "no chart"], [("numbers", table)])]
    write_page(tmp_path / "page.html", HOSTILE, ["said first"], parts)
    page = (tmp_path / "page.html").read_text()
    assert "alert(1)</script>" not in page
    assert "\x1b" not in page
    assert page.count("&lt;script&gt;alert(1)") == 4  # title, heading, text, table
    assert "<td>0.25</td>" in page
    assert "no chart" in page
    kept = re.search(r'id="figures">(.*?)</script>', page)
    assert kept is not None
    (drawn,) = json.loads(kept[1])
    assert drawn["data"][0]["x"] == [0, 1]
    assert 'data-chart="0"' in page
