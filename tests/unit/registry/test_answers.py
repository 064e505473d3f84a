import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from modelferry.errors import FerryError, IdentityError, RegistryError
from modelferry.registry.answers import Answer, refusal


def answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    return Answer(
        method="PUT",
        url="https://reg.example.com/v2/a/blobs/uploads/1?_state=SECRET",
        status=status,
        headers=headers,
        body=body,
    )


def errors(code: str, message: str = "why") -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()


@pytest.mark.parametrize(
    ("status", "code", "kind", "temporary", "told"),
    [
        (401, "UNAUTHORIZED", IdentityError, False, "does not let us push to a (as user u)"),
        (403, "DENIED", IdentityError, False, "refuses us the right to push to a (as user u)"),
        (404, "NAME_UNKNOWN", RegistryError, False, "no such repository"),
        (405, "UNSUPPORTED", RegistryError, False, "HTTP 405 UNSUPPORTED"),
        (429, "TOOMANYREQUESTS", RegistryError, True, "HTTP 429"),
        (503, "", RegistryError, True, "HTTP 503"),
    ],
)
def test_what_an_answer_means(
    status: int, code: str, kind: type[FerryError], temporary: bool, told: str
) -> None:
    error = refusal(answer(status, errors(code)), "push to a", "as user u")
    assert type(error) is kind
    assert error.temporary == temporary
    assert told in error.what
    assert f"{code}: why" in error.seen
    assert "SECRET" not in str(error)


def test_a_page_instead_of_an_error_is_shown_in_part() -> None:
    shown = str(answer(502, b"<html>bad gateway" + b"x" * 9999))
    assert "<html>bad gateway" in shown
    assert len(shown) < 700


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"errors": "x"}', b'{"errors": []}', b"null"])
def test_errors_of_another_shape_are_shown_as_they_are(body: bytes) -> None:
    assert body.decode() in str(answer(400, body))


@pytest.mark.parametrize(
    ("given", "least", "most"),
    [
        ("7", 7, 7),
        ("9999", 60, 60),
        ("", 0, 0),
        ("soon", 0, 0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0, 0),
    ],
)
def test_retry_after_in_both_of_its_forms(given: str, least: float, most: float) -> None:
    assert least <= answer(429, **{"Retry-After": given}).retry_after_s <= most


def test_retry_after_a_time_to_come() -> None:
    given = format_datetime(datetime.now(UTC) + timedelta(seconds=30))
    assert 20 <= answer(429, **{"Retry-After": given}).retry_after_s <= 30
