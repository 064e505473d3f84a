"""One line of `model` → ModelLine: the address grammars, and where the file goes in the image."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from modelferry.inputs import suggest
from modelferry.sources.spec import ModelLine, SourceKind
from modelferry.values import WHITEOUT, is_utf8, mounted_over

DEFAULT_TARGET = "/model/"
PLACEHOLDERS = ("{latest}", "{newest}")

_ACCOUNT = re.compile(r"[a-z0-9]{3,24}(?:-secondary)?")
_CONTAINER = re.compile(r"[a-z0-9](?:-?[a-z0-9]){2,62}|\$root|\$web|\$logs")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
_SAS = re.compile(r"[?&]sig=", re.IGNORECASE)
_MISPLACED_SAS = (
    "must not hold a SAS token: put the part after ? into azure-storage-sas-token, from a secret"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobAddresses:
    """Which https addresses are Blob storage."""

    suffix: str  # of the chosen cloud; "" where a custom cloud has none
    endpoint: str | None  # without a trailing slash


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    kind: SourceKind
    authority: str = ""
    container: str = ""
    key: str
    query: str = ""
    version_id: str | None = None
    snapshot: str | None = None


def parse_model_line(number: int, text: str, blob: BlobAddresses) -> ModelLine:
    """Raises ValueError with what is allowed."""
    if not is_utf8(text):
        raise ValueError("must be UTF-8")
    address, arrow, path = text.rpartition("=>")
    if not arrow and " -> " in text:
        raise ValueError("the path in the image comes after =>, not ->")
    if not arrow:
        address, path = text, DEFAULT_TARGET
    elif not address[-1:].isspace() or (path and not path[0].isspace()):
        raise ValueError("needs a space on each side of =>")
    source = _source(address.strip(), blob)
    _check_choice(source)
    target = _target(path.strip())
    several = source.key.endswith("/") or not source.key or "*" in source.key
    if several and not path.strip().endswith("/"):
        raise ValueError("takes several files: the path in the image must end in /")
    line = ModelLine(
        line=number,
        kind=source.kind,
        authority=source.authority,
        container=source.container,
        key=source.key,
        query=source.query,
        version_id=source.version_id,
        snapshot=source.snapshot,
        target=target,
        target_is_folder=path.strip().endswith("/"),
    )
    if mount := mounted_over(file_path(line) or target):
        raise ValueError(f"the path in the image is hidden: every container has a mount at {mount}")
    return line


def file_path(line: ModelLine) -> PurePosixPath | None:
    """Where the line's one file will be, when that is known before the storage is asked."""
    name = line.key.rpartition("/")[2]
    if not name or "*" in line.key or name in PLACEHOLDERS:
        return None
    if line.kind is SourceKind.HTTPS:
        name = unquote(name)
    return line.target / name if line.target_is_folder else line.target


def _source(address: str, blob: BlobAddresses) -> _Source:
    scheme, colon, rest = address.partition(":")
    scheme = scheme.lower()
    if not colon or (scheme != "file" and not rest.startswith("//")):
        raise ValueError(
            "must be azblob://ACCOUNT/CONTAINER/BLOB, s3://BUCKET/KEY, https://… or file:PATH"
        )
    if scheme == "file":
        return _file(rest)
    if not address.isprintable():
        raise ValueError("must hold printable characters only")
    if re.match(r"//[^/]*@", rest):
        raise ValueError("must not hold a user name or password")
    if scheme != "https" and _SAS.search(address):
        raise ValueError(_MISPLACED_SAS)
    if scheme == "azblob":
        return _azblob(rest[2:])
    if scheme == "s3":
        return _s3(rest[2:])
    if scheme in ("https", "http"):
        return _web(address, scheme, blob)
    raise ValueError(
        f"must be azblob:, s3:, https: or file:{suggest(scheme, ('azblob', 's3', 'https', 'file'))}"
    )


def _file(rest: str) -> _Source:
    if rest.startswith("//") and not rest.startswith("///"):
        raise ValueError("must be file:PATH, relative to the workspace or absolute")
    path = re.sub(r"^/+", "/", rest)
    if not path:
        raise ValueError("needs a path after file:")
    return _Source(kind=SourceKind.FILE, key=path)


def _azblob(rest: str) -> _Source:
    account, _, path = rest.partition("/")
    if not _ACCOUNT.fullmatch(account):
        raise ValueError(f"{_named(account)} is no storage account: 3 to 24 of a-z and 0-9")
    return _blob(account, path)


def _blob(account: str, path: str) -> _Source:
    container, slash, rest = path.partition("/")
    key, version_id, snapshot = _pinned(rest)
    if not slash:
        raise ValueError("needs /BLOB after the container, or / alone for all of it")
    if not _CONTAINER.fullmatch(container):
        raise ValueError(f"{_named(container)} is no container: 3 to 63 of a-z, 0-9 and -")
    return _Source(
        kind=SourceKind.AZBLOB,
        authority=account,
        container=container,
        key=key,
        version_id=version_id,
        snapshot=snapshot,
    )


