"""What one layer does to the paths of the image below it, read from its tar.

Whiteouts and opaque folders: image-spec, layer.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from modelferry.image.tar_members import Kind, Member, Read, members
from modelferry.image.workers import Stop
from modelferry.values import WHITEOUT, Digest

_OPAQUE = ".wh..wh..opq"


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
    """What a former run remembered of a layer: all that it says of `paths`, and of no other."""

    paths: frozenset[str]
    traces: Traces


class LayerEntries:
    """One layer's traces, from the record where that tells enough, else from the layer itself."""

    def __init__(
        self, diff_id: Digest, *, record: Record | None, scan: Callable[[], Traces]
    ) -> None:
        self.diff_id = diff_id
        self._record, self._scan = record, scan
        self._traces: Traces | None = None
        self._asked: set[str] = set()

    def at(self, path: str) -> Trace:
        self._asked.add(path)
        if self._traces is None and self._record and path in self._record.paths:
            return self._record.traces.get(path, NOTHING)
        return self.scanned().get(path, NOTHING)

    def knows(self, paths: Collection[str]) -> bool:
        """Whether `at` answers for these without reading the layer."""
        return self._traces is not None or (
            self._record is not None and self._record.paths.issuperset(paths)
        )

    def scanned(self) -> Traces:
        if self._traces is None:
            self._traces = self._scan()
        return self._traces

    def record(self, paths: Collection[str]) -> Record:
        """To be remembered for the next run."""
        said = {path: self.at(path) for path in paths}
        return Record(
            paths=frozenset(paths),
            traces={path: trace for path, trace in said.items() if trace != NOTHING},
        )


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
    """The paths are those of all layers together: each is remembered for the same ones."""
    paths = sorted(frozenset[str]().union(*(record.paths for record in records.values())))
    layers = {
        diff_id: {path: list(trace) for path, trace in sorted(record.traces.items())}
        for diff_id, record in records.items()
    }
    return {"paths": paths, "layers": layers}


def read_records(text: str) -> dict[Digest, Record]:
    """What `records_json` made; ValueError, KeyError or TypeError for anything else."""
    found = json.loads(text)
    paths = frozenset(str(path) for path in found["paths"])
    return {
        Digest(diff_id): Record(
            paths=paths, traces={path: _trace(values) for path, values in traces.items()}
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
