"""What the user said about the model: parsed addresses, and how to reach each storage."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath

from modelferry.values import Secret


class SourceKind(StrEnum):
    AZBLOB = "azblob"
    S3 = "s3"
    HTTPS = "https"
    FILE = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLine:
    """One line of `model`. An https address under a Blob suffix is AZBLOB already."""

    line: int  # counted from 1
    kind: SourceKind
    authority: str  # azblob: account; s3: bucket; https: host[:port]; file: ""
    container: str  # azblob only
    key: str  # blob name, key, URL path, file path; may hold * {latest} {newest}, end in /
    query: str  # https only: the user's own query string
    version_id: str | None  # ?versionId=
    snapshot: str | None  # ?snapshot=
    target: PurePosixPath  # absolute path in the image
    target_is_folder: bool

    @property
    def uri(self) -> str:
        """The address for people and records: no query, no credential."""
        if self.kind is SourceKind.FILE:
            return f"file:{self.key}"
        middle = f"{self.container}/" if self.container else ""
        return f"{self.kind}://{self.authority}/{middle}{self.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobAccess:
    endpoint: str | None  # azure-storage-endpoint; path style includes the account
    suffix: str  # blob.core.windows.net, by azure-environment
    key: Secret | None = None
    sas_token: Secret | None = None
    connection_string: Secret | None = None  # at most one of the three; none means anonymous


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Access:
    endpoint: str | None
    region: str | None
    access_key_id: Secret | None = None
    secret_access_key: Secret | None = None
    session_token: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageAccess:
    blob: BlobAccess
    s3: S3Access
