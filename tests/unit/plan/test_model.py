from __future__ import annotations

from collections.abc import Callable

import pytest

from modelferry.errors import Fault
from modelferry.plan import Plan

KEY = "Zm9vYmFy" * 11
HEX = "ab" * 32
ONE = {"model": "azblob://acct/models/m.onnx"}
TWO = {"model": "azblob://acct/models/a\nazblob://acct/models/b => /code/"}


def test_lines_are_counted_as_the_user_counts_them(plan_of: Callable[..., Plan]) -> None:
    plan = plan_of({"model": "\r\n  azblob://acct/models/a \r\n\r\ns3://bucket/b => /code/\r\n"})
    assert plan.model
    assert [(line.line, line.key) for line in plan.model.lines] == [(2, "a"), (4, "b")]


@pytest.mark.parametrize(
    ("environment", "suffix"),
    [
        ("", "blob.core.windows.net"),
        ("AzureCloud", "blob.core.windows.net"),
        ("azureusgovernment", "blob.core.usgovcloudapi.net"),
        ("azurechinacloud", "blob.core.chinacloudapi.cn"),
    ],
)
def test_the_cloud_decides_the_blob_suffix(
    plan_of: Callable[..., Plan], environment: str, suffix: str
) -> None:
    plan = plan_of({"model": f"https://acct.{suffix}/models/m", "azure-environment": environment})
    assert plan.model
    assert plan.model.access.blob.suffix == suffix
    assert plan.model.lines[0].kind == "azblob"


def test_credentials_arrive_as_secrets(plan_of: Callable[..., Plan]) -> None:
    plan = plan_of(
        {
            **ONE,
            "azure-storage-sas-token": "?sv=2026&sig=hunter2",
            "aws-access-key-id": "AKIA",
            "aws-secret-access-key": "hunter2",
            "aws-region": "eu-central-1",
            "s3-endpoint": "http://127.0.0.1:7070/",
        }
    )
    assert plan.model
    blob, s3 = plan.model.access.blob, plan.model.access.s3
    assert blob.sas_token
    assert blob.sas_token.reveal() == "sv=2026&sig=hunter2"
    assert s3.secret_access_key
    assert s3.secret_access_key.reveal() == "hunter2"
    assert s3.endpoint == "http://127.0.0.1:7070"
    assert "hunter2" not in repr(plan)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (HEX.upper(), ((None, HEX),)),
        (f"{HEX} m.onnx", (("m.onnx", HEX),)),
        (f"{HEX} *a b\n\n{HEX}  v/c\n", (("a b", HEX), ("v/c", HEX))),
    ],
)
def test_checksums(plan_of: Callable[..., Plan], text: str, read: object) -> None:
    plan = plan_of({**ONE, "model-sha256": text})
    assert plan.model
    assert plan.model.sha256 == read


def test_a_connection_string_may_be_the_development_one(plan_of: Callable[..., Plan]) -> None:
    assert plan_of({**ONE, "azure-storage-connection-string": "UseDevelopmentStorage=true"})


@pytest.mark.parametrize(
    ("given", "name", "says"),
    [
        (
            {"model": "azblob://acct/models/m\ns3://bucket/b/m"},
            "model line 2",
            "where line 1 puts its file",
        ),
        (
            {"model": "s3://bucket/a => /code/m\n\nfile:m => /code/"},
            "model line 3",
            "where line 1 puts its file",
        ),
        (
            {"model": "s3://bucket/a => /code/m\ns3://bucket/b => /code/m/"},
            "model line 2",
            "one is inside the other",
        ),
        ({**ONE, "model-sha256": HEX[1:]}, "model-sha256 line 1", "64 hex digits"),
        ({**ONE, "model-sha256": f"sha256:{HEX}"}, "model-sha256 line 1", "64 hex digits"),
        ({**ONE, "model-sha256": f"{HEX} a\n{HEX} a"}, "model-sha256 line 2", "already"),
        ({**ONE, "model-sha256": f"{HEX}\n{HEX} a"}, "model-sha256", "must name the file"),
        ({**TWO, "model-sha256": HEX}, "model-sha256", "lines HEX NAME"),
        ({"model-sha256": HEX}, "model-sha256", "no model"),
        ({"model-marker": "_SUCCESS"}, "model-marker", "no model"),
        ({"model-in-context": "true"}, "model-in-context", "no model"),
        ({**ONE, "model-in-context": "1"}, "model-in-context", "true or false"),
        ({**ONE, "model-marker": "v3/_SUCCESS"}, "model-marker", "without folders"),
        ({**ONE, "model-version": "v1\nv2"}, "model-version", "one line"),
        (
            {**ONE, "azure-storage-key": KEY, "azure-storage-sas-token": "sig=a"},
            "azure-storage-sas-token",
            "and azure-storage-key are both given",
        ),
        (
            {
                **ONE,
                "azure-storage-key": KEY,
                "azure-storage-connection-string": "AccountName=acct;AccountKey=a",
            },
            "azure-storage-connection-string",
            "and azure-storage-key are both given",
        ),
        ({"azure-storage-key": "hunter2!"}, "azure-storage-key", "base64"),
        ({"azure-storage-sas-token": "hunter2"}, "azure-storage-sas-token", "sv="),
        (
            {"azure-storage-sas-token": "https://acct.blob.core.windows.net/c?sig=hunter2"},
            "azure-storage-sas-token",
            "the token alone",
        ),
        (
            {"azure-storage-connection-string": "hunter2"},
            "azure-storage-connection-string",
            "AccountName=",
        ),
        (
            {**ONE, "azure-storage-connection-string": "AccountName=other;AccountKey=hunter2"},
            "azure-storage-connection-string",
            "is for account 'other', model names 'acct'",
        ),
        (
            {**ONE, "azure-storage-endpoint": "http://127.0.0.1:10000/other"},
            "azure-storage-endpoint",
            "is for account 'other', model names 'acct'",
        ),
        ({"azure-storage-endpoint": "127.0.0.1:10000"}, "azure-storage-endpoint", "https://"),
        (
            {"azure-storage-endpoint": "https://acct.example/?sv=1&sig=hunter2"},
            "azure-storage-endpoint",
            "credentials have inputs",
        ),
        ({**ONE, "azure-environment": "custom"}, "azure-storage-endpoint", "is needed"),
        ({"azure-environment": "azuregermancloud"}, "azure-environment", "must be one of"),
        ({"s3-endpoint": "minio:9000"}, "s3-endpoint", "https://"),
        ({"s3-endpoint": "https://key:hunter2@minio"}, "s3-endpoint", "credentials have inputs"),
        ({"aws-access-key-id": "AKIA"}, "aws-access-key-id", "without aws-secret-access-key"),
        ({"aws-secret-access-key": "x"}, "aws-secret-access-key", "without aws-access-key-id"),
        ({"aws-session-token": "x"}, "aws-session-token", "belongs to an access key"),
        ({"aws-region": "Frankfurt!"}, "aws-region", "eu-central-1"),
    ],
)
def test_refuses(
    faults_of: Callable[..., tuple[Fault, ...]], given: dict[str, str], name: str, says: str
) -> None:
    [fault] = faults_of(given)
    assert fault.name == name
    assert says in fault.allowed
    assert "hunter2" not in str(fault)
