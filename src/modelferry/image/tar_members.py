"""The members of a layer's tar, forwards, from wherever its bytes are: plain or gzip.

Tar: POSIX.1-2017 pax, and what GNU adds. The whole layer is never held, and of a plain one the
files' contents are not even read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from modelferry.errors import BuildError
from modelferry.image.tar import BLOCK
from modelferry.image.workers import Stop

Kind = Literal["", "folder", "link", "file"]
Read = Callable[[int, int], bytes]  # the bytes from start up to, not including, stop

_STEP = 1 << 20
_KINDS: Mapping[bytes, Kind] = {b"5": "folder", b"2": "link"}
_LONGEST_RECORD = 1 << 20  # of an extended header; names and numbers take no more


class Member(NamedTuple):
    name: str
    kind: Kind
    mode: int
    uid: int
    gid: int
    mtime_s: int
    target: str


def members(read: Read, size_bytes: int, media_type: str, stop: Stop) -> Iterator[Member]:
    """`size_bytes` and `media_type` are the blob's; BuildError where it is no readable tar."""
    from isal.igzip_lib import IsalError

    content = _Content(read, size_bytes, media_type, stop)
    try:
        yield from _walk(content)
    except (ValueError, IndexError, IsalError) as error:  # pyright: ignore[reportGeneralTypeIssues]
        raise BuildError(
            f"A layer of the image cannot be read as a tar ({media_type})", seen=str(error)
        ) from error


def _walk(content: _Content) -> Iterator[Member]:
    named: dict[str, str] = {}  # what extended headers say of the next member
    for_all: dict[str, str] = {}
    while (header := content.take(BLOCK)) and header.strip(b"\0"):
        _check(header)
        kind, size = header[156:157], _number(header[124:136])
        if kind in b"xgLK":
            body = content.take(min(size, _LONGEST_RECORD)).rstrip(b"\0")
            content.skip(size - min(size, _LONGEST_RECORD) + -size % BLOCK)
            match kind:
                case b"x":
                    named |= _pax(body)
                case b"g":
                    for_all |= _pax(body)
                case _:
                    named["path" if kind == b"L" else "linkpath"] = _text(body)
            continue
        said = for_all | named
        yield _member(header, kind, said)
        size = int(said.get("size", size)) if kind in b"07\0S" else 0
        if kind == b"S":
            _skip_sparse_map(header, content)
        content.skip(size + -size % BLOCK)
        named = {}


def _member(header: bytes, kind: bytes, said: Mapping[str, str]) -> Member:
    name = said.get("path") or _ustar_name(header)
    old_folder = kind in b"0\0" and name.endswith("/")
    what = "folder" if old_folder else _KINDS.get(kind, "file")
    return Member(
        name=name,
        kind=what,
        mode=_number(header[100:108]) & 0o7777,
        uid=int(said.get("uid") or _number(header[108:116])),
        gid=int(said.get("gid") or _number(header[116:124])),
        mtime_s=int(float(said.get("mtime") or _number(header[136:148])) // 1),
        target=(said.get("linkpath") or _text(header[157:257])) if what == "link" else "",
    )


def _ustar_name(header: bytes) -> str:
    name, prefix = _text(header[:100]), _text(header[345:500])
    return f"{prefix}/{name}" if header[257:263] == b"ustar\0" and prefix else name


def _skip_sparse_map(header: bytes, content: _Content) -> None:
    more = header[482]
    while more:
        more = content.take(BLOCK)[504]


def _check(header: bytes) -> None:
    if len(header) == BLOCK:
        wanted = sum(header[:148]) + sum(b" " * 8) + sum(header[156:])
        if _number(header[148:156]) == wanted:
            return
    raise ValueError(f"in place of a header, {len(header)} bytes: {header[:32]!r}")


def _number(field: bytes) -> int:
    """Octal digits, or GNU's binary form for what they cannot hold."""
    if field[0] in (0x80, 0xFF):
        return int.from_bytes(field, signed=True) if field[0] == 0xFF else _unsigned(field)
    return int(field.strip(b" \0") or b"0", 8)


def _unsigned(field: bytes) -> int:
    return int.from_bytes(field[1:])


def _pax(body: bytes) -> dict[str, str]:
    records: dict[str, str] = {}
    while body:
        length, _, _ = body.partition(b" ")
        record, body = body[len(length) + 1 : int(length) - 1], body[int(length) :]
        key, _, value = record.partition(b"=")
        records[_text(key)] = _text(value)
    return records


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("utf-8", "surrogateescape")


class _Content:
    """A layer's tar, forwards: what is skipped of a plain one is not even read."""

    def __init__(self, read: Read, size_bytes: int, media_type: str, stop: Stop) -> None:
        self._read, self._size, self._stop = read, size_bytes, stop
        self._at = 0  # of the blob
        self._ahead = b""  # unpacked and not taken yet
        self._pos = 0  # in it
        self._unpack = _unpacker(read(0, 4), media_type)

    def take(self, count: int) -> bytes:
        while len(self._ahead) - self._pos < count:
            more = self._more()
            if not more:
                break
            self._ahead = self._ahead[self._pos :] + more
            self._pos = 0
        taken = self._ahead[self._pos : self._pos + count]
        self._pos += len(taken)
        return taken

    def skip(self, count: int) -> None:
        while count > (there := len(self._ahead) - self._pos):
            count -= there
            if self._unpack is None:
                self._at += count
                self._ahead, self._pos = b"", 0
                return
            self._ahead, self._pos = self._more(), 0
            if not self._ahead:
                return
        self._pos += count

    def _more(self) -> bytes:
        while self._at < self._size:
            self._stop.check()
            stop = min(self._at + _STEP, self._size)
            chunk, self._at = self._read(self._at, stop), stop
            plain = self._unpack(chunk) if self._unpack else chunk
            if plain:
                return plain
        return b""


def _unpacker(beginning: bytes, media_type: str) -> Callable[[bytes], bytes] | None:
    """By the first bytes: what a store calls a layer does not always tell."""
    if beginning.startswith(b"\x1f\x8b"):
        return _Gunzip()
    if beginning.startswith(b"\x28\xb5\x2f\xfd"):
        raise BuildError(
            f"A layer of the image is compressed by zstd ({media_type}), which is not read here",
            do="Take a base image with gzip layers, or an engine with the classic store, which"
            " keeps them unpacked.",
        )
    return None


class _Gunzip:
    """A gzip stream may have several members, as parallel compressors write them."""

    def __init__(self) -> None:
        self._stream = self._new()

    def __call__(self, chunk: bytes) -> bytes:
        out: list[bytes] = []
        while chunk:
            if self._stream.eof:
                self._stream = self._new()
            out.append(self._stream.decompress(chunk))
            chunk = self._stream.unused_data if self._stream.eof else b""
        return b"".join(out)

    def _new(self) -> Any:
        from isal import isal_zlib

        return isal_zlib.decompressobj(31)  # 31: with a gzip header
