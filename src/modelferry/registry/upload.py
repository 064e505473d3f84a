"""One blob into a repository: in pieces where the registry takes them, else in one request.

A piece is never sent again before the registry was asked how far it got.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from modelferry.errors import FerryError, IdentityError, RegistryError
from modelferry.registry.answers import Answer, refusal
from modelferry.registry.patience import Patience
from modelferry.registry.session import CLOSING_S, Session, SessionLostError
from modelferry.registry.tokens import Scopes
from modelferry.registry.transport import Transport
from modelferry.registry.wire import Body
from modelferry.values import Digest, format_bytes

log = logging.getLogger("modelferry.registry")

MIB = 1 << 20
PIECE_BYTES = (64 * MIB, 16 * MIB, 4 * MIB)
AT_ONCE_BYTES = 1 * MIB  # a smaller blob goes in one request anyway
_READ_BYTES = 256 << 10
_STARTS = 5  # of one blob; distribution's registry begins anew after each break inside a piece
_SPOILT_STARTS = 3
_REFUSED_FORM = (400, 405, 411, 413, 416, 501)
_LOST_CODES = ("DIGEST_INVALID", "SIZE_INVALID", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN")
_BREAKS = 3  # of the line at the same byte: a smaller piece may come through

OnSent = Callable[[int], None]


class Blob(Protocol):
    @property
    def digest(self) -> Digest:
        """Asked for when all bytes are read, so it may wait for a hash taken in the same pass.

        Only a registry that takes nothing but whole blobs (PUT) wants it before the first byte of
        a blob above AT_ONCE_BYTES: that pass must not wait for this reader then.
        """
        ...

    @property
    def size_bytes(self) -> int: ...
    def read(self, start: int, stop: int, /) -> bytes:
        """Goes forward, except that after a failure it goes on where the registry is."""
        ...


class FormRefusedError(Exception):
    """The registry wants smaller pieces than this session was begun with, or none."""


class Uploads:
    """Uploads to one repository; thread-safe. What one learns about forms holds for the next.

    The forms: pieces of each of PIECE_BYTES, all in one PATCH, all in one PUT.
    """

    def __init__(self, transport: Transport, repository: str, scopes: Scopes) -> None:
        self._transport, self._repository, self._scopes = transport, repository, scopes
        self._form = first_form(transport.host)

    def upload(self, blob: Blob, on_sent: OnSent) -> None:
        """`on_sent` counts every byte that goes over the wire, repeated ones too."""
        starts = 1
        while True:
            try:
                return self._send(blob, on_sent)
            except FormRefusedError as refused:
                log.info("%s: %s", self._transport.host, refused)
            except SessionLostError as lost:
                log.warning("%s; from its start again: %s", _named(blob), lost)
                if starts >= (_SPOILT_STARTS if lost.spoilt else _STARTS):
                    raise self._given_up(blob, starts, lost) from lost
                starts += 1

    def session(self) -> Session:
        return Session(self._transport, self._repository, self._scopes)

    def _send(self, blob: Blob, on_sent: OnSent) -> None:
        if blob.size_bytes <= AT_ONCE_BYTES:
            self._put_small(blob, on_sent)
        elif self._form > len(PIECE_BYTES):
            self._put(blob.digest, self._body(blob, 0, blob.size_bytes, on_sent))
        else:
            with self._opened() as session:
                self._send_pieces(session, blob, on_sent)

    @contextmanager
    def _opened(self) -> Iterator[Session]:
        """What is given up is cancelled: the registry would keep it for days."""
        session = self.session().open()
        try:
            yield session
        except BaseException:
            session.cancel()
            raise

    def _put_small(self, blob: Blob, on_sent: OnSent) -> None:
        data = blob.read(0, blob.size_bytes)  # first: who is read may know its digest only then

        def produce() -> Iterator[bytes]:
            yield data
            on_sent(len(data))

        self._put(blob.digest, Body(size_bytes=len(data), produce=produce))

    def _put(self, digest: Digest, body: Body) -> None:
        patience = self._transport.patience()
        while True:
            with self._opened() as session:
                answer = session.put(digest, body)
                if self._is_closed(answer, digest):
                    return
                problem = self._problem(answer)
                session.cancel()
            patience.wait(problem, _asked_s(answer))

    def _send_pieces(self, session: Session, blob: Blob, on_sent: OnSent) -> None:
        patience = self._transport.patience()
        offset = 0
        while offset < blob.size_bytes:
            form = self._form
            if form > len(PIECE_BYTES):
                raise FormRefusedError("it takes no pieces")
            in_one = form == len(PIECE_BYTES)
            size = blob.size_bytes if in_one else max(PIECE_BYTES[form], session.least_bytes)
            stop = min(offset + size, blob.size_bytes)
            # Some limit what has a range to less than what has none.
            content_range = None if in_one and offset == 0 else f"{offset}-{stop - 1}"
            answer = session.patch(self._body(blob, offset, stop, on_sent), content_range)
            if isinstance(answer, Answer) and answer.status in (201, 202, 204):
                offset = stop
                patience.renew()
            else:
                offset = self._go_on(session, answer, offset, form, patience)
        self._close(session, blob)

    def _go_on(
        self,
        session: Session,
        answer: Answer | RegistryError,
        offset: int,
        form: int,
        patience: Patience,
    ) -> int:
        """The byte to go on at after a piece that failed."""
        problem = self._problem(answer)
        refused = isinstance(answer, Answer) and answer.status in _REFUSED_FORM
        if not refused:
            patience.wait(problem, _asked_s(answer))
        try:
            reached = session.reached()
        except SessionLostError as lost:
            if refused:
                self._form = max(self._form, form + 1)
                raise FormRefusedError(problem.what) from lost
            raise
        too_weak = patience.failures >= _BREAKS and form < len(PIECE_BYTES) - 1
        if reached > offset:
            patience.renew()
        elif too_weak or (refused and reached == offset):
            self._form = max(self._form, form + 1)
        log.warning("%s; going on at %s", problem.what, format_bytes(reached))
        return reached

    def _close(self, session: Session, blob: Blob) -> None:
        patience = self._transport.patience()
        digest = blob.digest
        while True:
            answer = session.put(digest)
            if self._is_closed(answer, digest):
                return
            patience.wait(self._problem(answer), _asked_s(answer))

    def _is_closed(self, answer: Answer | RegistryError, digest: Digest) -> bool:
        """Also when only the answer was lost. SessionLostError when what arrived is of no use."""
        if isinstance(answer, Answer) and answer.status in (201, 204):
            kept = answer.headers.get("Docker-Content-Digest", digest)
            if kept != digest:
                raise RegistryError(
                    f"{self._transport.host} keeps blob {digest} under another digest",
                    seen=f"{answer}\nDocker-Content-Digest: {kept}",
                )
            return True
        if self._arrived(digest):
            return True
        if isinstance(answer, Answer) and (answer.status == 416 or answer.code in _LOST_CODES):
            raise SessionLostError(str(answer), spoilt=answer.code == "DIGEST_INVALID")
        return False

    def _problem(self, answer: Answer | RegistryError) -> FerryError:
        """What to raise when it lasts. Raises at once what no waiting mends."""
        if isinstance(answer, RegistryError):
            return answer
        if answer.status == 404:
            raise SessionLostError(str(answer))
        error = refusal(answer, f"push to {self._repository}", self._transport.who)
        if answer.status == 401 and self._transport.renew(self._scopes, answer):
            return IdentityError(
                f"{self._transport.host} takes the token for {self._repository} no more",
                seen=error.seen,
                do=error.do,
                temporary=True,
            )
        if answer.status in _REFUSED_FORM:
            return error
        if not error.temporary:
            raise error
        return error

    def _arrived(self, digest: Digest) -> bool:
        answer = self._transport.call(
            "HEAD",
            f"/v2/{self._repository}/blobs/{digest}",
            expect=(200, 404),
            doing=f"push to {self._repository}",
            scopes=self._scopes,
        )
        return answer.status == 200

    def _body(self, blob: Blob, start: int, stop: int, on_sent: OnSent) -> Body:
        def produce() -> Iterator[bytes]:
            for at in range(start, stop, _READ_BYTES):
                self._transport.check_stopped()
                chunk = blob.read(at, min(at + _READ_BYTES, stop))
                yield chunk
                on_sent(len(chunk))

        if stop - start > PIECE_BYTES[0]:
            return Body(size_bytes=stop - start, produce=produce, answer_s=CLOSING_S)
        return Body(size_bytes=stop - start, produce=produce)

    def _given_up(self, blob: Blob, starts: int, lost: SessionLostError) -> RegistryError:
        return RegistryError(
            f"{self._transport.host} did not take {_named(blob)} for {self._repository} "
            f"in {starts} tries",
            seen=str(lost),
            do="Run again. If it repeats, look at the registry's log and storage.",
        )


def first_form(host: str) -> int:
    """Index into PIECE_BYTES, or its length: all in one PATCH. Only what is known for sure."""
    if host == "ghcr.io":  # a piece may have 4 MiB there, the whole 10 GB
        return len(PIECE_BYTES)
    return 1 if ".dkr.ecr." in host else 0  # Amazon's take parts of 20 MB at the most


def _named(blob: Blob) -> str:
    """Without its digest, which may not be known yet."""
    return f"a blob of {format_bytes(blob.size_bytes)}"


def _asked_s(answer: Answer | RegistryError) -> float:
    return answer.retry_after_s if isinstance(answer, Answer) else 0.0
