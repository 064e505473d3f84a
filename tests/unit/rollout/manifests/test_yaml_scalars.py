"""Every expectation here was read off sigs.k8s.io/yaml v1.6, as kubectl 1.36 uses it."""

from __future__ import annotations

import pytest

from modelferry.rollout.manifests.yaml_scalars import resolve


@pytest.mark.parametrize("text", ["y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "TRUE"])
def test_true(text: str) -> None:
    assert resolve(text) is True


@pytest.mark.parametrize(
    "text", ["n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False"]
)
def test_false(text: str) -> None:
    assert resolve(text) is False


@pytest.mark.parametrize("text", ["", "~", "null", "Null", "NULL"])
def test_null(text: str) -> None:
    assert resolve(text) is None


@pytest.mark.parametrize(
    "text",
    [
        *("tRUE", "yEs", "oN", "t", "f", "nULL", "none", "-", "+", ".", "--", "=", "<<"),
        *("2026-11-22", "2026-11-22T10:00:00Z", "12:30", "22:22:22", "190:20:30"),
        *(
            "1.2.3",
            "1Gi",
            "100m",
            "1,000",
            "1d",
            "0x",
            "0b",
            "0o8",
            "0xGG",
            "0b2",
            "0x1p3",
            "0x1.8",
        ),
        *("inf", "-inf", "NaN", "nan", "Infinity", "1e", "1e+", ".e1", "_1", "++1", "1e400"),
        *("2001-12-14t21:59:43.10-05:00", "sha256:00", "v1", "1.2-rc1", "127.0.0.1"),
    ],
)
def test_text(text: str) -> None:
    assert resolve(text) == text


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("0", 0), ("-0", 0), ("+12", 12), ("-12", -12), ("1_000", 1000), ("1_", 1), ("1__2", 12)),
        *(("0644", 420), ("-0644", -420), ("00", 0), ("007", 7), ("0o17", 15), ("0O17", 15)),
        *(("0x1F", 31), ("0X1f", 31), ("0x_f", 15), ("0b101", 5), ("-0b101", -5), ("0b_1", 1)),
        *(("08", 8), ("089", 89), ("0_8", 8)),  # no octal number: read as a float
        *(("1e3", 1000), ("1E+3", 1000), ("1.e3", 1000), ("12e03", 12000), ("-2E+05", -200000)),
        *(("1.0", 1), ("5.", 5), ("0e0", 0), ("1e-400", 0)),
        *(("1.5", 1.5), (".5", 0.5), ("-.5", -0.5), ("1_000.5", 1000.5), ("1e-7", 1e-7)),
        *(("9223372036854775807", 2**63 - 1), ("-9223372036854775808", -(2**63))),
        *(("18446744073709551615", 2**64 - 1), ("1e21", 1e21)),
        ("123456789012345678901234567890", 1.2345678901234568e29),
    ],
)
def test_numbers(text: str, number: float) -> None:
    found = resolve(text)
    assert found == number
    assert type(found) is type(number)


@pytest.mark.parametrize("text", [".inf", "-.inf", "+.INF", ".nan", ".NaN"])
def test_what_json_cannot_hold(text: str) -> None:
    with pytest.raises(ValueError, match="quote it"):
        resolve(text)
