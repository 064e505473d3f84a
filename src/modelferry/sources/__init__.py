"""Where models come from. A new kind of storage is one file here and one `case` below."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import assert_never

from modelferry.artifacts import ResolvedModel
from modelferry.sources.resolve import resolve_lines
from modelferry.sources.source import Source
from modelferry.sources.spec import ModelLine, SourceKind, StorageAccess

Opener = Callable[[ModelLine, StorageAccess, Path], Source]


def adapter(kind: SourceKind) -> Opener:
    """Imports it: SDKs come with the adapter that needs them, as they are slow to load."""
    match kind:
        case SourceKind.AZBLOB:
            from modelferry.sources.azure_blob import open_blob

            return lambda line, access, _: open_blob(line, access.blob)
        case SourceKind.S3:
            from modelferry.sources.s3 import open_s3

            return lambda line, access, _: open_s3(line, access.s3)
        case SourceKind.HTTPS:
            from modelferry.sources.https import HttpsSource

            return lambda line, *_: HttpsSource(line)
        case SourceKind.FILE:
            from modelferry.sources.files import FileSource

            return lambda line, _, workspace: FileSource(line, workspace)
        case unknown:
            assert_never(unknown)


def open_source(line: ModelLine, access: StorageAccess, *, workspace: Path = Path()) -> Source:
    return adapter(line.kind)(line, access, workspace)


def resolve_model(
    lines: tuple[ModelLine, ...],
    access: StorageAccess,
    *,
    marker: str | None,
    version: str | None,
    workspace: Path = Path(),
) -> ResolvedModel:
    """Ask storage what the lines mean now, once, and pin it. `version` is the user's label."""
    return resolve_lines(
        [(line, open_source(line, access, workspace=workspace)) for line in lines],
        marker=marker,
        version=version,
    )
