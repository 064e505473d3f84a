"""What one layer does to the paths of the image below it, read from its tar.

Whiteouts and opaque folders: image-spec, layer.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from modelferry.image.tar_members import Kind, Member, Read, members
from modelferry.image.workers import Stop
from modelferry.values import WHITEOUT, Digest

_OPAQUE = ".wh..wh..opq"
_NOBODYS_NAME = "\0"
_MOST_LISTED = 1 << 20  # characters of all names; of more, only the paths are remembered


class Trace(NamedTuple):
    """What a layer says of one path. Both a whiteout and a new entry: replaced by that layer."""

    kind: Kind = ""  # "": the layer puts nothing there
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime_s: int = 0
    target: str = ""  # of a link, as written
    whiteout: bool = False  # what lower layers have there is gone
    opaque: bool = False  # what lower layers have in that folder is gone


NOTHING = Trace()
_FILE = Trace("file")  # all that matters of one; the many of an image share it
Traces = Mapping[str, Trace]  # by absolute path


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a former run remembered of a layer: all that it says of `paths`, and of whatever lies in
    `folders`, all of whose parents are among them. There, a name that only has something below it
    is in `traces` as NOTHING, so that one that is not in them has nothing below it either."""

    paths: frozenset[str]
    traces: Traces
    folders: frozenset[str] = frozenset()

    def at(self, path: str) -> Trace | None:
        """None where it does not tell."""
        if path in self.paths or _folder_of(path) in self.folders:
            return self.traces.get(path, NOTHING)
        for folder, step in _steps(path):
            if folder not in self.folders:
                break
            if step not in self.traces:
                return NOTHING
        return None

    def lists(self, folder: str) -> bool:
        """Whether it tells of all that lies there."""
        return self.at(f"{folder.rstrip('/')}/{_NOBODYS_NAME}") is not None


class LayerEntries:
    """One layer's traces, from the record where that tells enough, else from the layer itself."""

    def __init__(
        self, diff_id: Digest, *, record: Record | None, scan: Callable[[], Traces]
    ) -> None:
        self.diff_id = diff_id
        self._record, self._scan = record, scan
        self._traces: Traces | None = None

    def at(self, path: str) -> Trace:
        if self._traces is None and self._record:
            known = self._record.at(path)
            if known is not None:
                return known
        return self.scanned().get(path, NOTHING)

    def knows(self, paths: Collection[str]) -> bool:
        """Whether `at` answers for these without reading the layer."""
        record = self._record
        return self._traces is not None or (
            record is not None and all(record.at(path) is not None for path in paths)
        )

    def scanned(self) -> Traces:
        if self._traces is None:
            self._traces = self._scan()
        return self._traces

    def record(self, paths: Collection[str]) -> Record:
        """To be remembered for the next run, whose model may have other names."""
        said = {path: self.at(path) for path in paths}
        folders = frozenset(map(_folder_of, paths))
        if self._traces is None and self._record:
            known = self._record.traces
            folders = frozenset(filter(self._record.lists, folders))
        else:
            known = self.scanned()
        told = {path: trace for path, trace in said.items() if trace != NOTHING}
        return Record(
            paths=frozenset(paths), traces=_listed(known, folders) | told, folders=folders
        )


def _listed(traces: Traces, folders: Collection[str]) -> dict[str, Trace]:
    """All that lies in these, as far as the folders above them are among them."""
    found: dict[str, Trace] = {}
    for path in traces:
        for folder, step in _steps(path):
            if folder not in folders:
                break
            found[step] = traces.get(step, NOTHING)
    return found


def _folder_of(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def _steps(path: str) -> Iterator[tuple[str, str]]:
    """`/a/b`: `/a` in `/`, then `/a/b` in `/a`."""
    step = ""
    for name in path.split("/")[1:]:
        folder, step = step or "/", f"{step}/{name}"
        yield folder, step


def scan_layer(read: Read, size_bytes: int, media_type: str, stop: Stop) -> Traces:
    """`size_bytes` and `media_type` are the blob's; BuildError where it cannot be read as a layer.

    Every file is in it: a link may lead to any.
    """
    found: dict[str, Trace] = {}
    for member in members(read, size_bytes, media_type, stop):
        path = _absolute(member.name)
        if path == "/":
            continue
        folder, _, name = path.rpartition("/")
        if name == _OPAQUE:
            found[folder or "/"] = found.get(folder or "/", NOTHING)._replace(opaque=True)
        elif name.startswith(WHITEOUT):
            gone = f"{folder}/{name.removeprefix(WHITEOUT)}"
            found[gone] = found.get(gone, NOTHING)._replace(whiteout=True)
        elif before := found.get(path):
            entry = _trace_of(member)
            found[path] = entry._replace(whiteout=before.whiteout, opaque=before.opaque)
        else:
            found[path] = _trace_of(member)
    return found


def _trace_of(member: Member) -> Trace:
    if member.kind == "file":
        return _FILE
    return Trace(
        kind=member.kind,
        mode=member.mode,
        uid=member.uid,
        gid=member.gid,
        mtime_s=member.mtime_s,
        target=member.target,
    )


def records_json(records: Mapping[Digest, Record]) -> Any:
    """The paths and the folders are those of all layers together: a stack is asked for the same
    ones. Who knows of no `folders` goes by the paths alone."""
    paths = frozenset[str]().union(*(record.paths for record in records.values()))
    each = [record.folders for record in records.values()]
    folders = frozenset[str]().union(*each).intersection(*each)
    if sum(len(path) for record in records.values() for path in record.traces) > _MOST_LISTED:
        folders = frozenset()
    layers = {
        diff_id: {
            path: list(trace)
            for path, trace in sorted(record.traces.items())
            if folders or path in paths
        }
        for diff_id, record in records.items()
    }
    return {"paths": sorted(paths), "folders": sorted(folders), "layers": layers}


def read_records(text: str) -> dict[Digest, Record]:
    """What `records_json` made; ValueError, KeyError or TypeError for anything else."""
    found = json.loads(text)
    paths = frozenset(str(path) for path in found["paths"])
    folders = frozenset(str(path) for path in found.get("folders", ()))
    return {
        Digest(diff_id): Record(
            paths=paths,
            traces={path: _trace(values) for path, values in traces.items()},
            folders=folders,
        )
        for diff_id, traces in found["layers"].items()
    }


def _trace(values: list[Any]) -> Trace:
    kind, mode, uid, gid, mtime_s, target, whiteout, opaque = values
    if kind not in ("", "folder", "link", "file"):
        raise ValueError(f"{kind!r} is no kind of entry")
    return Trace(
        kind=kind,
        mode=int(mode),
        uid=int(uid),
        gid=int(gid),
        mtime_s=int(mtime_s),
        target=str(target),
        whiteout=bool(whiteout),
        opaque=bool(opaque),
    )


def _absolute(name: str) -> str:
    """`./usr/lib/` → `/usr/lib`; a name can not lead out of the root."""
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)
