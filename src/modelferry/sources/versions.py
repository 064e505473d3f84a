"""Which of several names is the greatest version: the order behind {latest}. Pure.

The rule: names that read as versions (an optional `v`, then numbers with dots, then semver's
`-pre` and `+build` after at least three numbers) are ordered as semver orders them, missing numbers
counting as 0, and other names are passed over. Where no name reads as a version, all are
ordered naturally: digits by value, the rest as text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_VERSION = re.compile(
    r"[vV]?(?P<numbers>\d+(?:\.\d+)*)"
    r"(?P<pre>-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?(?P<build>\+[0-9A-Za-z.-]+)?",
    re.ASCII,
)
_NumberOrText = tuple[int, int, str]  # numbers rank below text, as in semver


def newest_last(names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names in ascending order, and those passed over because others are versions."""
    names = sorted(set(names), key=natural_key)  # also the order among equals, `v1` and `1.0`
    versions = {name: key for name in names if (key := version_key(name)) is not None}
    if not versions:
        return tuple(names), ()
    passed_over = tuple(name for name in names if name not in versions)
    return tuple(sorted(versions, key=lambda name: versions[name])), passed_over


def natural_key(name: str) -> tuple[_NumberOrText, ...]:
    return tuple(_part(text) for text in re.findall(r"\d+|\D+", name, re.ASCII))


def version_key(name: str) -> tuple[tuple[int, ...], tuple[_NumberOrText, ...]] | None:
    """Semver precedence; None where the name is no version."""
    match = _VERSION.fullmatch(name)
    if match is None:
        return None
    numbers = tuple(int(number) for number in match["numbers"].split("."))
    if len(numbers) < 3 and (match["pre"] or match["build"]):
        return None  # 2024-01-05 is a date, no pre-release of 2024
    while numbers and numbers[-1] == 0:
        numbers = numbers[:-1]
    if match["pre"] is None:
        return numbers, ((2, 0, ""),)  # a release ranks above its pre-releases
    return numbers, tuple(_part(text) for text in match["pre"][1:].split("."))


def _part(text: str) -> _NumberOrText:
    return (0, int(text), "") if text.isascii() and text.isdigit() else (1, 0, text)
