"""Against AWS's own signature: botocore signs the same request at the same time."""

from __future__ import annotations

from datetime import UTC, datetime

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from modelferry.sources.s3_signature import sign_s3_get
from modelferry.sources.spec import S3Access
from modelferry.values import Secret

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HEADERS = {"Range": "bytes=10-19"}
KEY = {"access_key_id": Secret("AKIA"), "secret_access_key": Secret("s3cr/et+")}


class Amz(botocore.auth.S3SigV4Auth):
    """At NOW, over no headers but those that must be signed."""

    def headers_to_sign(self, request: AWSRequest):
        headers = super().headers_to_sign(request)
        del headers["Range"]
        return headers


@pytest.mark.parametrize("token", [None, Secret("to/ken==")])
@pytest.mark.parametrize(
    "url",
    [
        "https://bucket.s3.eu-west-1.amazonaws.com/m/model.onnx",
        "http://127.0.0.1:9000/bucket/a%20b%25%2B~.bin",
        "https://s3.eu-west-1.amazonaws.com/b.c/x?versionId=a%2Fb.c",
    ],
)
def test_signs_as_botocore_does(
    url: str, token: Secret | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = S3Access(endpoint=None, region=None, session_token=token, **KEY)
    sent_to, headers = sign_s3_get(access, "eu-west-1", url, HEADERS, now=NOW)
    assert sent_to == url
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda **_: NOW)
    request = AWSRequest("GET", url, headers=HEADERS)
    credentials = Credentials("AKIA", "s3cr/et+", token.reveal() if token else None)
    Amz(credentials, "s3", "eu-west-1").add_auth(request)
    assert headers["Authorization"] == request.headers["Authorization"]
    assert headers["x-amz-date"] == "20260102T030405Z"
    assert headers["Range"] == "bytes=10-19"


def test_without_a_key_nothing_is_signed() -> None:
    access = S3Access(endpoint=None, region=None)
    assert sign_s3_get(access, "r", "https://h/b/x", HEADERS) == ("https://h/b/x", HEADERS)
