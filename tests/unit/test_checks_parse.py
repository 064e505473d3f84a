from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelferry.checks import METHODS, Check, parse_check, parse_checks


def check(text: str, method: str, path: str, **expected: object) -> tuple[str, Check]:
    return text, Check(line=1, text=text, method=method, path=path, **expected)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        check("GET /", "GET", "/"),
        check("GET   /version?full=1", "GET", "/version?full=1"),
        check("GET / => 404", "GET", "/", status=404),
        check("GET / contains ok", "GET", "/", contains="ok"),
        check("GET / => 200 contains two words", "GET", "/", status=200, contains="two words"),
        check("GET / contains a => b", "GET", "/", contains="a => b"),
        check("GET / => 200 contains a => b", "GET", "/", status=200, contains="a => b"),
        check("GET / contains it contains this", "GET", "/", contains="it contains this"),
        check("HEAD /healthz => 204", "HEAD", "/healthz", status=204),
        check("DELETE /x", "DELETE", "/x"),
        check("POST /score", "POST", "/score"),
        check("POST /score @cats/lynx.jpg", "POST", "/score", file=Path("cats/lynx.jpg")),
        check("POST /s @a b.jpg => 200", "POST", "/s", file=Path("a b.jpg"), status=200),
        check("POST /s @a => b.jpg => 200", "POST", "/s", file=Path("a => b.jpg"), status=200),
        check("POST /s @a.jpg contains lynx", "POST", "/s", file=Path("a.jpg"), contains="lynx"),
        check(
            "POST /s image=@a.jpg => 200 contains lynx",
            "POST",
            "/s",
            file=Path("a.jpg"),
            part="image",
            status=200,
            contains="lynx",
        ),
        check('POST /s {"a": [1, 2]}', "POST", "/s", json='{"a": [1, 2]}'),
        check('PUT /s {"a": "x => 500"} => 201', "PUT", "/s", json='{"a": "x => 500"}', status=201),
        check(
            'PATCH /s ["contains x"] contains y', "PATCH", "/s", json='["contains x"]', contains="y"
        ),
        check('POST /s "text"', "POST", "/s", json='"text"'),
        check("POST /s 1.5 => 200", "POST", "/s", json="1.5", status=200),
        check("POST /s null", "POST", "/s", json="null"),
    ],
)
def test_reads(text: str, read: Check) -> None:
    assert parse_check(1, text) == read


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is none of"),
        ("/version", "is none of"),
        ("FETCH /", "is none of"),
        ("get /", "is none of"),
        ("GET", "is no path"),
        ("GET version", "is no path"),
        ("GET http://localhost/", "is no path"),
        ("GET /über", "is no path"),
        ("GET / => ok", "must be a status"),
        ("GET / =>", "must be a status"),
        ("GET / => 2xx", "must be a status"),
        ("GET / => 20 contains x", "100 to 599"),
        ("GET / => 600", "100 to 599"),
        ("GET / => 200 containing x", "must be a status"),
        ("GET / contains x => 404", "contains TEXT stands after => STATUS"),
        ("GET / 200", "has no body"),
        ("GET / @file", "has no body"),
        ("HEAD / contains x", "HEAD has no body"),
        ("POST /s lynx.jpg", "neither @FILE, NAME=@FILE nor JSON"),
        ("POST /s image=lynx.jpg", "neither @FILE, NAME=@FILE nor JSON"),
        ("POST /s @", "neither @FILE, NAME=@FILE nor JSON"),
        ("POST /s contains", "neither @FILE, NAME=@FILE nor JSON"),
        ("POST /s {'a': 1}", "the JSON cannot be read"),
        ('POST /s {"a": 1', "the JSON cannot be read"),
        ('POST /s {"a": NaN}', "the JSON cannot be read"),
        ('POST /s {"a": 1}x', "after the JSON"),
        ('POST /s {"a": 1} extra => 200', "after the JSON"),
        ("POST /s " + "[" * 100_000, "the JSON cannot be read"),
    ],
)
def test_refuses(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        parse_check(1, text)


def test_lines_are_counted_as_the_user_counts_them() -> None:
    checks, faults = parse_checks("\r\nGET /a\r\n\r\n  GET nowhere\r\nGET /b => 200\r\nPUT\r\n")
    assert [(each.line, each.path) for each in checks] == [(2, "/a"), (5, "/b")]
    assert [fault.name for fault in faults] == ["checks line 4", "checks line 6"]
    assert all(fault.given for fault in faults)


@given(
    st.sampled_from((*METHODS, "")),
    st.text(max_size=20),
    st.lists(
        st.sampled_from(["=>", "200", "contains", "{", "}", "@", "a=@b", '"', "[1]", " "])
        | st.text(max_size=10)
    ),
)
def test_any_line_is_read_or_refused(method: str, path: str, rest: list[str]) -> None:
    text = " ".join([method, f"/{path}", *rest])
    try:
        read = parse_check(1, text)
    except ValueError:
        return
    assert read.status is None or 100 <= read.status <= 599
    assert not (read.file and read.json)
    assert read.path.isascii()


@given(st.text(max_size=200))
def test_any_input_is_read_or_refused(text: str) -> None:
    checks, faults = parse_checks(text)
    filled = [line for line in re.split(r"\r\n|\r|\n", text) if line.strip()]
    assert len(checks) + len(faults) == len(filled)
