"""Tar headers written by us, byte for byte the same on every machine and Python.

POSIX.1-2017 pax: a plain ustar header, preceded by an extended one only where a value does not fit.
"""

from __future__ import annotations

from pathlib import PurePosixPath

BLOCK = 512
END = bytes(2 * BLOCK)
_LARGEST_SIZE = 8**11 - 1  # eleven octal digits: 8 GiB
_LARGEST_ID = 8**7 - 1
_LONGEST_NAME = 100

_FILE, _FOLDER, _EXTENDED = b"0", b"5", b"x"


def file_header(name: str, size_bytes: int) -> bytes:
    """A regular file as every model file is written: 0644, root's, at the epoch."""
    return _entry(name, _FILE, size_bytes, mode=0o644, uid=0, gid=0, mtime_s=0)


def folder_header(name: str, *, mode: int, uid: int, gid: int, mtime_s: int) -> bytes:
    return _entry(f"{name}/", _FOLDER, 0, mode=mode, uid=uid, gid=gid, mtime_s=mtime_s)


def padding(size_bytes: int) -> bytes:
    return bytes(-size_bytes % BLOCK)


def _entry(
    name: str, kind: bytes, size_bytes: int, *, mode: int, uid: int, gid: int, mtime_s: int
) -> bytes:
    records: dict[str, str] = {}
    raw_name = name.encode()
    if len(raw_name) > _LONGEST_NAME or not name.isascii():
        records["path"] = name
    if size_bytes > _LARGEST_SIZE:
        records["size"] = str(size_bytes)
    if uid > _LARGEST_ID:
        records["uid"] = str(uid)
    if gid > _LARGEST_ID:
        records["gid"] = str(gid)
    if mtime_s < 0:
        records["mtime"] = str(mtime_s)
    header = _ustar(
        raw_name[:_LONGEST_NAME] if "path" not in records else _short(name),
        kind,
        size_bytes if "size" not in records else 0,
        mode=mode,
        uid=uid if "uid" not in records else 0,
        gid=gid if "gid" not in records else 0,
        mtime_s=max(mtime_s, 0),
    )
    return _extended(name, records) + header if records else header


def _extended(name: str, records: dict[str, str]) -> bytes:
    body = b"".join(_record(key, value) for key, value in sorted(records.items()))
    header = _ustar(
        b"PaxHeaders/" + _short(name, 80), _EXTENDED, len(body), mode=0o644, uid=0, gid=0, mtime_s=0
    )
    return header + body + padding(len(body))


def _record(key: str, value: str) -> bytes:
    """`LENGTH key=value\\n`, where LENGTH counts its own digits too."""
    rest = f" {key}={value}\n".encode()
    length = len(rest) + len(str(len(rest)))
    if len(str(length)) + len(rest) != length:  # the digits themselves added a digit
        length += 1
    return str(length).encode() + rest


def _short(name: str, longest: int = _LONGEST_NAME) -> bytes:
    """What a reader without pax would see; the real name stands in the extended header."""
    return PurePosixPath(name).name.encode("ascii", "replace")[:longest]


def _ustar(
    name: bytes, kind: bytes, size_bytes: int, *, mode: int, uid: int, gid: int, mtime_s: int
) -> bytes:
    fields = (
        name.ljust(100, b"\0"),
        b"%07o\0" % mode,
        b"%07o\0" % uid,
        b"%07o\0" % gid,
        b"%011o\0" % size_bytes,
        b"%011o\0" % mtime_s,
        b" " * 8,  # the checksum counts itself as blanks
        kind,
        bytes(100),  # link name
        b"ustar\x0000",
        bytes(32 + 32 + 8 + 8 + 155 + 12),  # user, group, device, prefix, unused
    )
    header = b"".join(fields)
    return header[:148] + b"%06o\0 " % sum(header) + header[156:]
