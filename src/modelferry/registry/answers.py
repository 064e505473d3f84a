"""What a registry answered, and the error that an answer means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from modelferry.errors import FerryError, IdentityError, RegistryError

LONGEST_WAIT_S = 60.0
_TEMPORARY = (408, 429, 500, 502, 503, 504)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    method: str
    url: str
    status: int
    headers: Mapping[str, str]  # case does not matter
    body: bytes
    authorization: str | None = field(default=None, repr=False)  # what was sent

    @property
    def temporary(self) -> bool:
        return self.status in _TEMPORARY

    @property
    def retry_after_s(self) -> float:
        """What `Retry-After` asks for, in either of its forms; 0 without it."""
        given = self.headers.get("Retry-After", "")
        if given.isdigit():
            return min(float(given), LONGEST_WAIT_S)
        try:
            until = parsedate_to_datetime(given)
        except ValueError:
            return 0.0
        return max(0.0, min((until - datetime.now(UTC)).total_seconds(), LONGEST_WAIT_S))

    @property
    def code(self) -> str:
        return self._errors()[0]

    def _errors(self) -> tuple[str, str]:
        """The first code, and all messages (distribution-spec, error codes)."""
        try:
            errors: list[dict[str, Any]] = json.loads(self.body)["errors"]
            told = [f"{e.get('code', '')}: {e.get('message', '')}" for e in errors]
            return str(errors[0].get("code", "")), "\n".join(told)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            return "", self.body[:500].decode(errors="replace").strip()

    def __str__(self) -> str:
        """Without the query: it may hold a session's state or a signature."""
        said = f"{self.method} {without_query(self.url)}: HTTP {self.status}"
        told = self._errors()[1]
        return f"{said}\n{told}" if told else said


def without_query(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def refusal(answer: Answer, doing: str, who: str) -> FerryError:
    """`doing`: what we were about to do, as in "push to team/score"; `who`: the login used."""
    host = urlsplit(answer.url).netloc
    if answer.status == 401:
        return IdentityError(
            f"{host} does not let us {doing} ({who})",
            seen=str(answer),
            do="Check `username` and `password`, or the `docker login` of this machine.",
        )
    if answer.status == 403:
        return IdentityError(
            f"{host} refuses us the right to {doing} ({who})",
            seen=str(answer),
            do="Give this identity the right to push. On an Azure registry that is the role "
            "AcrPush, or Container Registry Repository Writer where permissions are by "
            "repository; a firewall rule answers 403 too.",
        )
    if answer.status == 404 and answer.code in ("NAME_UNKNOWN", "RepositoryNotFoundException"):
        return RegistryError(
            f"{host} has no such repository: could not {doing}",
            seen=str(answer),
            do="Check `repository`. Amazon ECR wants a repository created before the first push.",
        )
    return RegistryError(
        f"{host} could not {doing}: HTTP {answer.status} {answer.code}".rstrip(),
        seen=str(answer),
        do="A locked or immutable tag, or a full quota, answers so." if answer.status < 500 else "",
        temporary=answer.temporary,
    )
