"""Model files as tar layers. A layer is a view: headers and padding are computed, contents are
read from wherever the file is, and every byte range can be produced again at any time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from modelferry.image import tar

MIB = 1 << 20
ALONE_FROM_BYTES = 64 * MIB  # a file from this size on is a layer of its own
BUNDLE_BYTES = 256 * MIB  # smaller ones share layers up to this size

Read = Callable[[int, int], bytes]  # the bytes from start up to, not including, stop


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
    size_bytes: int
    read: Read
    folders: tuple[Folder, ...]  # the parents


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A stretch of a layer: computed bytes, or the whole content of one file."""

    start: int
    stop: int
    computed: bytes
    file: LayerFile | None

    def read(self, start: int, stop: int) -> bytes:
        """A range counted from the layer's first byte, cut to this segment."""
        inner = max(start, self.start) - self.start, min(stop, self.stop) - self.start
        return self.file.read(*inner) if self.file else self.computed[slice(*inner)]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerView:
    files: tuple[LayerFile, ...]
    segments: tuple[Segment, ...]  # without gaps, in order

    @property
    def size_bytes(self) -> int:
        return self.segments[-1].stop

    def read(self, start: int, stop: int) -> bytes:
        stop = min(stop, self.size_bytes)
        first = bisect_right(self.segments, start, key=lambda segment: segment.start) - 1
        parts: list[bytes] = []
        for segment in self.segments[first:]:
            if segment.start >= stop:
                break
            parts.append(segment.read(start, stop))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def chunks(self, step: int = 4 * MIB) -> Iterator[bytes]:
        for start in range(0, self.size_bytes, step):
            yield self.read(start, start + step)


def plan_layers(files: Iterable[LayerFile]) -> tuple[LayerView, ...]:
    """Large files a layer each, small ones bundled; the order depends on the paths alone."""
    ordered = sorted(files, key=lambda file: file.path)
    groups: list[tuple[LayerFile, ...]] = [
        (file,) for file in ordered if file.size_bytes >= ALONE_FROM_BYTES
    ]
    bundle: list[LayerFile] = []
    for file in (file for file in ordered if file.size_bytes < ALONE_FROM_BYTES):
        if bundle and sum(f.size_bytes for f in bundle) + file.size_bytes > BUNDLE_BYTES:
            groups.append(tuple(bundle))
            bundle = []
        bundle.append(file)
    return tuple(make_layer(group) for group in (*groups, *([tuple(bundle)] if bundle else [])))


def make_layer(files: tuple[LayerFile, ...]) -> LayerView:
    """Raises ValueError for a path that would leave the image's root."""
    segments: list[Segment] = []
    folders = {folder.path: folder for file in files for folder in file.folders}
    computed = b"".join(_folder_header(folders[path]) for path in sorted(folders))
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
    return LayerView(files=files, segments=tuple(segments))


def entry_name(path: PurePosixPath) -> str:
    if not path.is_absolute() or ".." in path.parts or path == PurePosixPath("/"):
        raise ValueError(f"{path} is no absolute path inside the image")
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
