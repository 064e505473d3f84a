"""Listing in, chosen objects out: prefixes, globs, {latest}, {newest} and `model-marker`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from modelferry.errors import ModelError, ModelNotFound
from modelferry.sources.source import StoredObject
from modelferry.sources.versions import newest_last

_PLACEHOLDERS: dict[str, Literal["latest", "newest"]] = {"{latest}": "latest", "{newest}": "newest"}
_SHOWN = 10  # names in a message


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """A key of a `model` line, taken apart around its placeholder.

    fraud/{latest}/*.onnx: folder "fraud/", choice "latest", below "*.onnx"
    fraud/{latest}:        folder "fraud/", choice "latest", below None: the versions are files
    fraud/v3/:             folder "fraud/v3/", below ""
    """

    folder: str  # what must be listed, "" or ending in "/"
    choice: Literal["latest", "newest"] | None
    below: str | None  # "" everything, else a path, a folder ending in "/", or a glob

    @property
    def is_plain(self) -> bool:
        """Names one object, which need not be listed."""
        return self.choice is None and bool(self.below) and "*" not in (self.below or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    root: str  # the folder that names in the image are relative to
    objects: tuple[StoredObject, ...]
    version: str | None  # the segment that {latest} or {newest} stands for
    why: str  # "{latest}: v1.10.0 of 3 versions (v1.9.0, v1.2.0)"; "" where nothing was chosen


def parse_pattern(key: str) -> Pattern:
    segments = key.split("/")
    for index, segment in enumerate(segments):
        if segment in _PLACEHOLDERS:
            below = "/".join(segments[index + 1 :]) if index + 1 < len(segments) else None
            return Pattern(
                folder=_folder(segments[:index]), choice=_PLACEHOLDERS[segment], below=below
            )
    return Pattern(folder=_folder(segments[:-1]), choice=None, below=segments[-1])


def select(
    uri: str, pattern: Pattern, listing: Sequence[StoredObject], marker: str | None
) -> Selection:
    """`listing` is everything below pattern.folder; `uri` is the line, for messages.

    Raises ModelNotFound where nothing is left, ModelError where a folder is not complete.
    """
    listing = without_folder_markers(pattern.folder, listing)
    if pattern.choice is None:
        require_marker(uri, pattern.folder, (found.key for found in listing), marker)
        return _selection(uri, pattern.folder, pattern.below or "", listing, marker)
    if pattern.below is None:
        return _select_file(uri, pattern, listing)
    folders = _by_folder(pattern.folder, listing)
    complete = {
        name: found
        for name, found in folders.items()
        if marker is None or f"{pattern.folder}{name}/{marker}" in {each.key for each in found}
    }
    if folders and not complete:
        raise ModelError(
            f"{uri}: no version is complete",
            seen=f"None of {_shown(sorted(folders))} holds {marker!r}.",
            do="Wait until the model's upload is through, or correct `model-marker`.",
        )
    version, why = _choose(uri, pattern.choice, complete, set(folders) - set(complete), marker)
    root = f"{pattern.folder}{version}/"
    chosen = _selection(uri, root, pattern.below, complete[version], marker)
    return Selection(root=chosen.root, objects=chosen.objects, version=version, why=why)


def without_folder_markers(
    folder: str, listing: Sequence[StoredObject]
) -> tuple[StoredObject, ...]:
    """Storage browsers leave empty objects that stand for folders, `folder` itself among them."""
    folders = {parent for found in listing for parent in _parents(found.key)}
    return tuple(
        found
        for found in listing
        if found.key.startswith(folder)
        and not (found.size_bytes == 0 and (found.key.endswith("/") or found.key in folders))
    )


def _parents(key: str) -> Iterator[str]:
    for position, character in enumerate(key):
        if character == "/":
            yield key[:position]


def require_marker(uri: str, folder: str, keys: Iterable[str], marker: str | None) -> None:
    if marker is not None and folder + marker not in set(keys):
        raise ModelError(
            f"{uri}: the model's folder is not complete",
            seen=f"{folder}{marker} (`model-marker`) is not there.",
            do="Wait until the model's upload is through, or correct `model-marker`.",
        )


def _select_file(uri: str, pattern: Pattern, listing: Sequence[StoredObject]) -> Selection:
    """{latest} as the last segment: the files of the folder are the versions."""
    files = {
        name: (found,)
        for found in listing
        if "/" not in (name := found.key.removeprefix(pattern.folder))
    }
    if not files and listing:
        folders = sorted(_by_folder(pattern.folder, listing))
        raise ModelNotFound(
            f"{uri}: there are no files to choose from",
            seen=f"There are folders: {_shown(folders)}.",
            do="End the address in a slash to take all that is in the chosen folder.",
        )
    assert pattern.choice is not None  # noqa: S101 - the caller looked
    version, why = _choose(uri, pattern.choice, files, set(), None)
    return Selection(root=pattern.folder, objects=files[version], version=version, why=why)


def _choose(
    uri: str,
    choice: Literal["latest", "newest"],
    candidates: dict[str, tuple[StoredObject, ...]],
    incomplete: set[str],
    marker: str | None,
) -> tuple[str, str]:
    if not candidates:
        raise ModelNotFound(
            f"{uri}: {{{choice}}} finds no versions",
            seen="There is nothing below the folder.",
            do="Check the folder's name in `model`, upper and lower case too.",
        )
    ordered, passed_over = newest_last(candidates)
    if choice == "newest":
        ordered, passed_over = _by_time(candidates), ()
    *others, chosen = ordered
    why = f"{{{choice}}}: {chosen} of {_count(len(ordered), 'version')}"
    if others:
        why += f" ({_shown(others[::-1])})"
    if choice == "newest":
        why += f", written {_written(candidates[chosen]):%Y-%m-%d %H:%M:%S} UTC"
    if passed_over:
        why += f"; not versions: {_shown(passed_over)}"
    if incomplete:
        why += f"; without {marker}: {_shown(sorted(incomplete))}"
    return chosen, why


def _selection(
    uri: str, root: str, below: str, listing: Sequence[StoredObject], marker: str | None
) -> Selection:
    """The part of `listing` that `below` names, relative to the folder it stands in."""
    folder, slash, last = below.rpartition("/")
    root += folder + slash
    inside = [found for found in listing if found.key.startswith(root)]
    if last:
        glob = re.compile("[^/]*".join(re.escape(part) for part in last.split("*")), re.DOTALL)
        inside = [found for found in inside if glob.fullmatch(found.key.removeprefix(root))]
    if "*" in last or not last:
        inside = [found for found in inside if not _is_bare_marker(found, marker)]
    if not inside:
        raise _nothing(uri, root, last, listing)
    inside.sort(key=lambda found: found.key)
    return Selection(root=root, objects=tuple(inside), version=None, why="")


def _nothing(uri: str, root: str, last: str, listing: Sequence[StoredObject]) -> ModelNotFound:
    there = sorted(
        {found.key.removeprefix(root) for found in listing if found.key.startswith(root)}
    )
    what = f"{uri}: nothing matches {last!r}" if last else f"{uri}: there is nothing below {root!r}"
    return ModelNotFound(
        what,
        seen=f"{root} holds {_shown(there)}." if there else f"{root or 'The top folder'} is empty.",
        do="Check the address in `model`, upper and lower case too.",
    )


def _is_bare_marker(found: StoredObject, marker: str | None) -> bool:
    """An empty marker says that the folder is complete, and is itself no part of the model."""
    return found.size_bytes == 0 and found.key.rpartition("/")[2] == marker


def _by_folder(folder: str, listing: Iterable[StoredObject]) -> dict[str, tuple[StoredObject, ...]]:
    folders: dict[str, list[StoredObject]] = {}
    for found in listing:
        name, slash, _ = found.key.removeprefix(folder).partition("/")
        if slash:
            folders.setdefault(name, []).append(found)
    return {name: tuple(found) for name, found in folders.items()}


def _by_time(candidates: dict[str, tuple[StoredObject, ...]]) -> tuple[str, ...]:
    """By the last write to anything in it; among equals, in the order of {latest}."""
    ordered, others = newest_last(candidates)
    return tuple(sorted(others + ordered, key=lambda name: _written(candidates[name])))


def _written(objects: tuple[StoredObject, ...]):
    return max(found.modified for found in objects if found.modified is not None)


def _folder(segments: Sequence[str]) -> str:
    return "".join(f"{segment}/" for segment in segments)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
