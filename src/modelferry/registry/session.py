"""The requests of one upload session, by the distribution specification; none is repeated here."""

from __future__ import annotations

import logging
from urllib.parse import quote

from modelferry.errors import FerryError, RegistryError
from modelferry.registry.answers import Answer
from modelferry.registry.tokens import Scopes
from modelferry.registry.transport import Transport
from modelferry.registry.wire import Body
from modelferry.values import Digest

log = logging.getLogger("modelferry.registry")

CLOSING_S = 300.0  # a registry may move gigabytes before it answers
_OCTETS = {"Content-Type": "application/octet-stream"}
_NOTHING = Body(size_bytes=0, produce=lambda: iter(()), answer_s=CLOSING_S)


class SessionLostError(Exception):
    """The registry does not know the upload any more, or, `spoilt`, holds other bytes than ours."""

    def __init__(self, why: str, *, spoilt: bool = False) -> None:
        super().__init__(why)
        self.spoilt = spoilt


class Session:
    """One upload to one repository. Opened by `open`; its address changes with each answer."""

    def __init__(self, transport: Transport, repository: str, scopes: Scopes) -> None:
        self._transport, self._repository, self._scopes = transport, repository, scopes
        self._doing = f"push to {repository}"
        self._location = ""
        self.least_bytes = 0  # of a piece that is not the last

    def open(self) -> Session:
        answer = self._transport.call(
            "POST",
            f"/v2/{self._repository}/blobs/uploads/",
            expect=(202,),
            doing=self._doing,
            scopes=self._scopes,
            headers={"Content-Length": "0"},
        )
        return self.take_over(answer)

    def take_over(self, answer: Answer) -> Session:
        """The session that a 202 to a POST has opened."""
        self._follow(answer)
        least = answer.headers.get("OCI-Chunk-Min-Length", "")
        self.least_bytes = int(least) if least.isdigit() else 0
        return self

    def cancel(self) -> None:
        """Best effort: what is left over, the registry removes by itself after some days. Many
        want a right to delete for this, which pushing does not need."""
        try:
            answer = self._transport.send("DELETE", self._location, scopes=self._scopes)
        except FerryError as error:
            log.debug("not cancelled: %s", error)
        else:
            log.debug("cancelled upload: %s", answer)

    def patch(self, body: Body, content_range: str | None) -> Answer | RegistryError:
        """The error is a temporary one: nobody knows what has arrived."""
        ranged = {"Content-Range": content_range} if content_range else {}
        answer = self._send("PATCH", self._location, body, ranged)
        if isinstance(answer, Answer) and answer.status in (201, 202, 204):
            self._follow(answer)
        return answer

    def put(self, digest: Digest, body: Body = _NOTHING) -> Answer | RegistryError:
        """Closes the upload, with its last bytes."""
        joint = "&" if "?" in self._location else "?"
        return self._send("PUT", f"{self._location}{joint}digest={quote(digest)}", body)

    def reached(self) -> int:
        """How many bytes the registry holds: it may have kept what it did not confirm."""
        answer = self._transport.call(
            "GET",
            self._location,
            expect=(204, 202, 200, 404, 400, 405, 501),
            doing=self._doing,
            scopes=self._scopes,
        )
        if answer.status not in (204, 202, 200):
            raise SessionLostError(str(answer))
        first, _, last = answer.headers.get("Range", "").removeprefix("bytes=").partition("-")
        if first != "0" or not last.isdigit():
            raise SessionLostError(f"{answer}, without a range that says how far it got")
        self._follow(answer)
        return 0 if last == "0" else int(last) + 1  # an empty upload is 0-0 too

    def _send(
        self, method: str, target: str, body: Body, headers: dict[str, str] | None = None
    ) -> Answer | RegistryError:
        try:
            return self._transport.send(
                method,
                target,
                scopes=self._scopes,
                headers={**_OCTETS, **(headers or {})},
                body=body,
            )
        except RegistryError as error:
            if not error.temporary:
                raise
            return error

    def _follow(self, answer: Answer) -> None:
        self._location = answer.headers.get("Location", self._location)
        if not self._location:
            raise RegistryError(
                f"{self._transport.host} opened an upload and did not say where", seen=str(answer)
            )
