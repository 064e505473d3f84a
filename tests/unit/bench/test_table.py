"""The table as a terminal and the document show it."""

from __future__ import annotations

from bench import table
from bench.figures import Bar, Row

SLOW = Row(
    id="b",
    measure="cold, tested",
    case="2 GiB",
    unit="s",
    bar=Bar(limit=0.3),
    ours=(4.0, 5.0, 6.0),
    peer=(10.0, 10.0, 10.0),
    peer_name="docker",
    note="one | two",
)
ALONE = Row(
    id="g", measure="disk", case="1 GiB", unit="", bar=Bar(limit=0.001, of="ours"), ours=(0.0,)
)


def test_cells_say_ours_the_peers_the_ratio_and_whether_the_bar_is_met() -> None:
    assert table.cells(SLOW) == (
        *("b", "cold, tested", "2 GiB", "5 s", "10 s (docker)"),
        *("0.5", "≤ 0.3", "✗", "40% / 0%"),
    )


def test_a_single_sample_without_a_peer_has_neither_ratio_nor_spread() -> None:
    assert table.cells(ALONE) == (*("g", "disk", "1 GiB", "0", "—", "—", "≤ 0.001", "✓", "—"),)


def test_a_bar_on_our_own_figure_has_its_unit() -> None:
    row = Row(id="e", measure="again", case="", unit="s", bar=Bar(limit=2, of="ours"), ours=(1.0,))
    assert table.cells(row)[6] == "≤ 2 s"


def test_columns_stand_under_one_another() -> None:
    lines = table.text((SLOW, ALONE)).splitlines()
    assert len({line.index(word) for line, word in zip(lines, ("bar", "≤", "≤"), strict=True)}) == 1


def test_markdown_has_a_line_a_row_and_the_notes_below() -> None:
    lines = table.markdown((SLOW, ALONE)).splitlines()
    assert lines[2].startswith("| b | cold, tested | 2 GiB | 5 s |")
    assert lines[-1] == "- **b**, 2 GiB: one | two"
    assert all(line.count("|") == lines[0].count("|") for line in lines[:4])


def test_a_bar_in_a_cell_does_not_end_it() -> None:
    odd = Row(id="x", measure="a|b", case="", unit="", bar=Bar(limit=1, of="ours"), ours=(1.0,))
    assert "a\\|b" in table.markdown((odd,))


def test_every_sample_can_be_seen() -> None:
    assert table.raw(SLOW) == "b cold, tested (2 GiB), s: ours 4 5 6; docker 10 10 10"
