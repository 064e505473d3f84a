"""Blob storage's Shared Key: a request's HMAC over its verb, headers and resource. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import parse_qsl, urlsplit

from modelferry.sources.azure_account import BlobAccount

_VERSION = "2023-11-03"  # the oldest service version that knows all we ask for
# In the order of the signature; a GET of ours has none of the first but these.
_SIGNED = (
    *("content-encoding", "content-language", "content-length", "content-md5", "content-type"),
    *("date", "if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range"),
)


def sign_blob_get(
    account: BlobAccount, url: str, headers: Mapping[str, str], *, now: datetime | None = None
) -> tuple[str, dict[str, str]]:
    """The address and the headers to send. `url` has its path encoded and no credential."""
    if account.sas_token:
        token = account.sas_token.reveal().removeprefix("?")
        url = f"{url}{'&' if '?' in url else '?'}{token}"
    date = format_datetime(now or datetime.now(UTC), usegmt=True)
    signed = {**headers, "x-ms-date": date, "x-ms-version": _VERSION}
    if account.key:
        text = _text_to_sign(account.name, url, signed).encode()
        key = base64.b64decode(account.key.reveal())
        signature = base64.b64encode(hmac.digest(key, text, hashlib.sha256)).decode()
        signed["Authorization"] = f"SharedKey {account.name}:{signature}"
    return url, signed


def _text_to_sign(account: str, url: str, headers: Mapping[str, str]) -> str:
    parts = urlsplit(url)
    given = {name.lower(): value for name, value in headers.items()}
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    asked = sorted((name.lower(), value) for name, value in pairs)
    lines = [
        "GET",
        *(given.get(name, "") for name in _SIGNED),
        *(f"{name}:{given[name]}" for name in sorted(given) if name.startswith("x-ms-")),
        f"/{account}{parts.path}",
        *(f"{name}:{value}" for name, value in asked),
    ]
    return "\n".join(lines)
