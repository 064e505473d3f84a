"""The codes that the emulator never sends."""

from __future__ import annotations

import pytest

from modelferry.errors import FerryError, IdentityError, ModelError, ModelNotFound
from modelferry.sources.azure_account import blob_account
from modelferry.sources.azure_refusals import explain_blob
from modelferry.sources.refusal import Action, Refusal
from modelferry.sources.spec import BlobAccess
from modelferry.values import Secret
from tests.unit.sources.test_targets import line

KEY = BlobAccess(endpoint=None, suffix="blob.core.windows.net", key=Secret("a2V5"))
SAS = BlobAccess(
    endpoint=None, suffix="blob.core.windows.net", sas_token=Secret("sp=rl&sig=SECRET")
)
ANONYMOUS = BlobAccess(endpoint=None, suffix="blob.core.windows.net")


def explain(access: BlobAccess, status: int, code: str, action: Action = "read") -> FerryError:
    account = blob_account("acct", access)
    return explain_blob(line(), account, Refusal(status=status, code=code), action, "m/v1/a")


@pytest.mark.parametrize(
    ("access", "status", "code", "kind", "text"),
    [
        (ANONYMOUS, 409, "PublicAccessNotPermitted", IdentityError, "no credential was given"),
        (ANONYMOUS, 404, "ResourceNotFound", ModelNotFound, "or its container is private"),
        (ANONYMOUS, 401, "NoAuthenticationInformation", IdentityError, "no credential was given"),
        (KEY, 403, "AuthenticationFailed", IdentityError, "the account key was not accepted"),
        (KEY, 403, "KeyBasedAuthenticationNotPermitted", IdentityError, "does not permit keys"),
        (KEY, 403, "AccountIsDisabled", IdentityError, "The account is disabled"),
        (KEY, 400, "InvalidAuthenticationInfo", IdentityError, "the account key was not accepted"),
        (SAS, 403, "AuthorizationFailure", IdentityError, "signature or network is wrong"),
        (KEY, 409, "BlobArchived", ModelError, "in the archive tier"),
        (KEY, 404, "ContainerBeingDeleted", ModelNotFound, "Container 'models' does not exist"),
        (KEY, 400, "InvalidResourceName", ModelNotFound, "is no name for a container"),
        (KEY, 404, "BlobNotFound", ModelNotFound, "azblob://acct/models/m/v1/a does not exist"),
        (KEY, 503, "ServerBusy", ModelError, "(503 ServerBusy)"),
    ],
)
def test_each_code_has_its_own_words(
    access: BlobAccess, status: int, code: str, kind: type[FerryError], text: str
) -> None:
    error = explain(access, status, code)
    assert type(error) is kind
    assert text in str(error)
    assert code in error.what
    assert error.do
    assert error.temporary is (status == 503)
    assert "SECRET" not in str(error)


def test_listing_asks_for_another_permission_than_reading() -> None:
    assert "permission l (list)" in explain(SAS, 403, "AuthorizationFailure", "list").do
    assert "permission r (read)" in explain(SAS, 403, "AuthorizationFailure", "read").do
