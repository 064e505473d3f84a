"""Where a storage account is and who we are there: endpoint, key, SAS, connection string. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from modelferry.sources.spec import BlobAccess
from modelferry.values import Secret

# The emulator's account and key are the same everywhere and published by Microsoft.
_DEVELOPMENT_ENDPOINT = "http://127.0.0.1:10000/devstoreaccount1"
_DEVELOPMENT_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobAccount:
    name: str
    endpoint: str  # no slash at its end
    key: Secret | None
    sas_token: Secret | None

    @property
    def host(self) -> str:
        return urlsplit(self.endpoint).netloc

    @property
    def credential_input(self) -> str:
        """Which input to look at when the credential is refused."""
        if self.sas_token:
            return "azure-storage-sas-token"
        return "azure-storage-key" if self.key else ""


def blob_account(name: str, access: BlobAccess) -> BlobAccount:
    if access.connection_string:
        return _from_connection_string(name, access)
    return BlobAccount(
        name=name,
        endpoint=_endpoint(name, access.endpoint, access.suffix),
        key=access.key,
        sas_token=access.sas_token,
    )


def _from_connection_string(name: str, access: BlobAccess) -> BlobAccount:
    assert access.connection_string  # noqa: S101 - the caller looked
    pairs = (pair.partition("=") for pair in access.connection_string.reveal().split(";"))
    values = {key.strip().lower(): value.strip() for key, _, value in pairs}
    key, sas = values.get("accountkey"), values.get("sharedaccesssignature")
    endpoint = access.endpoint or values.get("blobendpoint")
    if values.get("usedevelopmentstorage") == "true":
        endpoint, key = endpoint or _DEVELOPMENT_ENDPOINT, _DEVELOPMENT_KEY
    if not endpoint and "endpointsuffix" in values:
        scheme = values.get("defaultendpointsprotocol", "https")
        endpoint = f"{scheme}://{name}.blob.{values['endpointsuffix']}"
    return BlobAccount(
        name=name,
        endpoint=_endpoint(name, endpoint, access.suffix),
        key=Secret(key) if key else None,
        sas_token=Secret(sas.removeprefix("?")) if sas and not key else None,
    )


def _endpoint(name: str, given: str | None, suffix: str) -> str:
    return (given or f"https://{name}.{suffix}").rstrip("/")


def sas_problem(token: Secret, needs: Literal["read", "list"], now: datetime | None = None) -> str:
    """What the token's own fields say against it, as they are readable by anyone; "" if nothing."""
    fields = {name: values[0] for name, values in parse_qs(token.reveal()).items()}
    now = now or datetime.now(UTC)
    expiry, start = _time(fields.get("se")), _time(fields.get("st"))
    if expiry and expiry <= now:
        return f"The SAS token expired at {fields['se']}."
    if start and start > now:
        return f"The SAS token is not valid before {fields['st']}."
    if needs == "list" and fields.get("sr") == "b":
        return "The SAS token is for one blob (sr=b): listing needs one for the container (sr=c)."
    letter = needs[0]
    if "sp" in fields and letter not in fields["sp"]:
        return f"The SAS token permits sp={fields['sp']}: it lacks {letter} ({needs})."
    if "srt" in fields and (wanted := {"read": "o", "list": "c"}[needs]) not in fields["srt"]:
        return f"The SAS token is for srt={fields['srt']}: to {needs}, it must hold {wanted}."
    return ""


def _time(text: str | None) -> datetime | None:
    """A SAS time is a date, or a date and a time, in UTC."""
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
