"""Against Microsoft's own signature: azure-storage-blob's policy signs the same request.

It knows no Range, as it asks by x-ms-range; that Range is signed is seen in tests/contracts.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from azure.core.pipeline import PipelineContext, PipelineRequest
from azure.core.pipeline.transport import HttpRequest
from azure.storage.blob._shared.authentication import SharedKeyCredentialPolicy

from modelferry.sources.azure_account import BlobAccount
from modelferry.sources.azure_signature import sign_blob_get
from modelferry.values import Secret

KEY = "a2V5IGZvciB0aGUgdGVzdHMgb25seSwgd2hpY2ggb3BlbnMgbm90aGluZw=="
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HEADERS = {"x-ms-range": "bytes=10-19", "If-Match": '"0x1"'}


def account(**credential: Secret) -> BlobAccount:
    given: dict[str, Any] = {"key": None, "sas_token": None, **credential}
    return BlobAccount(name="acct", endpoint="https://acct.blob.example", **given)


@pytest.mark.parametrize(
    "url",
    [
        "https://acct.blob.example/c/m/model.onnx",
        "http://127.0.0.1:10000/acct/c/a%20b%25%2B.bin",
        "https://acct.blob.example/c/x?versionid=2026-01-02T03%3A04%3A05.0000000Z",
    ],
)
def test_signs_as_the_sdk_does(url: str) -> None:
    sent_to, headers = sign_blob_get(account(key=Secret(KEY)), url, HEADERS, now=NOW)
    assert sent_to == url
    signature = headers.pop("Authorization")
    request = HttpRequest("GET", url, headers=headers)
    policy = SharedKeyCredentialPolicy("acct", KEY)
    policy.on_request(PipelineRequest(request, PipelineContext(None)))
    assert signature == request.headers["Authorization"]
    assert headers["x-ms-date"] == "Fri, 02 Jan 2026 03:04:05 GMT"


@pytest.mark.parametrize(("url", "joined"), [("https://h/c/x", "?"), ("https://h/c/x?v=1", "&")])
def test_a_token_is_sent_as_it_is_and_nothing_signed(url: str, joined: str) -> None:
    token = Secret("sv=2023&sig=a%2Fb%3D")
    sent_to, headers = sign_blob_get(account(sas_token=token), url, HEADERS, now=NOW)
    assert sent_to == f"{url}{joined}sv=2023&sig=a%2Fb%3D"
    assert "Authorization" not in headers


def test_a_stranger_says_only_which_version_he_speaks() -> None:
    sent_to, headers = sign_blob_get(account(), "https://h/c/x", HEADERS, now=NOW)
    assert sent_to == "https://h/c/x"
    assert set(headers) == {"x-ms-range", "If-Match", "x-ms-date", "x-ms-version"}
