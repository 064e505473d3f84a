"""Readers of single values. Each raises ValueError with what is allowed; Faults collects those."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from modelferry.errors import Fault, InputError
from modelferry.inputs import suggest
from modelferry.values import parse_duration

T = TypeVar("T")

_DNS_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_QUOTED = re.compile(r'"(?:[^"]|"")*"')


class Faults:
    """What is wrong with the inputs, gathered so that a person mends it all in one go."""

    def __init__(self) -> None:
        self._found: dict[Fault, None] = {}  # a set that keeps its order

    def add(self, name: str, given: str | None, allowed: str) -> None:
        shown = None if given is None else without_credentials(given)
        self._found[Fault(name=name, given=shown, allowed=allowed)] = None

    def extend(self, faults: Iterable[Fault]) -> None:
        self._found.update(dict.fromkeys(faults))

    def read(
        self, name: str, text: str, parse: Callable[[str], T], otherwise: T, *, shown: bool = True
    ) -> T:
        """`otherwise` also stands in for a faulty value: it never leaves, as make_plan raises."""
        if not text:
            return otherwise
        try:
            return parse(text)
        except ValueError as error:
            self.add(name, text if shown else None, str(error))
            return otherwise

    def raise_any(self) -> None:
        if self._found:
            raise InputError(*self._found)


def without_credentials(text: str) -> str:
    """What was given, as it may be shown: no query of an address, no user name or password."""
    without_query = re.sub(r"\?\S*", "?…", text)
    return re.sub(r"(^|//)[^/@\s]+@(?!sha256:)", r"\1…@", without_query)


def boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("must be true or false")
    return text.lower() == "true"


def duration(text: str) -> float:
    """Seconds, of a duration that is more than none."""
    if re.fullmatch(r"\d+(\.\d+)?", text):  # minutes to one action, seconds to another
        raise ValueError(f"needs a unit: {text}s for seconds, {text}m for minutes")
    try:
        seconds = parse_duration(text)
    except ValueError:
        raise ValueError("must be a duration such as 90s, 10m or 1h30m") from None
    if seconds <= 0:
        raise ValueError("must be longer than nothing")
    return seconds


def port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 0 < int(text) < 65536:
        raise ValueError("must be a port, 1 to 65535")
    return int(text)


def one_of(words: Collection[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"must be one of {', '.join(words)}{suggest(text.lower(), words)}")
        return text.lower()

    return parse


def dns_label(text: str) -> str:
    if not _DNS_LABEL.fullmatch(text):
        raise ValueError("must be lower-case letters, digits and -, at most 63, as Kubernetes asks")
    return text


def dns_name(text: str) -> str:
    if len(text) > 253 or not all(_DNS_LABEL.fullmatch(part) for part in text.split(".")):
        raise ValueError("must be a Kubernetes name: lower-case letters, digits, - and .")
    return text


def word(text: str) -> str:
    if re.search(r"\s", text) or text.startswith("-"):
        raise ValueError("must be one word that does not start with -")
    return text


def one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be one line of printable characters")
    return text


def path_in(folder: Path) -> Callable[[str], Path]:
    def parse(text: str) -> Path:
        if re.match(r"[a-z+]+://|git@", text):
            raise ValueError("must be a path: check a repository out in an earlier step")
        return folder / one_line(text)

    return parse


def endpoint(text: str) -> str:
    """An http(s) address without credentials or query; the trailing slash goes."""
    parts = urlsplit(text)  # ValueError for a broken IPv6 address
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an address such as https://storage.example")
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("must be an address alone: credentials have inputs of their own")
    if parts.port == 0:
        raise ValueError("must have a port from 1 to 65535")
    return text.rstrip("/")


def numbered(text: str) -> Iterable[tuple[int, str]]:
    """Lines that hold something, without surrounding blanks, counted from 1 as in the user's file.

    There are no comments: `#` means something in every one of these lists.
    """
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        if line.strip():
            yield number, line.strip()


def entries(text: str) -> Iterable[tuple[int, str]]:
    """As `numbered`, but an entry in double quotes may go over several lines (`""` is a quote),
    as in docker/build-push-action."""
    lines = re.split(r"\r\n|\r|\n", text)
    number = 0
    while number < len(lines):
        start, entry = number, lines[number].strip()
        if entry.startswith('"'):
            while not _QUOTED.fullmatch(entry) and number + 1 < len(lines):
                number += 1
                entry = f"{entry}\n{lines[number].rstrip()}"
            if _QUOTED.fullmatch(entry):
                entry = entry[1:-1].replace('""', '"')
            else:  # the quote is the value's own
                number, entry = start, lines[start].strip()
        if entry:
            yield start + 1, entry
        number += 1


def each(name: str, text: str, parse: Callable[[str], str], faults: Faults) -> tuple[str, ...]:
    return tuple(
        value
        for number, line in numbered(text)
        if (value := faults.read(f"{name} line {number}", line, parse, ""))
    )


def pairs(
    name: str,
    text: str,
    faults: Faults,
    *,
    key: str = r"[^\s=]+",
    form: str = "NAME=VALUE",
    shown: bool = True,
    environ: Mapping[str, str] | None = None,
) -> tuple[tuple[str, str], ...]:
    """NAME=VALUE entries, each name once. With `environ`, NAME alone takes its value from there
    and is left out where it is not set, as in Docker."""
    found: dict[str, str] = {}
    for number, entry in entries(text):
        left, equals, right = entry.partition("=")
        if not equals and environ is not None and re.fullmatch(r"\w+", left):
            if left not in environ:
                continue
            equals, right = "=", environ[left]
        given = entry if shown else None
        if not equals or not re.fullmatch(key, left):
            faults.add(f"{name} line {number}", given, f"must be {form}")
        elif left in found:
            faults.add(f"{name} line {number}", given, f"{left} is there already")
        else:
            found[left] = right
    return tuple(found.items())
