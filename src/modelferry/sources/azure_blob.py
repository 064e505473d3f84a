"""Azure Blob storage: listings by obstore, bytes by signed GETs; snapshots, and names that obstore
cannot hold, by azure-storage-blob."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from modelferry.errors import FerryError
from modelferry.sources.azure_account import BlobAccount, blob_account
from modelferry.sources.azure_refusals import explain_blob
from modelferry.sources.azure_signature import sign_blob_get
from modelferry.sources.connection import client_options, retry_config
from modelferry.sources.object_store import ObjectStoreSource
from modelferry.sources.refusal import Action, Refusal
from modelferry.sources.signed_gets import SignedGets
from modelferry.sources.source import Source, StoredObject
from modelferry.sources.spec import BlobAccess, ModelLine

if TYPE_CHECKING:
    from obstore.store import AzureStore


def open_blob(line: ModelLine, access: BlobAccess) -> Source:
    account = blob_account(line.authority, access)

    def explain(refusal: Refusal, action: Action, key: str) -> FerryError:
        return explain_blob(line, account, refusal, action, key)

    if line.snapshot:
        from modelferry.sources.azure_sdk import SnapshotSource

        return SnapshotSource(line, account, explain=explain)

    def list_plainly(folder: str) -> Iterator[StoredObject]:
        from modelferry.sources.azure_sdk import list_blobs

        return list_blobs(line, account, folder, explain)

    return ObjectStoreSource(
        line,
        _store(line, account),
        SignedGets(
            f"{account.endpoint}/{line.container}",
            {"versionid": line.version_id} if line.version_id else {},
            partial(sign_blob_get, account),
        ),
        explain=explain,
        list_plainly=list_plainly,
    )


def _store(line: ModelLine, account: BlobAccount) -> AzureStore:
    """Everything is said outright, as obstore fills what is left out from AZURE_* variables."""
    from obstore.store import AzureStore

    options: dict[str, Any] = {}
    if credential := _credential(account):
        options["credential_provider"] = lambda: credential
    return AzureStore(
        line.container,
        account_name=account.name,
        endpoint=account.endpoint,
        use_emulator=False,
        skip_signature=not credential,
        client_options=client_options(account.endpoint),
        retry_config=retry_config(),
        **options,
    )


def _credential(account: BlobAccount) -> dict[str, Any] | None:
    if account.key:
        return {"access_key": account.key.reveal(), "expires_at": None}
    if account.sas_token:
        return {"sas_token": account.sas_token.reveal(), "expires_at": None}
    return None
