"""Secrets in text become ***, in every form they leak in: raw, base64, URL- and JSON-escaped."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

from modelferry.values import Secret

SHORTEST = 4  # shorter values would blank out ordinary words


def _forms(value: str) -> set[str]:
    raw = value.encode()
    # base64 of a value inside a longer text depends on where it starts: user:password is the
    # common case and is masked as a whole by whoever builds it; here the value alone.
    return {
        value,
        base64.b64encode(raw).decode().rstrip("="),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
        quote(value, safe=""),
        quote_plus(value),
        json.dumps(value)[1:-1],
    }


def secret_values(secrets: Iterable[Secret]) -> tuple[str, ...]:
    """Every text to hide, longest first. A secret of several lines (a key file) hides each line."""
    found: set[str] = set()
    for secret in secrets:
        text = secret.reveal()
        for part in {text.strip(), *(line.strip() for line in text.splitlines())}:
            if len(part) >= SHORTEST:
                found |= _forms(part)
    return tuple(sorted(found, key=lambda value: (-len(value), value)))


class Redactor:
    def __init__(self) -> None:
        self._values: tuple[str, ...] = ()
        self._pattern: re.Pattern[str] | None = None

    @property
    def values(self) -> tuple[str, ...]:
        return self._values

    def add(self, secrets: Iterable[Secret]) -> tuple[str, ...]:
        """Hide these from now on; returns the texts that were not hidden before."""
        new = tuple(v for v in secret_values(secrets) if v not in self._values)
        self._values = tuple(sorted({*self._values, *new}, key=lambda value: (-len(value), value)))
        self._pattern = re.compile("|".join(map(re.escape, self._values))) if self._values else None
        return new

    def __call__(self, text: str) -> str:
        """What comes back can be written as UTF-8: of a name that is none, its bytes are shown."""
        hidden = self._pattern.sub("***", text) if self._pattern else text
        return hidden.encode(errors="backslashreplace").decode()
