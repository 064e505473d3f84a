"""The `model` group of inputs → ModelPlan."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from itertools import combinations

from modelferry.inputs import CloudInputs, ModelInputs
from modelferry.plan.model_lines import (
    BlobAddresses,
    endpoint_account,
    file_path,
    parse_model_line,
)
from modelferry.plan.parsing import Faults, boolean, endpoint, numbered, one_line, one_of, word
from modelferry.plan.spec import ModelPlan
from modelferry.sources.spec import BlobAccess, ModelLine, S3Access, SourceKind, StorageAccess
from modelferry.values import Secret

BLOB_SUFFIXES = {
    "azurecloud": "blob.core.windows.net",
    "azureusgovernment": "blob.core.usgovcloudapi.net",
    "azurechinacloud": "blob.core.chinacloudapi.cn",
    "custom": "",  # known by azure-storage-endpoint alone
}


def plan_model(inputs: ModelInputs, cloud: CloudInputs, faults: Faults) -> ModelPlan | None:
    """None where no model is given: an app without one is built all the same."""
    blob = _blob_access(inputs, cloud, faults)
    lines = _model_lines(inputs.model, blob, faults)
    plan = ModelPlan(
        lines=lines,
        access=StorageAccess(blob=blob, s3=_s3_access(inputs, faults)),
        version=faults.read("model-version", inputs.model_version, one_line, "") or None,
        marker=faults.read("model-marker", inputs.model_marker, _marker, "") or None,
        sha256=_checksums(inputs.model_sha256, lines, faults),
        in_context=faults.read("model-in-context", inputs.model_in_context, boolean, False),
    )
    _check_accounts(plan, cloud, faults)
    if inputs.model:
        return plan
    for name, given in (
        ("model-marker", plan.marker),
        ("model-sha256", plan.sha256),
        ("model-in-context", plan.in_context),
    ):
        if given:
            faults.add(name, None, "is given, but no model")
    return None


def _model_lines(text: str, blob: BlobAccess, faults: Faults) -> tuple[ModelLine, ...]:
    addresses = BlobAddresses(suffix=blob.suffix, endpoint=blob.endpoint)
    lines: list[ModelLine] = []
    for number, line in numbered(text):
        try:
            lines.append(parse_model_line(number, line, addresses))
        except ValueError as error:
            faults.add(f"model line {number}", line, str(error))
    places = [(line, path) for line in lines if (path := file_path(line))]
    for (first, path), (second, other) in combinations(places, 2):
        name = f"model line {second.line}"
        if path == other:
            faults.add(name, str(other), f"is where line {first.line} puts its file already")
        elif path in other.parents or other in path.parents:
            faults.add(name, str(other), f"and line {first.line}'s {path}: one is inside the other")
    return tuple(lines)


def _blob_access(inputs: ModelInputs, cloud: CloudInputs, faults: Faults) -> BlobAccess:
    environment = faults.read(
        "azure-environment", cloud.azure_environment, one_of(BLOB_SUFFIXES), "azurecloud"
    )
    given = {
        "azure-storage-key": inputs.azure_storage_key,
        "azure-storage-sas-token": inputs.azure_storage_sas_token,
        "azure-storage-connection-string": inputs.azure_storage_connection_string,
    }
    names = [name for name, value in given.items() if value]
    if len(names) > 1:
        faults.add(names[1], None, f"and {names[0]} are both given: keep one")
    return BlobAccess(
        endpoint=faults.read(
            "azure-storage-endpoint", inputs.azure_storage_endpoint, endpoint, None
        ),
        suffix=BLOB_SUFFIXES[environment],
        key=_read_secret("azure-storage-key", inputs.azure_storage_key, _account_key, faults),
        sas_token=_read_secret(
            "azure-storage-sas-token", inputs.azure_storage_sas_token, _sas_token, faults
        ),
        connection_string=_read_secret(
            "azure-storage-connection-string",
            inputs.azure_storage_connection_string,
            _connection_string,
            faults,
        ),
    )


def _s3_access(inputs: ModelInputs, faults: Faults) -> S3Access:
    key_id, key = inputs.aws_access_key_id, inputs.aws_secret_access_key
    if key_id and not key:
        faults.add("aws-access-key-id", None, "is given without aws-secret-access-key")
    if key and not key_id:
        faults.add("aws-secret-access-key", None, "is given without aws-access-key-id")
    if inputs.aws_session_token and not key_id and not key:
        faults.add("aws-session-token", None, "belongs to an access key, and none is given")
    return S3Access(
        endpoint=faults.read("s3-endpoint", inputs.s3_endpoint, endpoint, None),
        region=faults.read("aws-region", inputs.aws_region, _region, None),
        access_key_id=key_id or None,
        secret_access_key=key or None,
        session_token=inputs.aws_session_token or None,
    )


def _check_accounts(plan: ModelPlan, cloud: CloudInputs, faults: Faults) -> None:
    """Catch a key that would go to another account than the line names."""
    blob = plan.access.blob
    accounts = {line.authority for line in plan.lines if line.kind is SourceKind.AZBLOB}
    if accounts and not blob.suffix and not blob.endpoint and not blob.connection_string:
        faults.add(
            "azure-storage-endpoint",
            None,
            f"is needed for azblob:// with azure-environment {cloud.azure_environment}",
        )
    named: dict[str, str] = {}
    if blob.endpoint and blob.endpoint.count("/") > 2:  # path style includes the account
        named["azure-storage-endpoint"] = endpoint_account(blob.endpoint)
    if blob.connection_string:
        match = re.search(
            r"(?:^|;)\s*AccountName=([^;]+)", blob.connection_string.reveal(), re.IGNORECASE
        )
        named["azure-storage-connection-string"] = match.group(1) if match else ""
    for name, account in named.items():
        for other in sorted(accounts - {account}) if account else ():
            faults.add(name, None, f"is for account {account!r}, model names {other!r}")


def _checksums(
    text: str, lines: tuple[ModelLine, ...], faults: Faults
) -> tuple[tuple[str | None, str], ...]:
    found: dict[str | None, str] = {}
    for number, line in numbered(text):
        match = re.fullmatch(r"([0-9a-fA-F]{64})(?:\s+\*?(\S.*))?", line)
        name = f"model-sha256 line {number}"
        if not match:
            faults.add(name, line, "must be 64 hex digits, or those and a file's NAME")
        elif match[2] in found:
            faults.add(name, line, "has a checksum already")
        else:
            found[match[2]] = match[1].lower()
    if None in found and len(found) > 1:
        faults.add("model-sha256", None, "must name the file in each of several lines: HEX NAME")
    elif None in found and len(lines) > 1:
        faults.add("model-sha256", None, "must be lines HEX NAME, as model has several lines")
    return tuple(found.items())


def _read_secret(
    name: str, value: Secret, parse: Callable[[str], str], faults: Faults
) -> Secret | None:
    text = faults.read(name, value.reveal(), parse, "", shown=False)
    return Secret(text) if text else None


def _account_key(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError(
            "is no account key: those are base64, 88 characters, as the portal shows them"
        ) from None
    return text


def _sas_token(text: str) -> str:
    """Without the question mark that portals copy along."""
    if "://" in text:
        raise ValueError("must be the token alone, without the address before the ?")
    if not re.search(r"(?:^|[?&])sig=", text) or re.search(r"\s", text):
        raise ValueError("is no SAS token: those look like sv=…&se=…&sig=…")
    return text.removeprefix("?")


def _connection_string(text: str) -> str:
    known = r"(?:^|;)\s*(?:AccountName|BlobEndpoint|UseDevelopmentStorage)="
    if not re.search(known, text, re.IGNORECASE):
        raise ValueError("is no connection string: those hold AccountName=… or BlobEndpoint=…")
    return text


def _region(text: str) -> str | None:
    if not re.fullmatch(r"[a-z0-9-]+", text):
        raise ValueError("must be a region such as eu-central-1")
    return text


def _marker(text: str) -> str:
    if "/" in text or text in (".", ".."):
        raise ValueError("must be the name of a file, without folders")
    return word(text)
