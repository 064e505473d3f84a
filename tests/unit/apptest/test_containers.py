from __future__ import annotations

from modelferry.apptest.containers import LONGEST_LINE, lines_of


def test_lines_do_not_care_how_they_were_cut():
    text = "one\ntwo é\r\n\nlast".encode()
    pieces = [text[i : i + 1] for i in range(len(text))]
    assert list(lines_of(pieces)) == list(lines_of([text])) == ["one", "two é", "", "last"]


def test_what_is_no_text_is_shown_all_the_same():
    assert list(lines_of([b"\xff\xfe\n"])) == ["\ufffd\ufffd"]


def test_a_line_without_end_is_cut():
    lines = list(lines_of(b"x" * 4096 for _ in range(10)))
    assert "".join(lines) == "x" * 40960
    assert all(len(line) <= LONGEST_LINE + 4096 for line in lines)
