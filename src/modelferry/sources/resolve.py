"""Lines of `model` → pinned files, with the reason for each choice."""

from __future__ import annotations

import difflib
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from modelferry.artifacts import ModelFile, ResolvedModel
from modelferry.errors import FerryError, ModelNotFound
from modelferry.retry import retry
from modelferry.sources.select import Pattern, Selection, parse_pattern, require_marker, select
from modelferry.sources.source import Source, StoredObject
from modelferry.sources.spec import ModelLine, SourceKind
from modelferry.sources.targets import place, refuse_places
from modelferry.values import format_bytes

log = logging.getLogger("modelferry.sources")

_TRIES = 4
_LOOKED_AT = 1000  # names, for a hint at what was meant


@dataclass(frozen=True, slots=True, kw_only=True)
class _ResolvedLine:
    files: tuple[ModelFile, ...]
    version: str | None
    reason: str


def resolve_lines(
    sources: Sequence[tuple[ModelLine, Source]], *, marker: str | None, version: str | None
) -> ResolvedModel:
    resolved = [_resolve_line(line, source, marker) for line, source in sources]
    files = tuple(file for each in resolved for file in each.files)
    refuse_places(files)
    for each in resolved:
        log.info("%s", each.reason)
    chosen = [each.version for each in resolved if each.version]
    return ResolvedModel(
        files=files,
        version=version or (chosen[0] if chosen else _version_of(files)),
        reasons=tuple(each.reason for each in resolved),
    )


def _resolve_line(line: ModelLine, source: Source, marker: str | None) -> _ResolvedLine:
    pattern = parse_pattern(line.key)
    selection = (
        _look_at_one(line, source, pattern, marker)
        if pattern.is_plain
        else _choose_from_listing(line, source, pattern, marker)
    )
    files = tuple(place(line, pattern.folder, selection.root, found) for found in selection.objects)
    return _ResolvedLine(
        files=files, version=selection.version, reason=_reason(line, selection, files)
    )


def _look_at_one(
    line: ModelLine, source: Source, pattern: Pattern, marker: str | None
) -> Selection:
    try:
        found = retry(lambda: source.head(line.key), tries=_TRIES)
    except ModelNotFound as error:
        raise _with_neighbours(error, line, source, pattern) from None
    if found.is_folder:
        raise ModelNotFound(
            f"{line.uri} is a folder",
            do="End the address in a slash to take everything below it.",
        )
    if marker is not None:
        _require_marker_beside(line, source, pattern, marker)
    return Selection(root=pattern.folder, objects=(found,), version=None, why="")


def _require_marker_beside(line: ModelLine, source: Source, pattern: Pattern, marker: str) -> None:
    key = pattern.folder + marker
    try:
        there = [retry(lambda: source.head(key), tries=_TRIES).key]
    except ModelNotFound:
        there = []
    require_marker(line.uri, pattern.folder, there, marker)


def _choose_from_listing(
    line: ModelLine, source: Source, pattern: Pattern, marker: str | None
) -> Selection:
    listing = retry(lambda: tuple(source.list(pattern.folder)), tries=_TRIES)
    selection = select(line.uri, pattern, listing, marker)
    objects = tuple(found for found in selection.objects if not _is_folder(source, found))
    if not objects:
        raise ModelNotFound(
            f"{line.uri}: there are only empty folders",
            do="Check the address in `model`, and that the upload is through.",
        )
    return Selection(
        root=selection.root, objects=objects, version=selection.version, why=selection.why
    )


def _is_folder(source: Source, found: StoredObject) -> bool:
    """Storage browsers leave empty objects that mean folders; only a closer look tells."""
    if found.size_bytes or found.refused:
        return False
    try:
        return retry(lambda: source.head(found.key), tries=_TRIES).is_folder
    except ModelNotFound:
        return True  # listed without the slash at the end of its name


def _with_neighbours(
    error: ModelNotFound, line: ModelLine, source: Source, pattern: Pattern
) -> ModelNotFound:
    """Say what is there instead, where we may list: a wrong name is mostly a near one."""
    if line.kind is SourceKind.HTTPS or line.version_id or line.snapshot:
        return error
    try:
        keys = [found.key for found in islice(source.list(pattern.folder), _LOOKED_AT)]
    except FerryError:
        return error  # not allowed to list: the first error stands
    names = {key.removeprefix(pattern.folder).lower(): key for key in keys}
    meant = line.key.removeprefix(pattern.folder).lower()
    near = [names[name] for name in difflib.get_close_matches(meant, names, n=5)]
    if not near:
        return error
    return ModelNotFound(
        error.what,
        seen=f"{error.seen} Nearest names there: {', '.join(near)}.".strip(),
        do=error.do,
    )


def _reason(line: ModelLine, selection: Selection, files: Sequence[ModelFile]) -> str:
    size = format_bytes(sum(file.size_bytes for file in files))
    if len(files) == 1:
        (file,) = files
        pin = f"version {file.version_id}" if file.version_id else f"ETag {file.etag}"
        what = f"{file.uri}, {size}, {pin}" if file.etag else f"{file.uri}, {size}"
    else:
        what = f"{line.uri}, {len(files)} files, {size}"
    return f"{selection.why}; {what}" if selection.why else what


def _version_of(files: Sequence[ModelFile]) -> str:
    """The version id of the one file, else its ETag; of several, what changes with any of them."""
    if len(files) == 1 and (version := files[0].version_id or files[0].etag):
        return version.removeprefix("W/").strip('"')
    marks = (f"{file.uri} {file.version_id or file.etag} {file.size_bytes}\n" for file in files)
    return hashlib.sha256("".join(marks).encode()).hexdigest()[:12]
