"""One real store of each kind, for the suite that all of them must pass."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Protocol
from urllib.parse import quote

from modelferry.sources.spec import BlobAccess, ModelLine, S3Access, SourceKind, StorageAccess
from modelferry.values import Secret
from tests.contracts.range_server import RangeServer, Served, serve


class Store(Protocol):
    kind: SourceKind
    lists: bool  # folders, globs and placeholders make sense
    access: StorageAccess
    wrong_access: StorageAccess | None  # None: there is no credential to be wrong
    workspace: Path

    def put(self, key: str, body: bytes) -> None: ...

    def line(self, key: str, *, number: int = 1, wrong: bool = False) -> ModelLine: ...


def storage(blob: BlobAccess | None = None, s3: S3Access | None = None) -> StorageAccess:
    return StorageAccess(
        blob=blob or BlobAccess(endpoint=None, suffix="blob.core.windows.net"),
        s3=s3 or S3Access(endpoint=None, region=None),
    )


def model_line(kind: SourceKind, key: str, number: int = 1, **given: Any) -> ModelLine:
    fields: dict[str, Any] = {
        "authority": "",
        "container": "",
        "query": "",
        "version_id": None,
        "snapshot": None,
        "target": PurePosixPath("/model"),
        "target_is_folder": True,
    }
    return ModelLine(line=number, kind=kind, key=key, **{**fields, **given})


class BlobStore:
    kind = SourceKind.AZBLOB
    lists = True
    workspace = Path("/nonexistent")

    def __init__(self, testbed: dict[str, str], container: str) -> None:
        from azure.storage.blob import BlobServiceClient

        self.account, self.container = testbed["TESTBED_BLOB_ACCOUNT"], container
        self.endpoint, self.key = testbed["TESTBED_BLOB_ENDPOINT"], testbed["TESTBED_BLOB_KEY"]
        service = BlobServiceClient(self.endpoint, credential=self.key)
        self.client = service.create_container(container)
        self.access = storage(self.blob_access(key=Secret(self.key)))
        wrong = ("B" if self.key[0] != "B" else "C") + self.key[1:]
        self.wrong_access = storage(self.blob_access(key=Secret(wrong)))

    def blob_access(self, **given: Any) -> BlobAccess:
        return BlobAccess(**{"endpoint": self.endpoint, "suffix": "", **given})

    def put(self, key: str, body: bytes, **given: Any) -> None:
        self.client.upload_blob(key, body, overwrite=True, **given)

    def line(self, key: str, *, number: int = 1, wrong: bool = False, **given: Any) -> ModelLine:
        fields = {"authority": self.account, "container": self.container, **given}
        return model_line(self.kind, key, number, **fields)


class S3Store:
    kind = SourceKind.S3
    lists = True
    workspace = Path("/nonexistent")

    def __init__(self, testbed: dict[str, str], bucket: str) -> None:
        import boto3

        self.bucket, self.endpoint = bucket, testbed["TESTBED_S3_ENDPOINT"]
        self.key_id = testbed["TESTBED_S3_ACCESS_KEY_ID"]
        self.secret = testbed["TESTBED_S3_SECRET_ACCESS_KEY"]
        self.client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.key_id,
            aws_secret_access_key=self.secret,
        )
        self.client.create_bucket(Bucket=bucket)
        self.access = storage(s3=self.s3_access())
        self.wrong_access = storage(s3=self.s3_access(secret_access_key=Secret("wrong")))

    def s3_access(self, **given: Any) -> S3Access:
        fields: dict[str, Any] = {
            "endpoint": self.endpoint,
            "region": None,
            "access_key_id": Secret(self.key_id),
            "secret_access_key": Secret(self.secret),
            **given,
        }
        return S3Access(**fields)

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body)

    def line(self, key: str, *, number: int = 1, wrong: bool = False, **given: Any) -> ModelLine:
        return model_line(self.kind, key, number, **{"authority": self.bucket, **given})


class HttpsStore:
    kind = SourceKind.HTTPS
    lists = False
    workspace = Path("/nonexistent")
    access = storage()
    wrong_access = storage()  # the signature is in the address

    def __init__(self, server: RangeServer) -> None:
        self.server = server
        server.signature = "sig=right"

    def put(self, key: str, body: bytes) -> None:
        before = self.server.objects.get(f"/{key}")
        number = int(before.etag.strip('"')) + 1 if before and before.etag else 1
        self.server.objects[f"/{key}"] = Served(body, etag=f'"{number}"', modified=time.time())

    def line(self, key: str, *, number: int = 1, wrong: bool = False) -> ModelLine:
        query = "sig=wrong" if wrong else "sig=right"
        fields = {"authority": self.server.host, "query": query}
        return model_line(self.kind, quote(key), number, **fields)


class FileStore:
    kind = SourceKind.FILE
    lists = True
    access = storage()
    wrong_access = None

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace

    def put(self, key: str, body: bytes) -> None:
        path = self.workspace / key
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.stat().st_mtime_ns if path.exists() else 0
        path.write_bytes(body)
        if path.stat().st_mtime_ns == before:  # two writes within one tick of the clock
            os.utime(path, ns=(before + 1, before + 1))

    def line(self, key: str, *, number: int = 1, wrong: bool = False) -> ModelLine:
        return model_line(self.kind, key, number)


@contextmanager
def open_store(
    kind: SourceKind,
    name: str,
    *,
    folder: Path,
    certificate: Path,
    testbed: Callable[[], dict[str, str]],
) -> Iterator[Store]:
    """`testbed` is asked by those alone that need it."""
    match kind:
        case SourceKind.AZBLOB:
            blob = BlobStore(testbed(), name)
            yield blob
            blob.client.delete_container()
        case SourceKind.S3:
            s3 = S3Store(testbed(), name)
            yield s3
            for found in s3.client.list_objects_v2(Bucket=name).get("Contents", ()):
                s3.client.delete_object(Bucket=name, Key=found["Key"])
            s3.client.delete_bucket(Bucket=name)
        case SourceKind.HTTPS:
            with serve(certificate) as server:
                yield HttpsStore(server)
        case SourceKind.FILE:
            yield FileStore(folder)
