"""obstore's texts, as version 0.12 writes them (shortened): what is read from them and what not."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from obstore import exceptions

from modelferry.sources.refusal import (
    Busy,
    Refusal,
    asked_wait_s,
    read_answer,
    read_refusal,
    refused_for_now,
)


def status_text(method: str, status: str, body: str = "") -> str:
    return (
        f"Error performing {method} https://acct.example/c/x?sig=SECRET in 3.7ms"
        f" - Server returned non-2xx status code: {status}: {body}\n\nDebug source:\nNotFound {{ }}"
    )


def connect_text(inner: str) -> str:
    return (
        "Generic S3 error: Error performing GET http://127.0.0.1:1/b/x in 160.68µs"
        f" - HTTP error: error sending request\n\nDebug source:\n{inner}"
    )


@pytest.mark.parametrize(
    ("error", "refusal", "shown"),
    [
        (
            FileNotFoundError(
                status_text("GET", "404 Not Found", "<Error><Code>BlobNotFound</Code></Error>")
            ),
            Refusal(status=404, code="BlobNotFound"),
            "404 BlobNotFound",
        ),
        (
            exceptions.PermissionDeniedError(status_text("HEAD", "403 Forbidden")),
            Refusal(status=403),
            "403",
        ),
        (
            exceptions.GenericError(
                status_text(
                    "GET",
                    "400 Bad Request",
                    "<Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region>",
                )
            ),
            Refusal(status=400, code="AuthorizationHeaderMalformed", region="eu-west-1"),
            "400 AuthorizationHeaderMalformed",
        ),
        (
            exceptions.PreconditionError(status_text("GET", "412 Precondition Failed")),
            Refusal(status=412),
            "412",
        ),
        (
            exceptions.GenericError(connect_text('ConnectError("dns error", Custom {})')),
            Refusal(connection="its name is not known to DNS"),
            "its name is not known to DNS",
        ),
        (
            exceptions.GenericError(connect_text('"tcp connect error", kind: ConnectionRefused')),
            Refusal(connection="connection refused"),
            "connection refused",
        ),
        (
            exceptions.GenericError(connect_text("kind: Timeout, source: TimedOut")),
            Refusal(connection="no answer in time"),
            "no answer in time",
        ),
        (
            exceptions.GenericError(
                "Error performing GET http://x in 1ms - Received redirect without LOCATION, this"
                " normally indicates an incorrectly configured region"
            ),
            Refusal(redirected=True),
            "refused",
        ),
        (exceptions.NotSupportedError("no"), Refusal(), "refused"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_reads(error: Exception, refusal: Refusal, shown: str) -> None:
    found = read_refusal(error)
    assert found == refusal
    assert str(found) == shown
    assert "SECRET" not in repr(found)


@pytest.mark.parametrize(
    ("refusal", "temporary"),
    [
        (Refusal(status=503), True),
        (Refusal(status=429), True),
        (Refusal(status=500), True),
        (Refusal(connection="connection reset"), True),
        (Refusal(status=501), False),
        (Refusal(status=403), False),
        (Refusal(status=404), False),
        (Refusal(), False),
    ],
)
def test_only_what_may_pass_is_tried_again(refusal: Refusal, temporary: bool) -> None:
    assert refusal.temporary is temporary


@pytest.mark.parametrize(
    ("status", "headers", "body", "refusal"),
    [
        (404, {}, "<Error><Code>NoSuchKey</Code></Error>", Refusal(status=404, code="NoSuchKey")),
        (503, {"Retry-After": "9"}, "", Refusal(status=503, retry_after_s=9)),
        (
            301,
            {"x-amz-bucket-region": "eu-west-1"},
            "<Code>PermanentRedirect</Code>",
            Refusal(status=301, code="PermanentRedirect", region="eu-west-1", redirected=True),
        ),
        (
            400,
            {},
            "<Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region>",
            Refusal(status=400, code="AuthorizationHeaderMalformed", region="eu-west-1"),
        ),
        (502, {}, "<html>Bad Gateway", Refusal(status=502)),
    ],
)
def test_reads_an_answer(status: int, headers: dict[str, str], body: str, refusal: Refusal) -> None:
    assert read_answer(status, headers, body) == refusal


NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("", 0),
        ("7", 7),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0),
        ("Thu, 01 Jan 2026 12:00:30", 0),
        ("soon", 0),
        ("-3", 0),
    ],
)
def test_when_the_server_wants_to_be_asked_again(retry_after: str, seconds: float) -> None:
    assert asked_wait_s(retry_after, now=NOW) == seconds


def test_only_what_may_pass_waits_as_long_as_it_is_told() -> None:
    error = refused_for_now("x", Refusal(status=503, retry_after_s=9), do="wait")
    assert isinstance(error, Busy)
    assert (error.temporary, error.retry_after_s, error.do) == (True, 9, "wait")
    assert not isinstance(refused_for_now("x", Refusal(status=503), do=""), Busy)
    assert not refused_for_now("x", Refusal(status=400, retry_after_s=9), do="").temporary
