from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelferry.plan.parsing import (
    Faults,
    boolean,
    dns_label,
    dns_name,
    duration,
    endpoint,
    entries,
    numbered,
    pairs,
    port,
    without_credentials,
)


@pytest.mark.parametrize(
    ("parse", "text", "read"),
    [
        (boolean, "True", True),
        (boolean, "false", False),
        (duration, "90s", 90.0),
        (duration, "1h30m", 5400.0),
        (duration, "500ms", 0.5),
        (duration, "1.5m", 90.0),
        (port, "1", 1),
        (port, "65535", 65535),
        (dns_label, "a", "a"),
        (dns_label, "a" * 63, "a" * 63),
        (dns_name, "pull.secret-1", "pull.secret-1"),
        (endpoint, "https://[::1]:9000/acct/", "https://[::1]:9000/acct"),
    ],
)
def test_reads(parse: object, text: str, read: object) -> None:
    assert callable(parse)
    assert parse(text) == read


@pytest.mark.parametrize(
    ("parse", "text", "says"),
    [
        (boolean, "yes", "true or false"),
        (boolean, "1", "true or false"),
        (duration, "10", "10s for seconds, 10m for minutes"),
        (duration, "0.5", "needs a unit"),
        (duration, "0s", "longer than nothing"),
        (duration, "-5m", "90s, 10m"),
        (duration, "10 m", "90s, 10m"),
        (duration, "1d", "90s, 10m"),
        (port, "0", "1 to 65535"),
        (port, "65536", "1 to 65535"),
        (port, "http", "1 to 65535"),
        (port, "²", "1 to 65535"),
        (dns_label, "Team", "lower-case"),
        (dns_label, "a" * 64, "at most 63"),
        (dns_label, "-a", "lower-case"),
        (dns_label, "a.b", "lower-case"),
        (dns_name, "a..b", "Kubernetes name"),
        (endpoint, "ftp://host", "https://"),
        (endpoint, "https://", "https://"),
        (endpoint, "https://host?x=1", "an address alone"),
        (endpoint, "https://host:0", "port"),
        (endpoint, "https://host:99999", "Port out of range"),
    ],
)
def test_refuses(parse: object, text: str, says: str) -> None:
    assert callable(parse)
    with pytest.raises(ValueError, match=re.escape(says)):
        parse(text)


def test_lines_are_numbered_as_written_and_stripped() -> None:
    assert list(numbered("\r\n a \r\n\n# b\rc")) == [(2, "a"), (4, "# b"), (5, "c")]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ('"a=1\n  b"\nc=2', [(1, "a=1\n  b"), (3, "c=2")]),
        ('"a=""x"""', [(1, 'a="x"')]),
        ('a="x"', [(1, 'a="x"')]),
        ('"open=1\nb=2', [(1, '"open=1'), (2, "b=2")]),  # never closed: the quote is a quote
        ('"a=1"\r\n\r\n"b=2"', [(1, "a=1"), (3, "b=2")]),
    ],
)
def test_a_quoted_entry_may_go_over_lines(text: str, read: list[tuple[int, str]]) -> None:
    assert list(entries(text)) == read


@given(st.dictionaries(st.from_regex(r"[A-Z]{1,8}", fullmatch=True), st.text()))
def test_quoting_carries_any_value(values: dict[str, str]) -> None:
    values = {name: " ".join(value.splitlines()).strip() for name, value in values.items()}
    lines = (f"{name}={value}".replace('"', '""') for name, value in values.items())
    faults = Faults()
    read = pairs("build-args", "\n".join(f'"{line}"' for line in lines), faults)
    faults.raise_any()
    assert dict(read) == values


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://acct.example/c?sig=hunter2 => /x", "https://acct.example/c?… => /x"),
        ("acct.example/c?sv=1&sig=hunter2", "acct.example/c?…"),
        ("https://ferry:hunter2@reg.example/x", "https://…@reg.example/x"),
        ("ferry:hunter2@reg.example", "…@reg.example"),
        ("score:v1@sha256:1234", "score:v1@sha256:1234"),
        ("POST /score @file", "POST /score @file"),
    ],
)
def test_what_is_shown_holds_no_credential(text: str, shown: str) -> None:
    assert without_credentials(text) == shown
