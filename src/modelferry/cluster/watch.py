"""A watch: the changes of one kind as they happen, until the server ends it or `stop`."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import urllib3
from urllib3.exceptions import HTTPError

from modelferry.cluster.transport import Refused, Transport
from modelferry.errors import RolloutError

# A watch is asked for anew so often: a connection that died silently costs no more than this.
_LIFE_S = 15
_LATE_S = 3  # the server's word that it ends may take so long


class Watch:
    """Iterate once, in one thread. Raises as any call of the cluster; Refused with code 410 when
    `version` is too old to go on from."""

    def __init__(self, transport: Transport, path: str, version: str) -> None:
        self._transport, self._path = transport, path
        self.version = version  # where a successor goes on
        self._response: urllib3.BaseHTTPResponse | None = None
        self._stopped = threading.Event()

    def stop(self) -> None:
        """From another thread: ends the iteration, also one that waits for the server."""
        self._stopped.set()
        response = self._response
        if response is not None:
            with suppress(ValueError, RuntimeError, OSError):  # it ended by itself meanwhile
                response.shutdown()

    def __iter__(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        query = (
            ("watch", "true"),
            ("resourceVersion", self.version),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", str(_LIFE_S)),
        )
        try:
            with self._transport.open(
                "GET", self._path, query=query, read_s=_LIFE_S + _LATE_S
            ) as answer:
                self._response = answer
                if self._stopped.is_set():  # before there was a response to shut down
                    return
                for line in self._lines(answer):
                    if self._stopped.is_set():
                        return
                    yield from self._event(self._transport.parsed(line))
        except RolloutError:
            if not self._stopped.is_set():
                raise
        finally:
            self._response = None

    def _event(self, event: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        kind, body = event["type"], event["object"]
        if kind == "ERROR":
            what = f"the cluster ended a watch: {body.get('message')}"
            raise Refused(what, code=body.get("code", 500), status=body)
        self.version = body["metadata"]["resourceVersion"]
        if kind != "BOOKMARK":
            yield kind, body

    def _lines(self, answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        """A line that the end of the connection cut off is left out: the next watch brings it."""
        rest = b""
        try:
            for chunk in answer.stream(64 * 1024, decode_content=True):
                *whole, rest = (rest + chunk).split(b"\n")
                yield from filter(None, whole)
        except (HTTPError, OSError):
            if not self._stopped.is_set():  # else it is our own end, and no sign of the server's
                raise
