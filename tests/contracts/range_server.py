"""A small https file server with ranges, ETags and redirects that misbehaves when told to."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass
class Served:
    body: bytes
    etag: str | None = '"1"'
    modified: float = 1_700_000_000.0


@dataclass
class Request:
    path: str  # with its query
    headers: dict[str, str]

    @property
    def start(self) -> int:
        """Of the range asked for."""
        return int(self.headers.get("range", "bytes=0-").removeprefix("bytes=").partition("-")[0])


@dataclass
class RangeServer:
    """`fault` looks at each request and names a fault, or a status, or None for a right answer."""

    address: str
    objects: dict[str, Served] = field(default_factory=dict)  # by decoded path
    redirects: dict[str, str] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    error_body: bytes = b""  # of the statuses that `fault` names
    signature: str | None = None  # the query that every request must have
    has_ranges: bool = True
    heeds_if_match: bool = True
    says_length: bool = True
    headers: dict[str, str] = field(default_factory=dict)  # sent with every answer
    fault: Callable[[Request], str | int | None] = lambda request: None

    @property
    def host(self) -> str:
        return urlsplit(self.address).netloc


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: RangeServer

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.path, headers)
        self.state.requests.append(request)
        parts = urlsplit(self.path)
        if location := self.state.redirects.get(parts.path):
            return self._send(302, {"Location": location})
        if self.state.signature is not None and parts.query != self.state.signature:
            return self._send(403)
        fault = self.state.fault(request)  # which may put another object in place
        if isinstance(fault, int):
            return self._send(fault, body=self.state.error_body)
        served = self.state.objects.get(unquote(parts.path))
        if served is None:
            return self._send(404)
        return self._serve(request, served, fault)

    def _serve(self, request: Request, served: Served, fault: str | None) -> None:
        headers = {"Last-Modified": formatdate(served.modified, usegmt=True)}
        if served.etag:
            headers["ETag"] = served.etag
        condition = request.headers.get("if-match")
        if self.state.heeds_if_match and condition not in (None, served.etag):
            return self._send(412)
        body, status, size = served.body, 200, len(served.body)
        if self.state.has_ranges and fault != "whole" and "range" in request.headers:
            if request.start >= size:
                return self._send(416, {"Content-Range": f"bytes */{size}"})
            last = request.headers["range"].rpartition("-")[2]
            stop = min(size, int(last) + 1) if last else size
            if fault == "short":
                stop = max(request.start + 1, stop - 1)
            start = request.start - (fault == "elsewhere")
            body, status = body[start:stop], 206
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        return self._send(status, headers, body, fault)

    def _send(
        self,
        status: int,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        fault: str | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in {**self.state.headers, **(headers or {})}.items():
            self.send_header(name, value)
        if self.state.says_length or status != 200:
            self.send_header("Content-Length", str(len(body)))
        else:
            self.close_connection = True
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault == "truncate":
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        elif fault == "reset":
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            now = struct.pack("ii", 1, 0)  # linger 0: the close is a reset
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
            self.close_connection = True
        elif fault == "flip":
            self.wfile.write(bytes([body[0] ^ 1]) + body[1:])
        else:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that hangs up is no news


@contextmanager
def serve(certificate: Path | None) -> Iterator[RangeServer]:
    """With a certificate https, else http."""
    handler = type("Handler", (_Handler,), {})
    with _Server(("127.0.0.1", 0), handler) as server:
        scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            scheme = "https"
        state = RangeServer(address=f"{scheme}://127.0.0.1:{server.server_port}")
        handler.state = state
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
