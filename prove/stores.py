"""A model in a real store of each kind, with a server before it that breaks what it is told to."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from testbed.certificates import make_certificate
from testbed.fault_server import FaultServer, faults_before

FILE = "weights.bin"
TARGET = "/opt/model/weights.bin"


class Store(Protocol):
    @property
    def environment(self) -> dict[str, str]:
        """Of the action's process."""
        ...

    def put(self, body: bytes) -> None: ...

    def faults(self) -> AbstractContextManager[FaultServer]: ...

    def inputs(self, before: FaultServer) -> dict[str, str]: ...


class _Blob:
    def __init__(self, env: Mapping[str, str], container: str) -> None:
        from azure.storage.blob import BlobServiceClient

        self.env, self.name = env, container
        service = BlobServiceClient(env["TESTBED_BLOB_ENDPOINT"], credential=self.key)
        self.container = service.create_container(container)

    @property
    def key(self) -> str:
        return self.env["TESTBED_BLOB_KEY"]

    @property
    def account(self) -> str:
        return self.env["TESTBED_BLOB_ACCOUNT"]

    @property
    def environment(self) -> dict[str, str]:
        return {}

    def put(self, body: bytes) -> None:
        self.container.upload_blob(FILE, body, overwrite=True)

    def faults(self) -> AbstractContextManager[FaultServer]:
        return faults_before(self.env["TESTBED_BLOB_ENDPOINT"])

    def inputs(self, before: FaultServer) -> dict[str, str]:
        return {
            "model": f"azblob://{self.account}/{self.name}/{FILE} => {TARGET}",
            "azure-storage-endpoint": before.address,
            "azure-storage-key": self.key,
        }


class _Https(_Blob):
    """A blob by its signed address: to the action a plain download."""

    def __init__(self, env: Mapping[str, str], container: str, folder: Path) -> None:
        super().__init__(env, container)
        self.certificate = make_certificate(folder / "certificate.pem")

    @property
    def environment(self) -> dict[str, str]:
        return {"SSL_CERT_FILE": str(self.certificate)}

    def faults(self) -> AbstractContextManager[FaultServer]:
        return faults_before(self.env["TESTBED_BLOB_ENDPOINT"], certificate=self.certificate)

    def inputs(self, before: FaultServer) -> dict[str, str]:
        from azure.storage.blob import BlobSasPermissions, generate_blob_sas

        signature = generate_blob_sas(
            self.account,
            self.name,
            FILE,
            account_key=self.key,
            permission=BlobSasPermissions(read=True),
            expiry=datetime.now(UTC) + timedelta(hours=1),
        )
        return {"model": f"{before.address}/{self.name}/{FILE}?{signature} => {TARGET}"}


class _S3:
    def __init__(self, env: Mapping[str, str], bucket: str) -> None:
        import boto3

        self.env, self.bucket = env, bucket
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=env["TESTBED_S3_ENDPOINT"],
            region_name="us-east-1",
            aws_access_key_id=env["TESTBED_S3_ACCESS_KEY_ID"],
            aws_secret_access_key=env["TESTBED_S3_SECRET_ACCESS_KEY"],
        )
        self.client.create_bucket(Bucket=bucket)

    @property
    def environment(self) -> dict[str, str]:
        return {}

    def put(self, body: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=FILE, Body=body)

    def faults(self) -> AbstractContextManager[FaultServer]:
        return faults_before(self.env["TESTBED_S3_ENDPOINT"])

    def inputs(self, before: FaultServer) -> dict[str, str]:
        return {
            "model": f"s3://{self.bucket}/{FILE} => {TARGET}",
            "s3-endpoint": before.address,
            "aws-region": "us-east-1",
            "aws-access-key-id": self.env["TESTBED_S3_ACCESS_KEY_ID"],
            "aws-secret-access-key": self.env["TESTBED_S3_SECRET_ACCESS_KEY"],
        }


@contextmanager
def open_store(kind: str, env: Mapping[str, str], name: str, folder: Path) -> Iterator[Store]:
    """`kind`: blob, s3 or https; `name`: of a container or bucket that nobody else has."""
    if kind == "s3":
        bucket = _S3(env, name)
        yield bucket
        bucket.client.delete_object(Bucket=name, Key=FILE)
        bucket.client.delete_bucket(Bucket=name)
        return
    blob = _Blob(env, name) if kind == "blob" else _Https(env, name, folder)
    yield blob
    blob.container.delete_container()
