"""What a refusal says: HTTP status, the service's own error code, why no connection. Pure.

obstore has one class for most failures and keeps the facts in the text alone, so this is the one
place that reads it. The text itself never travels on: it may hold an address with its signature.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

from modelferry.errors import ModelError

Action = Literal["read", "list"]

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_REGION = re.compile(r"<Region>([a-z0-9-]+)</Region>")
_TEMPORARY_STATUS = {408, 425, 429, 500, 502, 503, 504}
# In the order they are looked for: reqwest nests them, the inner one says more.
_CONNECTION = (
    ("dns error", "its name is not known to DNS"),
    ("ConnectionRefused", "connection refused"),
    ("ConnectionReset", "connection reset"),
    ("BrokenPipe", "connection reset"),
    ("NetworkUnreachable", "network unreachable"),
    ("HostUnreachable", "host unreachable"),
    ("certificate", "its TLS certificate is not trusted"),
    ("InvalidContentType", "it does not speak TLS"),
    ("TimedOut", "no answer in time"),
    ("Timeout", "no answer in time"),
    ("unexpected EOF", "connection closed early"),
    ("IncompleteMessage", "connection closed early"),
    ("IncompleteBody", "connection closed early"),
    ("end of file", "connection closed early"),
    ("kind: Body", "connection broke"),
    ("kind: Decode", "connection broke"),
    ("HTTP error", "connection failed"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why storage did not do what was asked."""

    status: int | None = None  # HTTP
    code: str = ""  # the service's, from the XML body; HEAD answers have none
    region: str = ""  # where S3 says the bucket is
    connection: str = ""  # why there was no answer at all
    redirected: bool = False  # S3's way of saying "another region"
    retry_after_s: float = 0.0  # what the server asked for; obstore does not tell

    @property
    def temporary(self) -> bool:
        return self.status in _TEMPORARY_STATUS or bool(self.connection)

    @property
    def unknown_host(self) -> bool:
        return "DNS" in self.connection

    def __str__(self) -> str:
        """ "404 BlobNotFound", "connection refused"."""
        if self.connection:
            return self.connection
        return " ".join(part for part in (str(self.status or ""), self.code) if part) or "refused"


class Busy(ModelError):
    """Not now; and the server said when (Retry-After)."""

    def __init__(self, what: str, *, do: str, retry_after_s: float) -> None:
        super().__init__(what, do=do, temporary=True)
        self.retry_after_s = retry_after_s


def refused_for_now(what: str, refusal: Refusal, *, do: str) -> ModelError:
    """Of a refusal that names no cause of the user's: later may be better."""
    if refusal.temporary and refusal.retry_after_s:
        return Busy(what, do=do, retry_after_s=refusal.retry_after_s)
    return ModelError(what, do=do, temporary=refusal.temporary)


def asked_wait_s(retry_after: str, now: datetime | None = None) -> float:
    """Of a Retry-After in either of its forms; 0 for what is neither."""
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        when = parsedate_to_datetime(retry_after)
        return max(0.0, (when - (now or datetime.now(UTC))).total_seconds())
    except (TypeError, ValueError):  # not a date, or one without a zone
        return 0.0


def read_answer(status: int, headers: Mapping[str, str], body: str) -> Refusal:
    """Of an HTTP answer that is not what was asked for."""
    code, region = _CODE.search(body), _REGION.search(body)
    return Refusal(
        status=status,
        code=code[1] if code else "",
        region=region[1] if region else headers.get("x-amz-bucket-region", ""),
        redirected=300 <= status < 400,
        retry_after_s=asked_wait_s(headers.get("Retry-After", "")),
    )


def read_refusal(error: Exception) -> Refusal:
    """Of any exception that obstore raises; see tests/unit/sources/test_refusal.py."""
    text = str(error)
    status, code, region = _STATUS.search(text), _CODE.search(text), _REGION.search(text)
    found = Refusal(
        status=int(status[1]) if status else _status_of(error),
        code=code[1] if code else "",
        region=region[1] if region else "",
        redirected="redirect without LOCATION" in text,
    )
    if found.status or found.redirected:
        return found
    for token, words in _CONNECTION:
        if token in text:
            return Refusal(connection=words)
    return found


def _status_of(error: Exception) -> int | None:
    """For the rare text that has no status in it."""
    from obstore import exceptions

    statuses = {
        FileNotFoundError: 404,
        exceptions.PermissionDeniedError: 403,
        exceptions.UnauthenticatedError: 401,
        exceptions.PreconditionError: 412,
        exceptions.AlreadyExistsError: 409,
        exceptions.NotModifiedError: 304,
    }
    return statuses.get(type(error))
