"""What only S3 has: regions, versions, session tokens, and its ways of saying no."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from modelferry.artifacts import ResolvedModel
from modelferry.errors import FerryError, IdentityError, ModelError, ModelNotFound
from modelferry.sources import open_source, resolve_model
from modelferry.sources.s3 import s3_place
from modelferry.sources.spec import ModelLine, S3Access, SourceKind
from modelferry.values import Secret
from tests.contracts.range_server import RangeServer, Served, serve
from tests.contracts.source_stores import S3Store, model_line, storage


@pytest.fixture
def s3(testbed: dict[str, str], unique: str) -> Iterator[S3Store]:
    store = S3Store(testbed, unique)
    store.put("m/v1/model.onnx", b"weights")
    yield store
    versions = store.client.list_object_versions(Bucket=unique)
    for found in (*versions.get("Versions", ()), *versions.get("DeleteMarkers", ())):
        store.client.delete_object(Bucket=unique, Key=found["Key"], VersionId=found["VersionId"])
    for found in store.client.list_objects_v2(Bucket=unique).get("Contents", ()):
        store.client.delete_object(Bucket=unique, Key=found["Key"])
    store.client.delete_bucket(Bucket=unique)


@pytest.fixture
def server() -> Iterator[RangeServer]:
    with serve(None) as state:
        yield state


def resolve(access: S3Access, *lines: ModelLine) -> ResolvedModel:
    return resolve_model(lines, storage(s3=access), marker=None, version=None)


def read(access: S3Access, line: ModelLine) -> bytes:
    (file,) = resolve(access, line).files
    return b"".join(open_source(line, storage(s3=access)).read(file, 0, file.size_bytes))


KEYS = ["m/v1/model.onnx", "m/v1/", "m/{latest}/model.onnx"]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    ("given", "kind", "what", "do"),
    [
        (
            {"secret_access_key": Secret("wrong")},
            IdentityError,
            "refused the signature (403 SignatureDoesNotMatch)",
            "aws-secret-access-key",
        ),
        (
            {"access_key_id": Secret("AKIAWRONG")},
            IdentityError,
            "does not know the access key id",
            "aws-access-key-id",
        ),
        (
            {"access_key_id": None, "secret_access_key": None},
            IdentityError,
            "no credential was given and the bucket is not public",
            "Give `aws-access-key-id`",
        ),
        (
            {"region": "eu-west-1"},
            ModelError,
            "is in region us-east-1, not in eu-west-1",
            "Set `aws-region` to us-east-1.",
        ),
    ],
    ids=["secret", "key-id", "anonymous", "region"],
)
def test_what_is_wrong_is_told_for_reads_and_lists(
    s3: S3Store, key: str, given: dict[str, Any], kind: type[FerryError], what: str, do: str
) -> None:
    with pytest.raises(kind) as caught:
        resolve(s3.s3_access(**given), s3.line(key))
    assert what in caught.value.what
    assert do in caught.value.do


@pytest.mark.parametrize("key", KEYS)
def test_a_wrong_bucket_is_told_from_a_missing_object(s3: S3Store, key: str) -> None:
    with pytest.raises(ModelNotFound, match="Bucket 'no-such-bucket' does not exist"):
        resolve(s3.s3_access(), s3.line(key, authority="no-such-bucket"))


def test_a_public_bucket_needs_no_key(s3: S3Store) -> None:
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": "*",
                "Action": ["s3:GetObject", "s3:ListBucket"],
                "Resource": [f"arn:aws:s3:::{s3.bucket}", f"arn:aws:s3:::{s3.bucket}/*"],
            }
        ],
    }
    s3.client.put_bucket_policy(Bucket=s3.bucket, Policy=json.dumps(policy))
    anonymous = s3.s3_access(access_key_id=None, secret_access_key=None)
    assert read(anonymous, s3.line("m/v1/model.onnx")) == b"weights"
    assert len(resolve(anonymous, s3.line("m/v1/")).files) == 1


def test_a_version_is_read_whatever_came_later(s3: S3Store) -> None:
    s3.client.put_bucket_versioning(Bucket=s3.bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.client.put_object(Bucket=s3.bucket, Key="v.bin", Body=b"first")["VersionId"]
    s3.client.put_object(Bucket=s3.bucket, Key="v.bin", Body=b"second")
    line = s3.line("v.bin", version_id=first)
    assert read(s3.s3_access(), line) == b"first"
    resolved = resolve(s3.s3_access(), line)
    assert resolved.version == first
    assert read(s3.s3_access(), s3.line("v.bin")) == b"second"


@pytest.mark.parametrize("version", ["01BX5ZZKBKACTAV9WEVGEMMVRZ", "nonsense"])
def test_a_missing_version(s3: S3Store, version: str) -> None:
    with pytest.raises(ModelNotFound, match=f"has no version '{version}'"):
        resolve(s3.s3_access(), s3.line("m/v1/model.onnx", version_id=version))


def test_folder_markers_are_no_files(s3: S3Store) -> None:
    s3.put("m/v1/portal/", b"")
    s3.put("m/v1/sub/", b"")
    s3.put("m/v1/sub/more", b"more")
    s3.put("m/v1/empty.txt", b"")
    names = [file.image_path.name for file in resolve(s3.s3_access(), s3.line("m/v1/")).files]
    assert names == ["empty.txt", "model.onnx", "more"]


def test_hostile_names_from_storage_are_refused(server: RangeServer) -> None:
    """A gateway over a folder cannot hold such names, S3 can."""
    listing = """<?xml version="1.0"?><ListBucketResult>
      <Name>bucket</Name><Prefix>m/</Prefix><KeyCount>1</KeyCount><MaxKeys>1000</MaxKeys>
      <IsTruncated>false</IsTruncated><Contents><Key>m/../../etc/passwd</Key><Size>5</Size>
      <LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>"e"</ETag></Contents>
    </ListBucketResult>"""
    server.objects["/bucket"] = Served(listing.encode())
    with pytest.raises(ModelError, match="could leave the model's folder") as caught:
        resolve(local(server), model_line(SourceKind.S3, "m/", authority="bucket"))
    assert "'../../etc/passwd' cannot become a path" in caught.value.what


def local(server: RangeServer, **given: Any) -> S3Access:
    fields: dict[str, Any] = {
        "endpoint": server.address,
        "region": None,
        "access_key_id": Secret("id"),
        "secret_access_key": Secret("secret"),
        **given,
    }
    return S3Access(**fields)


def refuse(server: RangeServer, status: int, code: str = "") -> ModelLine:
    server.objects["/bucket/model.onnx"] = Served(b"weights")
    server.objects["/bucket"] = Served(b"")
    server.fault = lambda request: status
    server.error_body = f"<Error><Code>{code}</Code></Error>".encode() if code else b""
    return model_line(SourceKind.S3, "model.onnx", authority="bucket")


@pytest.mark.parametrize(
    ("status", "code", "kind", "what"),
    [
        (403, "AccessDenied", IdentityError, "refused to read s3://bucket/model.onnx (403 "),
        (403, "ExpiredToken", IdentityError, "refused the session token (403 ExpiredToken)"),
        (400, "InvalidToken", IdentityError, "refused the session token (400 InvalidToken)"),
        (403, "RequestTimeTooSkewed", IdentityError, "refused the request's time"),
        (403, "InvalidObjectState", ModelError, "is in an archive storage class"),
        (404, "NoSuchKey", ModelNotFound, "does not exist (404 NoSuchKey)"),
        (418, "", ModelError, "(418)"),
    ],
)
def test_other_refusals(
    server: RangeServer, status: int, code: str, kind: type[FerryError], what: str
) -> None:
    with pytest.raises(kind) as caught:
        resolve(local(server), refuse(server, status, code))
    assert what in caught.value.what
    assert caught.value.do


def test_a_403_may_mean_a_missing_object(server: RangeServer) -> None:
    with pytest.raises(IdentityError) as caught:
        resolve(local(server), refuse(server, 403, "AccessDenied"))
    assert "not there too" in caught.value.seen
    assert "s3:ListBucket" in caught.value.do
    assert "s3:GetObject" in caught.value.do


@pytest.mark.parametrize("region", ["eu-west-1", ""])
def test_a_redirect_without_address_means_another_region(server: RangeServer, region: str) -> None:
    server.headers = {"x-amz-bucket-region": region} if region else {}
    with pytest.raises(ModelError, match="not in us-east-1") as caught:
        resolve(local(server), refuse(server, 301, "PermanentRedirect"))
    assert (region or "the region of the bucket") in caught.value.do


def test_a_busy_service_is_tried_again(
    server: RangeServer, caplog: pytest.LogCaptureFixture
) -> None:
    line = refuse(server, 503, "SlowDown")
    server.fault = lambda request: 503 if len(server.requests) <= 2 else None
    assert read(local(server), line) == b"weights"
    assert "503" in caplog.text


def test_a_session_token_goes_along(server: RangeServer) -> None:
    server.objects["/bucket/model.onnx"] = Served(b"weights")
    line = model_line(SourceKind.S3, "model.onnx", authority="bucket")
    assert read(local(server, session_token=Secret("token")), line) == b"weights"
    assert {request.headers.get("x-amz-security-token") for request in server.requests} == {"token"}


def test_variables_of_the_machine_change_nothing(
    s3: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """obstore and boto3 read AWS_* by themselves; a runner often has them for other steps."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "other",
        "AWS_SECRET_ACCESS_KEY": "other",
        "AWS_SESSION_TOKEN": "other",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ENDPOINT": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true",
        "AWS_SKIP_SIGNATURE": "true",
        "AWS_S3_EXPRESS": "true",
        "AWS_BUCKET": "other",
        "AWS_PROFILE": "other",
    }.items():
        monkeypatch.setenv(name, value)
    assert read(s3.s3_access(), s3.line("m/v1/model.onnx")) == b"weights"
    assert len(resolve(s3.s3_access(), s3.line("m/v1/")).files) == 1


def test_variables_do_not_change_what_the_sdk_asks(
    server: RangeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "other")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    test_hostile_names_from_storage_are_refused(server)


@pytest.mark.parametrize(
    ("bucket", "given", "endpoint", "host_style"),
    [
        ("models", {}, "https://models.s3.us-east-1.amazonaws.com", True),
        (
            "models",
            {"region": "eu-central-1"},
            "https://models.s3.eu-central-1.amazonaws.com",
            True,
        ),
        ("my.models", {}, "https://s3.us-east-1.amazonaws.com", False),
        ("models", {"region": "cn-north-1"}, "https://models.s3.cn-north-1.amazonaws.com.cn", True),
        ("models", {"endpoint": "https://minio.example/"}, "https://minio.example", False),
    ],
)
def test_where_a_bucket_is(
    bucket: str, given: dict[str, Any], endpoint: str, host_style: bool
) -> None:
    place = s3_place(bucket, S3Access(**{"endpoint": None, "region": None, **given}))
    assert (place.endpoint, place.host_style) == (endpoint, host_style)
