"""obstore's texts, as version 0.12 writes them (shortened): what is read from them and what not."""

from __future__ import annotations

import pytest
from obstore import exceptions

from modelferry.sources.refusal import Refusal, read_refusal


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
            Refusal(status=412, changed=True),
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
