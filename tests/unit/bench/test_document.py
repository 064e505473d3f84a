"""The generated part of docs/performance.md."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from bench import charts, document
from bench.figures import Bar, Row

COLD = Row(
    id="a",
    measure="cold",
    case="2 GiB fp16, one file",
    unit="s",
    bar=Bar(limit=0.15),
    ours=(10.0,),
    peer=(80.0,),
    peer_name="docker",
)
TUNED = replace(COLD, id="a2", peer=(38.0,), peer_name="buildkit")
PAGE = "# Speed\n\n<!-- figures: begin -->\nold\n<!-- figures: end -->\n\nAfter.\n"


def test_only_what_stands_between_the_marks_is_replaced() -> None:
    page = document.with_figures(PAGE, "new")
    assert page == PAGE.replace("old", "new")
    assert document.with_figures(page, "new") == page


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="no marks"):
        document.with_figures("# Speed\n", "new")


def test_the_page_in_the_repository_has_the_marks() -> None:
    document.with_figures(document.PAGE.read_text(), "")


def test_json_gives_table_charts_and_what_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "performance.md"
    page.write_text(PAGE)
    monkeypatch.setattr(document, "PAGE", page)
    about = {"processor": "two cores", "when": "Monday"}
    document.write(
        [
            document.to_json([TUNED], about, {"j": "no containerd"}),
            document.to_json([COLD], about | {"when": "Tuesday"}, {}),
        ]
    )
    text = page.read_text()
    assert "| a | cold |" in text
    assert "| processor | two cores |" in text
    assert "| when | Monday; Tuesday |" in text
    assert text.index("| a | cold |") < text.index("| a2 | cold |")
    assert "- Row j could not be taken: no containerd" in text
    assert "(performance/cold.svg)" in text
    assert (tmp_path / "performance" / "cold.svg").exists()


def test_charts_are_whole_svg_the_same_each_time_and_load_nothing() -> None:
    title, svg = charts.draw([COLD, TUNED])["cold"]
    assert "seconds" in title
    assert ET.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    assert b"<script" not in svg
    assert charts.draw([COLD, TUNED])["cold"][1] == svg


def test_rows_that_are_missing_have_no_chart() -> None:
    assert set(charts.draw([COLD, TUNED])) == {"cold"}
    assert charts.draw([COLD]) == {}
