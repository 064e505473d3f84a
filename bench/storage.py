"""Where a model is read from: a storage with the model in it, by the names that clients need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

from bench.cloud import Cloud
from bench.data import ModelData, chunks
from bench.fast_blob import ACCOUNT

_CONTAINER = "models"
_KEY = "bm9ib2R5IGlzIGFza2VkIGZvciBhIGtleSBieSB0aGUgZmFzdCBzZXJ2ZXI="  # it asks nobody


class Place(Protocol):
    """What the product's inputs and the peers' clients are told."""

    @property
    def name(self) -> str: ...
    @property
    def data(self) -> ModelData: ...
    @property
    def endpoint(self) -> str: ...
    def at(self, endpoint: str) -> Place: ...  # the same behind another address
    def inputs(self) -> dict[str, str]: ...
    def client(self) -> dict[str, str]: ...  # for bench.peers.download


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobPlace:
    name: str
    data: ModelData
    endpoint: str
    account: str
    key: str

    def at(self, endpoint: str) -> BlobPlace:
        return replace(self, endpoint=endpoint)

    def inputs(self) -> dict[str, str]:
        uri = f"azblob://{self.account}/{_CONTAINER}/{self.data.name}"
        return {
            "model": _line(uri, self.data),
            "azure-storage-endpoint": self.endpoint,
            "azure-storage-key": self.key,
        }

    def client(self) -> dict[str, str]:
        return {
            "kind": "blob",
            "endpoint": self.endpoint,
            "key": self.key,
            "account": self.account,
            "container": _CONTAINER,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Place:
    name: str
    data: ModelData
    endpoint: str
    key_id: str
    secret: str

    def at(self, endpoint: str) -> S3Place:
        return replace(self, endpoint=endpoint)

    def inputs(self) -> dict[str, str]:
        return {
            "model": _line(f"s3://{_CONTAINER}/{self.data.name}", self.data),
            "s3-endpoint": self.endpoint,
            "aws-region": "us-east-1",
            "aws-access-key-id": self.key_id,
            "aws-secret-access-key": self.secret,
        }

    def client(self) -> dict[str, str]:
        return {
            "kind": "s3",
            "endpoint": self.endpoint,
            "key": self.secret,
            "account": self.key_id,
            "container": _CONTAINER,
        }


def fast(cloud: Cloud, data: ModelData) -> BlobPlace:
    return BlobPlace(
        name="fast server", data=data, endpoint=cloud.fast_blob.endpoint, account=ACCOUNT, key=_KEY
    )


def fast_s3(cloud: Cloud, data: ModelData) -> S3Place:
    endpoint = cloud.fast_blob.s3_endpoint
    return S3Place(name="fast S3", data=data, endpoint=endpoint, key_id=ACCOUNT, secret=_KEY)


def azurite(cloud: Cloud, data: ModelData) -> BlobPlace:
    """Puts the model there, beside what is there."""
    from azure.core.exceptions import ResourceExistsError
    from azure.storage.blob import BlobServiceClient

    endpoint, key = cloud.env["TESTBED_BLOB_ENDPOINT"], cloud.env["TESTBED_BLOB_KEY"]
    with (
        BlobServiceClient(
            endpoint, credential=key, max_block_size=16 * 1024**2, max_single_put_size=16 * 1024**2
        ) as service,
        service.get_container_client(_CONTAINER) as container,
    ):
        with suppress(ResourceExistsError):
            container.create_container()
        for part, name in enumerate(data.blobs):
            body = chunks(cloud.blocks, data, part)
            container.upload_blob(name, body, length=data.blob_bytes, overwrite=True)
    account = cloud.env["TESTBED_BLOB_ACCOUNT"]
    return BlobPlace(name="azurite", data=data, endpoint=endpoint, account=account, key=key)


def s3(cloud: Cloud, data: ModelData) -> S3Place:
    """Puts the model there: the gateway serves files of a folder."""
    folder = cloud.folder / "data" / "s3" / "objects" / _CONTAINER
    place = S3Place(
        name="versitygw",
        data=data,
        endpoint=cloud.env["TESTBED_S3_ENDPOINT"],
        key_id=cloud.env["TESTBED_S3_ACCESS_KEY_ID"],
        secret=cloud.env["TESTBED_S3_SECRET_ACCESS_KEY"],
    )
    client = _s3_client(place)
    if not folder.exists():
        client.create_bucket(Bucket=_CONTAINER)
    for part, name in enumerate(data.blobs):
        client.upload_fileobj(_Reader(chunks(cloud.blocks, data, part)), _CONTAINER, name)
    return place


class _Reader:
    """boto3 wants a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, b""

    def read(self, size: int = -1) -> bytes:
        while (size < 0 or len(self._rest) < size) and (more := next(self._pieces, b"")):
            self._rest += more
        size = len(self._rest) if size < 0 else size
        given, self._rest = self._rest[:size], self._rest[size:]
        return given


def _s3_client(place: S3Place) -> Any:
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=place.endpoint,
        region_name="us-east-1",
        aws_access_key_id=place.key_id,
        aws_secret_access_key=place.secret,
    )


def _line(uri: str, data: ModelData) -> str:
    """Where the app looks for it."""
    return f"{uri} => /srv/model/weights.bin" if data.files == 1 else f"{uri}/ => /srv/model/"


Put = Callable[[Cloud, ModelData], Place]
BY_NAME: dict[str, Put] = {
    "fast server": fast,
    "fast S3": fast_s3,
    "azurite": azurite,
    "versitygw": s3,
}
