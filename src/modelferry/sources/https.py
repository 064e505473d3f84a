"""https sources: ranges where the server has them, else one stream from start to end."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from email.utils import parsedate_to_datetime

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from modelferry.artifacts import ModelFile
from modelferry.errors import ModelChanged, ModelError
from modelferry.retry import retry
from modelferry.sources.source import PIECE_BYTES, StoredObject
from modelferry.sources.spec import ModelLine
from modelferry.sources.web import CONNECTIONS, WebAddress

# Not HEAD: signed addresses are often good for GET alone.
_FIRST_BYTE: Mapping[str, str] = {"Range": "bytes=0-0"}


class HttpsSource:
    def __init__(self, line: ModelLine) -> None:
        self._line, self._web = line, WebAddress(line)
        self._has_ranges: bool | None = None
        self._stream: _Stream | None = None  # of a server without ranges
        self._lock = threading.Lock()

    @property
    def connections(self) -> int:
        with self._lock:
            if self._has_ranges is None:
                self._has_ranges = retry(self._probe)
        return CONNECTIONS if self._has_ranges else 1

    def list(self, folder: str) -> Iterator[StoredObject]:
        raise NotImplementedError(folder)  # inputs refuse folders and patterns for https

    def head(self, key: str) -> StoredObject:
        web = self._web if key == self._line.key else WebAddress(replace(self._line, key=key))
        with _asked(web, _FIRST_BYTE) as answer:
            modified = answer.headers.get("Last-Modified")
            return StoredObject(
                key=key,
                size_bytes=self._size(answer),
                etag=answer.headers.get("ETag"),
                modified=parsedate_to_datetime(modified) if modified else None,
            )

    def read(self, file: ModelFile, start: int, stop: int) -> Iterator[bytes]:
        if self.connections == 1:
            with self._lock:
                yield from self._read_on(file, start, stop)
            return
        headers = {"Range": f"bytes={start}-{stop - 1}", **_condition(file)}
        with _asked(self._web, headers) as answer:
            self._refuse_changed(file, answer)
            self._refuse_other_range(start, answer)
            yield from answer.stream(PIECE_BYTES)

    def _probe(self) -> bool:
        with _asked(self._web, _FIRST_BYTE) as answer:
            return answer.status in (206, 416)

    def _read_on(self, file: ModelFile, start: int, stop: int) -> Iterator[bytes]:
        """From the open stream if it stands at `start`, else from a new one."""
        stream, self._stream = self._stream, None  # kept only where this read ends well
        ends_well = False
        try:
            if stream is None or stream.position != start:
                if stream:
                    stream.close()
                answer = self._web.get(_condition(file))
                self._refuse_changed(file, answer)
                stream = _Stream(answer)
                stream.skip_to(start)
            yield from stream.read(stop - start)
            ends_well = True
        except HTTPError as error:
            raise self._web.explain(error) from None
        finally:
            if stream and ends_well and stop < file.size_bytes:
                self._stream = stream
            elif stream:
                stream.close()

    def _refuse_changed(self, file: ModelFile, answer: BaseHTTPResponse) -> None:
        """Looked at on every answer: servers may ignore If-Match, or have no ETag at all."""
        if difference := self._difference(file, answer):
            answer.close()
            raise ModelChanged(
                f"{self._line.uri} changed while it was read",
                seen=difference,
                do="Publish each model under an address of its own.",
            )

    def _difference(self, file: ModelFile, answer: BaseHTTPResponse) -> str:
        etag, modified = answer.headers.get("ETag"), answer.headers.get("Last-Modified")
        if answer.status == 412 or (file.etag and etag and etag != file.etag):
            now = etag or self.head(self._line.key).etag
            return f"Its ETag was {file.etag} when it was chosen and is {now} now."
        if not file.etag and file.modified and modified:
            now = parsedate_to_datetime(modified)
            if now != file.modified:
                return f"It was written at {file.modified} when it was chosen, and at {now} now."
        if (size := self._size(answer)) != file.size_bytes:
            return f"It had {file.size_bytes} bytes when it was chosen and has {size} now."
        return ""

    def _size(self, answer: BaseHTTPResponse) -> int:
        """Of the whole object."""
        if answer.status in (206, 416):
            text = answer.headers.get("Content-Range", "").rpartition("/")[2]
        else:
            text = answer.headers.get("Content-Length", "")
        if not text.isdigit():
            raise ModelError(
                f"{self._line.uri}: the server does not say how large the file is",
                seen=f"It answered {answer.status} without a length.",
                do="Use a server that sends Content-Length, or Blob storage or S3.",
            )
        return int(text)

    def _refuse_other_range(self, start: int, answer: BaseHTTPResponse) -> None:
        """It may be shorter than what was asked for, as long as it begins there."""
        given = answer.headers.get("Content-Range", "nothing")
        if answer.status != 206 or not given.startswith(f"bytes {start}-"):
            answer.close()
            raise ModelError(
                f"{self._line.uri}: the server sent another part than was asked for",
                seen=f"Status {answer.status}, Content-Range {given}; byte {start} was to be first."
                " Another request for a part was answered as it should be.",
                do="If this happens often, look at the proxy before the server.",
                temporary=True,
            )


class _Stream:
    """A whole object on its way, read from start to end."""

    def __init__(self, answer: BaseHTTPResponse) -> None:
        self._answer, self.position = answer, 0

    def read(self, count: int) -> Iterator[bytes]:
        while count and (piece := self._answer.read(min(count, PIECE_BYTES))):
            count -= len(piece)
            self.position += len(piece)
            yield piece

    def skip_to(self, start: int) -> None:
        for _ in self.read(start - self.position):
            pass

    def close(self) -> None:
        self._answer.close()

    __del__ = close  # of a model that nobody reads to its end


@contextmanager
def _asked(web: WebAddress, headers: Mapping[str, str]) -> Iterator[BaseHTTPResponse]:
    answer = web.get(headers)
    try:
        yield answer
        if answer.status == 206:
            answer.drain_conn()  # else the connection could not be used again
    except HTTPError as error:
        raise web.explain(error) from None
    finally:
        answer.close()


def _condition(file: ModelFile) -> dict[str, str]:
    """If-Match compares strongly: a weak ETag would never match."""
    return {"If-Match": file.etag} if file.etag and not file.etag.startswith("W/") else {}
