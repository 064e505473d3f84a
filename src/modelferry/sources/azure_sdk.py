"""What obstore has no word for in Blob storage: snapshots, and names that are no clean paths."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from azure.core import exceptions as azure
from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential

from modelferry.artifacts import ModelFile
from modelferry.errors import FerryError, ModelNotFound
from modelferry.sources.azure_account import BlobAccount
from modelferry.sources.connection import CONNECT_TIMEOUT_S, READ_TIMEOUT_S, proxy_for
from modelferry.sources.refusal import Action, Refusal, asked_wait_s
from modelferry.sources.source import StoredObject, key_of
from modelferry.sources.spec import ModelLine

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

# Each is a request of its own: larger than elsewhere, as requests are what takes time.
_PIECE_BYTES = 4 * 1024 * 1024
# The second is raised outside their tree, for an answer that is no Blob service's.
FAILURES = (azure.AzureError, azure.DeserializationError)
# Of the line. The last, without a status and not as one of its subclasses: a reset within a body.
_BROKE = (azure.ServiceResponseError, azure.IncompleteReadError, azure.HttpResponseError)
Explain = Callable[[Refusal, Action, str], FerryError]


class SnapshotSource:
    """One snapshot of one blob. A snapshot never changes, so its time pins it."""

    connections = 8

    def __init__(self, line: ModelLine, account: BlobAccount, *, explain: Explain) -> None:
        self._line, self._explain = line, explain
        self._container = _container(line, account)

    def list(self, folder: str) -> Iterator[StoredObject]:
        raise NotImplementedError(folder)  # inputs refuse ?snapshot= with folders and patterns

    def head(self, key: str) -> StoredObject:
        with self._explained("read", key):
            properties = self._blob(key).get_blob_properties()
        return StoredObject(
            key=key,
            size_bytes=properties.size,
            etag=properties.etag,
            version_id=self._line.snapshot,
            modified=properties.last_modified,
        )

    def read(self, file: ModelFile, start: int, stop: int) -> Iterator[bytes]:
        key = key_of(self._line, file)
        with self._explained("read", key):
            yield from self._blob(key).download_blob(offset=start, length=stop - start).chunks()

    def _blob(self, key: str):
        return self._container.get_blob_client(key, snapshot=self._line.snapshot)

    @contextmanager
    def _explained(self, action: Action, key: str) -> Iterator[None]:
        try:
            yield
        except FAILURES as error:
            refusal = read_azure(error)
            if refusal.status in (400, 404) and refusal.code != "ContainerNotFound":
                raise ModelNotFound(
                    f"{self._line.uri} has no snapshot {self._line.snapshot!r} ({refusal})",
                    do="Check ?snapshot= in `model`; `az storage blob list --include s` lists all.",
                ) from None
            raise self._explain(refusal, action, key) from None


def list_blobs(
    line: ModelLine, account: BlobAccount, folder: str, explain: Explain
) -> Iterator[StoredObject]:
    try:
        for blob in _container(line, account).list_blobs(name_starts_with=folder):
            yield StoredObject(
                key=blob.name,
                size_bytes=blob.size,
                etag=f'"{blob.etag.strip(chr(34))}"',
                version_id=None,
                modified=blob.last_modified,
            )
    except FAILURES as error:
        raise explain(read_azure(error), "list", folder) from None


def read_azure(error: Exception) -> Refusal:
    """Of any exception of azure.core; see tests/unit/sources/test_sdk_exceptions.py."""
    match error:
        case azure.HttpResponseError() if error.status_code:
            code = getattr(error, "error_code", None)
            headers: Mapping[str, str] = getattr(error.response, "headers", {})
            return Refusal(
                status=error.status_code,
                code=str(getattr(code, "value", code) or ""),
                retry_after_s=asked_wait_s(headers.get("Retry-After", "")),
            )
        case azure.ServiceRequestError() if "resolve" in str(error) or "not known" in str(error):
            return Refusal(connection="its name is not known to DNS")
        case azure.ServiceRequestTimeoutError() | azure.ServiceResponseTimeoutError():
            return Refusal(connection="no answer in time")
        case azure.ServiceRequestError():
            return Refusal(connection="connection failed")
        case _ if type(error) in _BROKE:
            return Refusal(connection="connection broke")
        case _:
            return Refusal(code=type(error).__name__)


def _container(line: ModelLine, account: BlobAccount) -> ContainerClient:
    from azure.storage.blob import ContainerClient

    credential: Any = None
    if account.key:
        credential = AzureNamedKeyCredential(account.name, account.key.reveal())
    elif account.sas_token:
        credential = AzureSasCredential(account.sas_token.reveal())
    proxy = proxy_for(account.endpoint)
    return ContainerClient(
        account.endpoint,
        line.container,
        credential=credential,
        connection_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        retry_total=0,  # one layer repeats, and that is ours
        max_single_get_size=_PIECE_BYTES,
        max_chunk_get_size=_PIECE_BYTES,
        use_env_settings=False,
        proxies={"http": proxy, "https": proxy} if proxy else None,
    )
