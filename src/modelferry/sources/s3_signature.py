"""S3's signature, version 4, for a GET without a body. Pure."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlsplit

from modelferry.sources.spec import S3Access

_ALGORITHM = "AWS4-HMAC-SHA256"
_NO_BODY = hashlib.sha256(b"").hexdigest()


def sign_s3_get(
    access: S3Access,
    region: str,
    url: str,
    headers: Mapping[str, str],
    *,
    now: datetime | None = None,
) -> tuple[str, dict[str, str]]:
    """The address and the headers to send; as they are where there is no key to sign with."""
    if not (access.access_key_id and access.secret_access_key):
        return url, dict(headers)
    time = f"{now or datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    signed = {
        "host": urlsplit(url).netloc,
        "x-amz-content-sha256": _NO_BODY,
        "x-amz-date": time,
    }
    if access.session_token:
        signed["x-amz-security-token"] = access.session_token.reveal()
    names = ";".join(sorted(signed))
    scope = f"{time[:8]}/{region}/s3/aws4_request"
    asked_for = hashlib.sha256(_canonical(url, signed, names).encode()).hexdigest()
    text = f"{_ALGORITHM}\n{time}\n{scope}\n{asked_for}"
    key = f"AWS4{access.secret_access_key.reveal()}".encode()
    for word in scope.split("/"):
        key = hmac.digest(key, word.encode(), hashlib.sha256)
    signature = hmac.digest(key, text.encode(), hashlib.sha256).hex()
    authorization = (
        f"{_ALGORITHM} Credential={access.access_key_id.reveal()}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return url, {**headers, **signed, "Authorization": authorization}


def _canonical(url: str, headers: Mapping[str, str], names: str) -> str:
    parts = urlsplit(url)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    asked = sorted((quote(name, safe=""), quote(value, safe="")) for name, value in pairs)
    lines = (
        "GET",
        parts.path,
        "&".join(f"{name}={value}" for name, value in asked),
        *(f"{name}:{headers[name]}" for name in sorted(headers)),
        "",
        names,
        _NO_BODY,
    )
    return "\n".join(lines)