def _s3(rest: str) -> _Source:
    bucket, slash, path = rest.partition("/")
    key, version_id, snapshot = _pinned(path)
    if snapshot:
        raise ValueError("has a snapshot: those are Blob storage's; S3 has ?versionId=")
    if not slash:
        raise ValueError("needs /KEY after the bucket, or / alone for all of it")
    if not _BUCKET.fullmatch(bucket):
        raise ValueError(f"{_named(bucket)} is no bucket: write s3://BUCKET/KEY")
    return _Source(kind=SourceKind.S3, authority=bucket, key=key, version_id=version_id)


def _web(address: str, scheme: str, blob: BlobAddresses) -> _Source:
    parts = urlsplit(address)
    if not parts.hostname:
        raise ValueError("needs a host after //")
    if parts.fragment:
        raise ValueError("must not have a #fragment")
    if found := _under_endpoint(parts, blob.endpoint) or _under_suffix(parts, blob.suffix):
        if _SAS.search(address):
            raise ValueError(_MISPLACED_SAS)
        return _blob(*found)
    if scheme == "http":
        raise ValueError(
            "must be https: only Blob storage under azure-storage-endpoint may be read by http"
        )
    return _Source(
        kind=SourceKind.HTTPS,
        authority=parts.netloc,
        key=parts.path.removeprefix("/"),
        query=parts.query,
    )


def _under_endpoint(parts: SplitResult, endpoint: str | None) -> tuple[str, str] | None:
    if endpoint is None:
        return None
    base = urlsplit(endpoint)
    if (parts.scheme, _place(parts)) != (base.scheme, _place(base)):
        return None
    if not parts.path.startswith(f"{base.path}/"):
        return None
    return endpoint_account(endpoint), _decoded(parts, skip=len(base.path) + 1)


def _under_suffix(parts: SplitResult, suffix: str) -> tuple[str, str] | None:
    account, dot, rest = (parts.hostname or "").partition(".")
    if not suffix or not dot or parts.scheme != "https" or parts.port not in (None, 443):
        return None
    if rest == suffix:
        return account, _decoded(parts, skip=1)
    if rest.endswith(f".{suffix}"):
        raise ValueError(
            f"is a private name: write azblob://{account}/CONTAINER/BLOB and give "
            "azure-storage-endpoint"
        )
    return None


def _decoded(parts: SplitResult, *, skip: int) -> str:
    """Names in an https address are percent-encoded, those of azblob:// are not."""
    return unquote(parts.path[skip:]) + (f"?{parts.query}" if parts.query else "")


def _place(parts: SplitResult) -> tuple[str | None, int]:
    return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def endpoint_account(endpoint: str) -> str:
    """Path style ends in the account, else it is the host's first label."""
    parts = urlsplit(endpoint)
    return parts.path.rpartition("/")[2] or (parts.hostname or "").partition(".")[0]


def _pinned(path: str) -> tuple[str, str | None, str | None]:
    """Cut `?versionId=` or `?snapshot=` off."""
    key, mark, query = path.partition("?")
    if not mark:
        return key, None, None
    if _SAS.search(f"?{query}"):
        raise ValueError(_MISPLACED_SAS)
    match parse_qsl(query, keep_blank_values=True):
        case [(name, value)] if value and name.lower() == "versionid":
            return key, value, None
        case [(name, value)] if value and name.lower() == "snapshot":
            return key, None, value
        case _:
            raise ValueError("may have ?versionId=… or ?snapshot=… after the name, nothing else")


def _check_choice(source: _Source) -> None:
    """Wildcards and placeholders: where they may stand, and what they go with."""
    *folders, last = source.key.split("/")
    if source.kind is not SourceKind.FILE and {".", ".."} & {*folders, last}:
        raise ValueError("must be a plain name: no . and no .. in it")
    if any("*" in folder for folder in folders):
        raise ValueError("may have * in the last segment only")
    braced = [part for part in (*folders, last) if re.search(r"\{[^/]*\}", part)]
    for part in braced:
        if part not in PLACEHOLDERS:
            near = suggest(part, PLACEHOLDERS)
            raise ValueError(
                f"{part!r}: a segment in braces is {{latest}} or {{newest}}, alone between "
                f"slashes{near}"
            )
    if len(braced) > 1:
        raise ValueError("may have one of {latest} and {newest}, once")
    chosen = bool(braced) or "*" in last or not last
    if chosen and (source.version_id or source.snapshot):
        raise ValueError("is pinned to one version, and asks to choose among several names")
    if source.kind is SourceKind.HTTPS and chosen:
        raise ValueError(
            "must name one file: folders, * and {latest} need a storage that can be listed "
            "(azblob://, s3://, file:)"
        )


def _target(path: str) -> PurePosixPath:
    if not path.startswith("/"):
        raise ValueError(f"the path in the image must start with /, {path!r} does not")
    if not path.isprintable():
        raise ValueError("the path in the image must hold printable characters only")
    if any(part in (".", "..") for part in path.split("/")):
        raise ValueError("the path in the image must be plain: no . and no .. in it")
    if any(part.startswith(WHITEOUT) for part in path.split("/")):
        raise ValueError(f"the path in the image must have no name that begins {WHITEOUT!r}")
    return PurePosixPath(re.sub(r"/+", "/", path))


def _named(text: str) -> str:
    return repr(text.partition("?")[0]) if text else "nothing"
