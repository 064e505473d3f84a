"""One blob into a repository: in pieces where the registry takes them, else in one request.

distribution-spec, "Pushing a blob in chunks" and "monolithically". A piece is never sent again
before the registry was asked how far it got: it may have kept what it did not confirm.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Protocol
from urllib.parse import quote

from modelferry.errors import RegistryError
from modelferry.registry.answers import Answer, refusal
from modelferry.registry.tokens import Scopes
from modelferry.registry.transport import Body, Transport
from modelferry.values import Digest, format_bytes

log = logging.getLogger("modelferry.registry")

MIB = 1 << 20
PIECE_BYTES = (64 * MIB, 16 * MIB, 4 * MIB)  # the next one after a refusal, then one request
AT_ONCE_BYTES = 1 * MIB  # a smaller blob goes in one request anyway
_READ_BYTES = 256 << 10  # also the most that a slow line must take within the send's time limit
_STALLS = 6  # failures in a row without a byte of progress
_STARTS = 3  # of one blob
_TOO_LARGE = (400, 413, 416)
_OCTETS = {"Content-Type": "application/octet-stream"}


class Blob(Protocol):
    @property
    def digest(self) -> Digest: ...
    @property
    def size_bytes(self) -> int: ...
    def read(self, start: int, stop: int, /) -> bytes: ...


class SessionLostError(Exception):
    """The registry does not know the upload any more, or what it holds is of no use."""

    def __init__(self, why: str) -> None:
        super().__init__(why)


class Uploads:
    """Uploads to one repository; thread-safe. What one learns about sizes holds for the next."""

    def __init__(self, transport: Transport, repository: str, scopes: Scopes) -> None:
        self._transport, self._repository, self._scopes = transport, repository, scopes
        self._doing = f"push to {repository}"
        self._refused_sizes = 0  # index into PIECE_BYTES; past its end: one request a blob

    def upload(self, blob: Blob, on_sent: Callable[[int], None]) -> None:
        """`on_sent` counts every byte that goes over the wire, repeated ones too."""
        for start in range(1, _STARTS + 1):
            try:
                if blob.size_bytes <= AT_ONCE_BYTES or self._refused_sizes >= len(PIECE_BYTES):
                    self._at_once(blob, on_sent)
                else:
                    self._in_pieces(blob, on_sent)
            except SessionLostError as lost:
                log.warning("%s: %s; from its start again", blob.digest, lost)
                if start == _STARTS:
                    raise RegistryError(
                        f"{self._transport.host} did not take blob {blob.digest} "
                        f"({format_bytes(blob.size_bytes)}) in {_STARTS} tries",
                        seen=str(lost),
                        do="Run again. If it repeats, look at the registry's log and storage.",
                    ) from lost
            else:
                return

    def open(self) -> str:
        """The new upload's address."""
        answer = self._transport.call(
            "POST",
            f"/v2/{self._repository}/blobs/uploads/",
            expect=(202,),
            doing=self._doing,
            scopes=self._scopes,
            headers={"Content-Length": "0"},
        )
        return self._location(answer)

    def cancel(self, location: str) -> None:
        """Best effort: what is left over, the registry removes by itself after some days. Many
        want a right to delete for this, which pushing does not need."""
        answer = self._transport.send("DELETE", location, scopes=self._scopes)
        log.debug("cancelled upload: %s", answer)

    def _at_once(self, blob: Blob, on_sent: Callable[[int], None]) -> None:
        location = self.open()
        body = self._body(blob, 0, blob.size_bytes, on_sent)
        self._finish(location, blob, body)

    def _in_pieces(self, blob: Blob, on_sent: Callable[[int], None]) -> None:
        location = self.open()
        offset = stalls = 0
        while offset < blob.size_bytes:
            sizes = self._refused_sizes
            if sizes >= len(PIECE_BYTES):
                self.cancel(location)
                raise SessionLostError("no piece is small enough for this registry")
            stop = min(offset + PIECE_BYTES[sizes], blob.size_bytes)
            answer = self._patch(location, blob, offset, stop, on_sent)
            if isinstance(answer, Answer) and answer.status in (201, 202, 204):
                location, offset, stalls = self._location(answer), stop, 0
                continue
            problem = self._problem(answer)
            stalls += 1
            if stalls > _STALLS:
                raise problem
            self._wait(answer, stalls)
            location, reached = self._ask(location)
            if reached > offset:
                stalls = 0
            elif isinstance(answer, Answer) and answer.status in _TOO_LARGE:
                self._refused_sizes = max(self._refused_sizes, sizes + 1)
                stalls = 0  # there are only so many sizes
            log.warning("%s; going on at %s", problem.what, format_bytes(reached))
            offset = reached
        self._finish(location, blob, b"")

    def _patch(
        self, location: str, blob: Blob, start: int, stop: int, on_sent: Callable[[int], None]
    ) -> Answer | RegistryError:
        headers = {**_OCTETS, "Content-Range": f"{start}-{stop - 1}"}
        body = self._body(blob, start, stop, on_sent)
        try:
            return self._transport.send(
                "PATCH", location, scopes=self._scopes, headers=headers, body=body
            )
        except RegistryError as error:
            if not error.temporary:
                raise
            return error

    def _problem(self, answer: Answer | RegistryError) -> RegistryError:
        """What to raise when it lasts. Raises at once what no waiting mends."""
        if isinstance(answer, RegistryError):
            return answer
        if answer.status == 404:
            raise SessionLostError(str(answer))
        error = refusal(answer, self._doing, self._transport.who)
        if answer.status == 401 and self._transport.renew(self._scopes, answer):
            return RegistryError(error.what, seen=error.seen, do=error.do)
        if answer.status in _TOO_LARGE or answer.temporary:
            return RegistryError(error.what, seen=error.seen, do=error.do)
        raise error

    def _wait(self, answer: Answer | RegistryError, stalls: int) -> None:
        if isinstance(answer, Answer) and not answer.temporary:
            self._transport.check_stopped()
            return
        asked_s = answer.retry_after_s if isinstance(answer, Answer) else 0.0
        self._transport.pause(max(asked_s, min(0.5 * 2 ** (stalls - 1), 15.0)))

    def _ask(self, location: str) -> tuple[str, int]:
        """Where to go on, and at which byte."""
        answer = self._transport.call(
            "GET",
            location,
            expect=(204, 202, 200, 404, 400, 405),
            doing=self._doing,
            scopes=self._scopes,
        )
        if answer.status not in (204, 202, 200):
            raise SessionLostError(str(answer))
        first, _, last = answer.headers.get("Range", "").removeprefix("bytes=").partition("-")
        if first != "0" or not last.isdigit():
            raise SessionLostError(f"{answer}, without a range that says how far it got")
        reached = 0 if last == "0" else int(last) + 1  # an empty upload is 0-0 too
        return self._location(answer, location), reached

    def _finish(self, location: str, blob: Blob, body: Body | bytes) -> None:
        joint = "&" if "?" in location else "?"
        target = f"{location}{joint}digest={quote(blob.digest)}"
        headers = _OCTETS if body else {"Content-Length": "0"}
        try:
            answer = self._transport.send(
                "PUT", target, scopes=self._scopes, headers=headers, body=body
            )
            if answer.status == 401 and self._transport.renew(self._scopes, answer):
                answer = self._transport.send(
                    "PUT", target, scopes=self._scopes, headers=headers, body=body
                )
        except RegistryError as error:
            if error.temporary and self._arrived(blob):
                return
            if not error.temporary:
                raise
            raise SessionLostError(str(error)) from error
        self._check_finished(answer, blob)

    def _check_finished(self, answer: Answer, blob: Blob) -> None:
        if answer.status in (201, 204):
            kept = answer.headers.get("Docker-Content-Digest", blob.digest)
            if kept != blob.digest:
                raise RegistryError(
                    f"{self._transport.host} keeps blob {blob.digest} under another digest",
                    seen=f"{answer}\nDocker-Content-Digest: {kept}",
                )
            return
        if answer.status == 404 or answer.temporary or answer.code.startswith("DIGEST_"):
            if answer.temporary:
                self._transport.pause(answer.retry_after_s)
            if not self._arrived(blob):
                raise SessionLostError(str(answer))
            return
        raise refusal(answer, self._doing, self._transport.who)

    def _arrived(self, blob: Blob) -> bool:
        answer = self._transport.call(
            "HEAD",
            f"/v2/{self._repository}/blobs/{blob.digest}",
            expect=(200, 404),
            doing=self._doing,
            scopes=self._scopes,
        )
        return answer.status == 200

    def _location(self, answer: Answer, otherwise: str = "") -> str:
        location = answer.headers.get("Location", otherwise)
        if not location:
            raise RegistryError(
                f"{self._transport.host} opened an upload and did not say where", seen=str(answer)
            )
        return location

    def _body(self, blob: Blob, start: int, stop: int, on_sent: Callable[[int], None]) -> Body:
        def produce() -> Iterator[bytes]:
            for at in range(start, stop, _READ_BYTES):
                self._transport.check_stopped()
                chunk = blob.read(at, min(at + _READ_BYTES, stop))
                yield chunk
                on_sent(len(chunk))

        return Body(size_bytes=stop - start, produce=produce)
