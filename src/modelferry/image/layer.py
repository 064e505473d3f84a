"""Model files as tar layers. A layer is a view: headers and padding are computed, contents are
read from wherever the file is, and every byte range can be produced again at any time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from modelferry.artifacts import ModelFile
from modelferry.image import tar
from modelferry.values import WHITEOUT

MIB = 1 << 20
ALONE_FROM_BYTES = 64 * MIB  # a file from this size on is a layer of its own
BUNDLE_BYTES = 256 * MIB  # smaller ones share layers up to this size
MOST_LAYERS = 64  # the app needs some too: overlay mounts and the classic store end at 125 or so


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A parent folder, with the metadata that the image below gives it."""

    path: PurePosixPath  # absolute
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    mtime_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFile:
    path: PurePosixPath  # absolute; no parent is a symlink in the image below
    folders: tuple[Folder, ...]  # the parents
    file: ModelFile  # where its content is

    @property
    def size_bytes(self) -> int:
        return self.file.size_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A stretch of a layer: computed bytes, or [start, stop) of one file's content."""

    computed: bytes = b""
    file: ModelFile | None = None
    start: int = 0
    stop: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Computed bytes, or the whole content of one file; counted from the layer's first byte."""

    start: int
    stop: int
    computed: bytes
    file: LayerFile | None

    def cut(self, start: int, stop: int) -> Piece:
        start, stop = max(start, self.start) - self.start, min(stop, self.stop) - self.start
        if self.file:
            return Piece(file=self.file.file, start=start, stop=stop)
        return Piece(computed=self.computed[start:stop])


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerView:
    files: tuple[LayerFile, ...]
    folders: tuple[Folder, ...]  # outermost first
    segments: tuple[Segment, ...]  # without gaps, in order

    @property
    def size_bytes(self) -> int:
        return self.segments[-1].stop

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[Piece]:
        """What bytes [start, stop) of the layer are made of, in order."""
        stop = self.size_bytes if stop is None else stop
        first = bisect_right(self.segments, start, key=lambda segment: segment.start) - 1
        for segment in self.segments[first:]:
            if segment.start >= stop:
                break
            if segment.stop > start:
                yield segment.cut(start, stop)


def plan_layers(files: Iterable[LayerFile]) -> tuple[LayerView, ...]:
    """Large files a layer each, small ones bundled; the order depends on the paths alone.

    Where that gives too many, both limits are doubled until it does not: the same paths and sizes
    always give the same layers.
    """
    ordered = sorted(files, key=lambda file: file.path)
    alone_from_bytes, bundle_bytes = ALONE_FROM_BYTES, BUNDLE_BYTES
    groups = _groups(ordered, alone_from_bytes, bundle_bytes)
    while len(groups) > MOST_LAYERS:
        alone_from_bytes, bundle_bytes = 2 * alone_from_bytes, 2 * bundle_bytes
        groups = _groups(ordered, alone_from_bytes, bundle_bytes)
    return tuple(make_layer(tuple(group)) for group in groups)


def _groups(
    ordered: Sequence[LayerFile], alone_from_bytes: int, bundle_bytes: int
) -> list[list[LayerFile]]:
    alone = [[file] for file in ordered if file.size_bytes >= alone_from_bytes]
    bundles: list[list[LayerFile]] = []
    left = -1
    for file in (file for file in ordered if file.size_bytes < alone_from_bytes):
        if file.size_bytes > left:
            bundles.append([])
            left = bundle_bytes
        bundles[-1].append(file)
        left -= file.size_bytes
    return alone + bundles


def make_layer(files: tuple[LayerFile, ...]) -> LayerView:
    """Raises ValueError for a path that would leave the image's root, or delete something of it."""
    segments: list[Segment] = []
    known = {folder.path: folder for file in files for folder in file.folders}
    folders = tuple(known[path] for path in sorted(known))
    computed = b"".join(_folder_header(folder) for folder in folders)
    position = 0
    for file in files:
        computed += tar.file_header(entry_name(file.path), file.size_bytes)
        segments.append(_computed(position, computed))
        position += len(computed)
        if file.size_bytes:
            stop = position + file.size_bytes
            segments.append(Segment(start=position, stop=stop, computed=b"", file=file))
            position = stop
        computed = tar.padding(file.size_bytes)
    segments.append(_computed(position, computed + tar.END))
    return LayerView(files=files, folders=folders, segments=tuple(segments))


def entry_name(path: PurePosixPath) -> str:
    if not path.is_absolute() or ".." in path.parts or path == PurePosixPath("/"):
        raise ValueError(f"{path} is no absolute path inside the image")
    if any(part.startswith(WHITEOUT) for part in path.parts):
        raise ValueError(f"{path} would delete files of the image")
    return str(path).lstrip("/")


def _folder_header(folder: Folder) -> bytes:
    return tar.folder_header(
        entry_name(folder.path),
        mode=folder.mode,
        uid=folder.uid,
        gid=folder.gid,
        mtime_s=folder.mtime_s,
    )


def _computed(start: int, data: bytes) -> Segment:
    return Segment(start=start, stop=start + len(data), computed=data, file=None)
