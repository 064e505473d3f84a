"""Blob storage's error codes → cause and remedy. Pure."""

from __future__ import annotations

from modelferry.errors import FerryError, IdentityError, ModelError, ModelNotFound
from modelferry.sources.azure_account import BlobAccount, sas_problem
from modelferry.sources.refusal import Action, Refusal, refused_for_now
from modelferry.sources.source import uri_of
from modelferry.sources.spec import ModelLine

_NO_CONTAINER = {"ContainerNotFound", "ContainerBeingDeleted", "ContainerDisabled"}
_NO_SUCH_VERSION = {"InvalidQueryParameterValue", "InvalidVersion"}
_BAD_CONTAINER = {"InvalidResourceName", "OutOfRangeInput", "InvalidUri"}
_IDENTITY = {
    "PublicAccessNotPermitted",  # comes with 409
    "InvalidAuthenticationInfo",  # with 400 or 401
    "AuthenticationFailed",
}


def explain_blob(  # noqa: PLR0911 - one return a cause
    line: ModelLine, account: BlobAccount, refusal: Refusal, action: Action, key: str
) -> FerryError:
    """The cause and the remedy, from the service's error code. Pure."""
    uri = uri_of(line, key)
    if refusal.unknown_host:
        return ModelError(
            f"There is no storage account {account.name!r}: {account.host} is not known to DNS",
            seen=f"While trying to {action} {uri}.",
            do="Check the account's name in `model`, `azure-environment`, and for a private "
            "endpoint `azure-storage-endpoint` and the DNS of this machine.",
            temporary=True,
        )
    if refusal.connection:
        return ModelError(
            f"Blob storage at {account.host} does not answer: {refusal}",
            seen=f"While trying to {action} {uri}.",
            do="Check `azure-storage-endpoint`, the proxy and firewall between, and the network.",
            temporary=True,
        )
    if refusal.code in _NO_CONTAINER:
        return ModelNotFound(
            f"Container {line.container!r} does not exist in account {account.name!r} ({refusal})",
            seen=f"Asked at {account.endpoint}.",
            do="Check the container's name and the account's in `model`.",
        )
    if refusal.code in _BAD_CONTAINER:
        return ModelNotFound(
            f"{line.container!r} is no name for a container ({refusal})",
            do="Check the address in `model`: azblob://ACCOUNT/CONTAINER/BLOB.",
        )
    if line.version_id and (refusal.code in _NO_SUCH_VERSION or refusal.status == 404):
        return ModelNotFound(
            f"{uri} has no version {line.version_id!r} ({refusal})",
            do="Check ?versionId= in `model`; `az storage blob list --include v` shows them.",
        )
    if refusal.status == 404:
        return _not_found(uri, account, refusal)
    if refusal.code == "BlobArchived":
        return ModelError(
            f"{uri} is in the archive tier ({refusal})",
            do="Rehydrate it to the hot or cool tier first: az storage blob set-tier.",
        )
    if refusal.status in (401, 403) or refusal.code in _IDENTITY:
        return _refused(uri, account, refusal, action)
    return refused_for_now(
        f"Blob storage at {account.host} refused to {action} {uri} ({refusal})",
        refusal,
        do="Look the code up in Azure's Blob service error codes.",
    )


def _not_found(uri: str, account: BlobAccount, refusal: Refusal) -> ModelNotFound:
    if not account.credential_input:
        return ModelNotFound(
            f"{uri} does not exist, or its container is private ({refusal})",
            seen="No credential was given, and Azure does not tell strangers which of the two.",
            do="Check the address in `model`, or give `azure-storage-key` or "
            "`azure-storage-sas-token`.",
        )
    return ModelNotFound(
        f"{uri} does not exist ({refusal})",
        seen=f"The container {uri.split('/')[3]!r} does.",
        do="Check the name in `model`, upper and lower case too.",
    )


def _refused(uri: str, account: BlobAccount, refusal: Refusal, action: Action) -> IdentityError:
    what = f"Blob storage refused to {action} {uri} ({refusal})"
    letter = action[0]
    if account.sas_token:
        problem = sas_problem(account.sas_token, action)
        return IdentityError(
            f"{what}: {problem}" if problem else what,
            seen=problem or "The SAS token's own fields allow it: signature or network is wrong.",
            do="Make a new token for `azure-storage-sas-token` (or the connection string) with "
            f"permission {letter} ({action}) on the container {uri.split('/')[3]!r}"
            + (", and l (list) too for folders, * and {latest}." if letter == "r" else "."),
        )
    if account.key:
        return IdentityError(
            f"{what}: the account key was not accepted",
            seen=_KEY_REASONS.get(refusal.code, f"It was presented for account {account.name!r}."),
            do="Give a current key of this very account as `azure-storage-key` (Azure portal, "
            "Access keys); with a right key, look at the account's firewall.",
        )
    return IdentityError(
        f"{what}: no credential was given and the container is not public",
        seen=f"Account {account.name!r} at {account.host}.",
        do="Give `azure-storage-key`, `azure-storage-sas-token` or "
        "`azure-storage-connection-string`.",
    )


_KEY_REASONS = {
    "KeyBasedAuthenticationNotPermitted": "This account does not permit keys at all: use a SAS.",
    "AccountIsDisabled": "The account is disabled.",
}
