"""What a plain YAML scalar means to Kubernetes: the rules of sigs.k8s.io/yaml, which are neither
YAML 1.1 nor 1.2. `y` and `off` are booleans, `0644` and `0o644` octal, `1e3` the number 1000;
a date and `12:30` are text."""

from __future__ import annotations

import re

_BOOLEANS = {
    spelling: value
    for words, value in ((("y", "yes", "on", "true"), True), (("n", "no", "off", "false"), False))
    for word in words
    for spelling in (word, word.title(), word.upper())
}
_NULLS = ("", "~", "null", "Null", "NULL")
_NOT_IN_JSON = frozenset(
    f"{sign}.{word}"
    for words, signs in ((("inf", "Inf", "INF"), ("", "+", "-")), (("nan", "NaN", "NAN"), ("",)))
    for word in words
    for sign in signs
)
_INTEGER = re.compile(
    r"([-+]?)(?:0[bB]([01]+)|0[xX]([0-9a-fA-F]+)|(?:0[oO]|0)([0-7]+)|(0|[1-9][0-9]*))"
)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INT64 = 2**63
_WHOLE = 1e21  # from here on Go writes an exponent

Plain = str | int | float | bool | None


def resolve(text: str) -> Plain:
    """Raises ValueError for what JSON cannot hold."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if text in _NOT_IN_JSON:
        raise ValueError(f"{text} is no number that Kubernetes can take: quote it")
    if text[0].isdigit() or text[0] in "+-":
        return _number(text.replace("_", ""), text)
    return _number(text, text) if text[0] == "." else text


def _number(digits: str, text: str) -> Plain:
    if match := _INTEGER.fullmatch(digits):
        sign, *by_base = match.groups()
        number = next(
            int(part, base)
            for part, base in zip(by_base, (2, 16, 8, 10), strict=True)
            if part is not None
        )
        number = -number if sign == "-" else number
        if -_INT64 <= number < (_INT64 if sign else 2 * _INT64):
            return number
    if _FLOAT.fullmatch(digits):
        number = float(digits)
        if abs(number) != float("inf"):
            return int(number) if number.is_integer() and abs(number) < _WHOLE else number
    return text
