"""What only Blob storage has: SAS, connection strings, snapshots, and its ways of saying no."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import ContainerSasPermissions, generate_blob_sas, generate_container_sas

from modelferry.artifacts import ModelFile, ResolvedModel
from modelferry.errors import IdentityError, ModelChanged, ModelError, ModelNotFound
from modelferry.sources import open_source, resolve_model
from modelferry.sources.resume import read_range
from modelferry.sources.source import Source
from modelferry.sources.spec import BlobAccess, ModelLine, SourceKind, StorageAccess
from modelferry.values import Secret
from tests.contracts.range_server import RangeServer, Request, Served, serve
from tests.contracts.source_stores import BlobStore, model_line, storage


@pytest.fixture
def blob(testbed: dict[str, str], unique: str) -> Iterator[BlobStore]:
    store = BlobStore(testbed, unique)
    store.put("m/v1/model.onnx", b"weights")
    yield store
    store.client.delete_container()


def resolve(access: StorageAccess | BlobAccess, *lines: ModelLine) -> ResolvedModel:
    access = storage(access) if isinstance(access, BlobAccess) else access
    return resolve_model(lines, access, marker=None, version=None)


def read(access: BlobAccess, line: ModelLine) -> bytes:
    (file,) = resolve(access, line).files
    return b"".join(open_source(line, storage(access)).read(file, 0, file.size_bytes))


def sas(blob: BlobStore, permissions: str = "rl", seconds: float = 3600, **given: Any) -> Secret:
    token = generate_container_sas(
        blob.account,
        blob.container,
        account_key=blob.key,
        permission=ContainerSasPermissions.from_string(permissions),
        expiry=datetime.now(UTC) + timedelta(seconds=seconds),
        **given,
    )
    return Secret(token)


def test_a_sas_reads_and_lists(blob: BlobStore) -> None:
    access = blob.blob_access(sas_token=sas(blob))
    assert read(access, blob.line("m/v1/model.onnx")) == b"weights"
    assert len(resolve(access, blob.line("m/{latest}/")).files) == 1


def test_a_sas_for_one_blob_reads_it(blob: BlobStore) -> None:
    token = generate_blob_sas(
        blob.account,
        blob.container,
        "m/v1/model.onnx",
        account_key=blob.key,
        permission="r",
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    access = blob.blob_access(sas_token=Secret(token))
    assert read(access, blob.line("m/v1/model.onnx")) == b"weights"
    with pytest.raises(IdentityError, match="one for the container"):
        resolve(access, blob.line("m/v1/"))


def test_a_connection_string(blob: BlobStore) -> None:
    text = f"AccountName={blob.account};AccountKey={blob.key};BlobEndpoint={blob.endpoint}"
    access = BlobAccess(endpoint=None, suffix="", connection_string=Secret(text))
    assert read(access, blob.line("m/v1/model.onnx")) == b"weights"


def test_a_connection_string_with_a_sas(blob: BlobStore) -> None:
    text = f"BlobEndpoint={blob.endpoint};SharedAccessSignature={sas(blob).reveal()}"
    access = BlobAccess(endpoint=None, suffix="", connection_string=Secret(text))
    assert read(access, blob.line("m/v1/model.onnx")) == b"weights"


def test_anonymous_reads_a_public_container_and_no_other(blob: BlobStore) -> None:
    access = blob.blob_access()
    with pytest.raises(IdentityError, match="no credential was given") as caught:
        resolve(access, blob.line("m/v1/model.onnx"))
    assert "azure-storage-sas-token" in caught.value.do
    blob.client.set_container_access_policy(signed_identifiers={}, public_access="container")
    assert read(access, blob.line("m/v1/model.onnx")) == b"weights"
    with pytest.raises(ModelNotFound):
        resolve(access, blob.line("m/v1/other"))


@pytest.mark.parametrize(
    ("permissions", "seconds", "key", "cause", "remedy"),
    [
        ("l", 60, "m/v1/model.onnx", "lacks r (read)", "permission r (read)"),
        ("r", 60, "m/v1/", "lacks l (list)", "permission l (list)"),
        ("rl", -60, "m/v1/model.onnx", "expired at", "new token"),
        ("rl", -60, "m/{latest}/", "expired at", "new token"),
    ],
)
def test_a_sas_that_will_not_do_says_why(
    blob: BlobStore, permissions: str, seconds: float, key: str, cause: str, remedy: str
) -> None:
    token = sas(blob, permissions, seconds)
    with pytest.raises(IdentityError) as caught:
        resolve(blob.blob_access(sas_token=token), blob.line(key))
    assert cause in caught.value.what
    assert remedy in caught.value.do
    assert "azure-storage-sas-token" in caught.value.do
    assert token.reveal().rpartition("sig=")[2] not in str(caught.value)


def test_a_sas_with_a_broken_signature(blob: BlobStore) -> None:
    token = Secret(sas(blob).reveal().replace("sig=", "sig=AAAA"))
    with pytest.raises(IdentityError, match="refused to read") as caught:
        resolve(blob.blob_access(sas_token=token), blob.line("m/v1/model.onnx"))
    assert "signature" in caught.value.seen


@pytest.mark.parametrize("key", ["m/v1/model.onnx", "m/v1/", "m/{latest}/model.onnx"])
def test_a_wrong_key_is_told_for_reads_and_lists(blob: BlobStore, key: str) -> None:
    with pytest.raises(IdentityError, match="the account key was not accepted") as caught:
        resolve(blob.wrong_access, blob.line(key))
    assert "azure-storage-key" in caught.value.do
    assert "(403 " in caught.value.what


@pytest.mark.parametrize("key", ["m/v1/model.onnx", "m/v1/", "m/{latest}/model.onnx"])
def test_a_wrong_container_is_told_from_a_missing_blob(blob: BlobStore, key: str) -> None:
    with pytest.raises(ModelNotFound, match="Container 'no-such-thing' does not exist"):
        resolve(blob.access, blob.line(key, container="no-such-thing"))


def test_an_unknown_account(blob: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelferry.sources.resolve._TRIES", 1)
    access = BlobAccess(endpoint=None, suffix="blob.invalid", key=Secret(blob.key))
    with pytest.raises(ModelError, match="no storage account 'nobody'") as caught:
        resolve(access, blob.line("m/v1/model.onnx", authority="nobody"))
    assert "nobody.blob.invalid" in caught.value.what
    assert caught.value.temporary


def test_an_endpoint_that_does_not_answer_is_tried_again(
    blob: BlobStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelferry.sources.resolve._TRIES", 2)
    access = blob.blob_access(endpoint="http://127.0.0.1:1/acct", key=Secret(blob.key))
    with pytest.raises(ModelError, match="connection refused") as caught:
        resolve(access, blob.line("m/v1/model.onnx"))
    assert "azure-storage-endpoint" in caught.value.do
    assert "try 2 of 2" in caplog.text


def test_folder_markers_are_no_files(blob: BlobStore) -> None:
    blob.put("m/v1/sub", b"", metadata={"hdi_isfolder": "true"})
    blob.put("m/v1/sub/more", b"more")
    blob.put("m/v1/hollow", b"", metadata={"hdi_isfolder": "true"})
    blob.put("m/v1/portal/", b"")
    blob.put("m/v1/empty.txt", b"")
    names = [file.image_path.name for file in resolve(blob.access, blob.line("m/v1/")).files]
    assert names == ["empty.txt", "model.onnx", "more"]
    with pytest.raises(ModelNotFound, match="is a folder"):
        resolve(blob.access, blob.line("m/v1/hollow"))


def test_a_folder_of_markers_alone_is_empty(blob: BlobStore) -> None:
    blob.put("n/hollow", b"", metadata={"hdi_isfolder": "true"})
    with pytest.raises(ModelNotFound, match="only empty folders"):
        resolve(blob.access, blob.line("n/"))


@pytest.mark.parametrize(
    ("sent", "kept"), [("a//b", "a//b"), ("sub\\..\\x", "sub/../x"), ("..\\x", "../x")]
)
def test_hostile_names_from_storage_are_refused(blob: BlobStore, sent: str, kept: str) -> None:
    blob.put(f"m/v2/{sent}", b"x")
    with pytest.raises(ModelError, match="cannot become a path in the image") as caught:
        resolve(blob.access, blob.line("m/v2/"))
    assert repr(kept) in caught.value.what
    assert resolve(blob.access, blob.line("m/v1/")).files, "other folders are not touched by it"


def test_hostile_names_elsewhere_do_not_disturb_a_choice(blob: BlobStore) -> None:
    blob.put("m/v0//odd", b"x")
    resolved = resolve(blob.access, blob.line("m/{latest}/"))
    assert [file.uri for file in resolved.files] == [blob.line("m/v1/model.onnx").uri]
    (file,) = resolved.files
    source = open_source(blob.line("m/{latest}/"), blob.access)
    assert b"".join(source.read(file, 0, 7)) == b"weights", "the SDK's listing pins just as well"


def test_a_snapshot_is_read_whatever_came_later(blob: BlobStore) -> None:
    when = blob.client.get_blob_client("m/v1/model.onnx").create_snapshot()["snapshot"]
    blob.put("m/v1/model.onnx", b"overwritten")
    access = blob.blob_access(key=Secret(blob.key))
    line = blob.line("m/v1/model.onnx", snapshot=when)
    assert read(access, line) == b"weights"
    resolved = resolve(access, line)
    assert resolved.version == when
    assert resolved.files[0].version_id == when


@pytest.mark.parametrize("when", ["2020-01-01T00:00:00.0000000Z", "yesterday"])
def test_a_missing_snapshot(blob: BlobStore, when: str) -> None:
    with pytest.raises(ModelNotFound, match="has no snapshot"):
        resolve(blob.access, blob.line("m/v1/model.onnx", snapshot=when))


def test_a_snapshot_with_a_wrong_key(blob: BlobStore) -> None:
    with pytest.raises(IdentityError, match="key was not accepted"):
        resolve(blob.wrong_access, blob.line("m/v1/model.onnx", snapshot="2020-01-01T00:00:00Z"))


def test_a_version_is_asked_for_in_every_request(blob: BlobStore) -> None:
    """Azurite has no versions: what goes over the wire is looked at instead."""
    with serve(None) as server:
        server.objects["/acct/c/model.onnx"] = Served(b"weights")
        access = BlobAccess(endpoint=f"{server.address}/acct", suffix="")
        line = blob.line("model.onnx", authority="acct", container="c", version_id="2026-01-01T0Z")
        assert read(access, line) == b"weights"
    assert len(server.requests) == 2
    for request in server.requests:
        assert "versionid=2026-01-01T0Z" in request.path


def test_a_missing_version(blob: BlobStore) -> None:
    with serve(None) as server:
        access = BlobAccess(endpoint=f"{server.address}/acct", suffix="")
        line = blob.line("model.onnx", authority="acct", container="c", version_id="v")
        with pytest.raises(ModelNotFound, match="has no version 'v'"):
            resolve(access, line)


def test_variables_of_the_machine_change_nothing(
    blob: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """obstore reads AZURE_* by itself; a runner often has them for other steps."""
    for name, value in {
        "AZURE_STORAGE_ACCOUNT_NAME": "other",
        "AZURE_STORAGE_ACCOUNT_KEY": "b3RoZXI=",
        "AZURE_STORAGE_SAS_TOKEN": "sig=other",
        "AZURE_STORAGE_ENDPOINT": "http://127.0.0.1:1/other",
        "AZURE_STORAGE_TOKEN": "other",
        "AZURE_SKIP_SIGNATURE": "true",
        "AZURE_STORAGE_USE_EMULATOR": "true",
        "AZURE_CLIENT_ID": "c",
        "AZURE_TENANT_ID": "t",
        "AZURE_CLIENT_SECRET": "s",
        "AZURE_CONTAINER_NAME": "other",
    }.items():
        monkeypatch.setenv(name, value)
    line = blob.line("m/v1/model.onnx")
    assert read(blob.blob_access(key=Secret(blob.key)), line) == b"weights"
    assert read(blob.blob_access(sas_token=sas(blob)), line) == b"weights"
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", blob.key)
    monkeypatch.setenv("AZURE_SKIP_SIGNATURE", "false")
    with pytest.raises(IdentityError, match="no credential was given"):
        resolve(blob.blob_access(), line)


def test_a_range_past_the_end_means_that_it_changed(blob: BlobStore) -> None:
    line = blob.line("m/v1/model.onnx")
    (file,) = resolve(blob.access, line).files
    longer = replace(file, etag=None, size_bytes=100)
    with pytest.raises(ModelChanged):
        list(open_source(line, blob.access).read(longer, 50, 100))


def test_nothing_secret_is_kept_in_sight(blob: BlobStore, tmp_path: Path) -> None:
    resolved = resolve(blob.blob_access(sas_token=sas(blob)), blob.line("m/v1/model.onnx"))
    assert "sig=" not in repr(resolved)


@pytest.fixture
def impostor() -> Iterator[tuple[RangeServer, ModelLine, ModelFile, Source]]:
    """A blob service with its own idea of ranges and conditions."""
    with serve(None) as server:
        server.objects["/acct/c/model.onnx"] = Served(bytes(range(256)))
        access = storage(BlobAccess(endpoint=f"{server.address}/acct", suffix=""))
        line = model_line(SourceKind.AZBLOB, "model.onnx", authority="acct", container="c")
        (file,) = resolve(access, line).files
        yield server, line, file, open_source(line, access)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("elsewhere", "bytes 99..200 where 100..200 were asked for"),
        ("short", "bytes 100..199 where 100..200 were asked for"),
        ("whole", "an answer that is no range"),
    ],
)
def test_another_range_than_was_asked_for_is_refused(
    impostor: tuple[RangeServer, ModelLine, ModelFile, Source], fault: str, told: str
) -> None:
    server, _, file, source = impostor
    server.fault = lambda request: fault
    with pytest.raises(ModelError, match=told) as caught:
        list(source.read(file, 100, 200))
    assert caught.value.temporary


@pytest.mark.parametrize("etag", ['"1"', '"2"'], ids=["another size", "another ETag"])
def test_a_change_that_the_service_does_not_look_for_is_seen(
    impostor: tuple[RangeServer, ModelLine, ModelFile, Source], etag: str
) -> None:
    server, _, file, source = impostor
    server.heeds_if_match = False
    server.objects["/acct/c/model.onnx"] = Served(bytes(300 if etag == '"1"' else 256), etag=etag)
    with pytest.raises(ModelChanged) as caught:
        list(source.read(file, 100, 200))
    assert f'was "1" when it was chosen and is {etag} now' in caught.value.seen


def test_a_read_that_breaks_as_the_model_changes_tells_of_the_change(
    impostor: tuple[RangeServer, ModelLine, ModelFile, Source],
) -> None:
    server, line, file, source = impostor

    def change_and_refuse(request: Request) -> str | None:
        if request.start != 100:
            return None
        server.objects["/acct/c/model.onnx"] = Served(bytes(256), etag='"2"')
        return "reset"

    server.fault = change_and_refuse
    with pytest.raises(ModelChanged) as caught:
        read_range(source.read, file, 100, 200)
    assert f"{line.uri} changed while it was read" in caught.value.what
    assert '"1"' in caught.value.seen
    assert '"2"' in caught.value.seen
