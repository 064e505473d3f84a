from __future__ import annotations

from datetime import UTC, datetime

import pytest

from modelferry.sources.azure_account import blob_account, sas_problem
from modelferry.sources.spec import BlobAccess
from modelferry.values import Secret

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def access(
    endpoint: str | None = None,
    *,
    suffix: str = "blob.core.windows.net",
    key: str = "",
    sas: str = "",
    connection: str = "",
) -> BlobAccess:
    return BlobAccess(
        endpoint=endpoint,
        suffix=suffix,
        key=Secret(key) if key else None,
        sas_token=Secret(sas) if sas else None,
        connection_string=Secret(connection) if connection else None,
    )


@pytest.mark.parametrize(
    ("given", "endpoint"),
    [
        (access(), "https://acct.blob.core.windows.net"),
        (
            access(suffix="blob.core.chinacloudapi.cn"),
            "https://acct.blob.core.chinacloudapi.cn",
        ),
        (access("http://127.0.0.1:10000/acct/"), "http://127.0.0.1:10000/acct"),
        (
            access(connection="AccountName=acct;AccountKey=a2V5;EndpointSuffix=core.windows.net"),
            "https://acct.blob.core.windows.net",
        ),
        (
            access(
                connection="DefaultEndpointsProtocol=http;AccountName=acct;AccountKey=a2V5;"
                "BlobEndpoint=http://127.0.0.1:10000/acct;"
            ),
            "http://127.0.0.1:10000/acct",
        ),
        (
            access(connection="UseDevelopmentStorage=true"),
            "http://127.0.0.1:10000/devstoreaccount1",
        ),
        (
            access("https://private.example", connection="AccountName=acct;AccountKey=a2V5"),
            "https://private.example",
        ),
    ],
)
def test_finds_the_endpoint(given: BlobAccess, endpoint: str) -> None:
    assert blob_account("acct", given).endpoint == endpoint


def test_a_connection_string_brings_its_key_whole() -> None:
    account = blob_account("acct", access(connection="AccountName=acct;AccountKey=YWJj+/==;"))
    assert account.key is not None
    assert account.key.reveal() == "YWJj+/=="
    assert account.credential_input == "azure-storage-key"


def test_a_connection_string_may_bring_a_sas() -> None:
    text = "BlobEndpoint=https://acct.blob.core.windows.net;SharedAccessSignature=sv=1&sig=a%3D"
    account = blob_account("acct", access(connection=text))
    assert account.sas_token is not None
    assert account.sas_token.reveal() == "sv=1&sig=a%3D"
    assert account.key is None


def test_nothing_given_is_anonymous() -> None:
    assert blob_account("acct", access()).credential_input == ""


@pytest.mark.parametrize(
    ("token", "needs", "problem"),
    [
        ("sp=r&se=2026-06-01T11:59:59Z&sig=x", "read", "expired at 2026-06-01T11:59:59Z"),
        ("sp=r&se=2026-05-31&sig=x", "read", "expired at 2026-05-31"),
        ("sp=r&st=2026-06-02&se=2027-01-01", "read", "not valid before 2026-06-02"),
        ("sp=r&se=2027-01-01", "list", "sp=r: it lacks l (list)"),
        ("sp=l&se=2027-01-01", "read", "sp=l: it lacks r (read)"),
        ("sp=rl&sr=b&se=2027-01-01", "list", "for one blob (sr=b)"),
        ("sp=rl&srt=s&se=2027-01-01", "read", "must hold o"),
        ("sp=rl&sr=c&se=2027-01-01", "list", ""),
        ("sp=rl&srt=sco&se=2027-01-01", "read", ""),
        ("si=policy&sr=c&sig=x", "read", ""),
        ("sp=r&se=garbage", "read", ""),
    ],
)
def test_reads_what_a_sas_says_about_itself(token: str, needs: str, problem: str) -> None:
    found = sas_problem(Secret(token), needs, NOW)  # pyright: ignore[reportArgumentType]
    assert problem in found
    assert bool(found) is bool(problem)
