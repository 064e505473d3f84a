"""A reverse proxy that passes HTTP through byte by byte, and breaks it where it is told to.

In front of any upstream: Blob storage, S3, an https server, a registry. The upstream sees the
client's own Host header, so that signatures hold and redirects lead back here.
"""

import http.client
import os
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

_CHUNK = 64 << 10
_RESET = struct.pack("ii", 1, 0)  # linger 0: the close is a reset
_HOP_BY_HOP = ("connection", "keep-alive", "proxy-connection", "transfer-encoding", "expect")

Kind = Literal[
    "reset",  # both sides, in the middle of the body
    "truncate",  # the client's side ends orderly, less than the header promised
    "stall",  # nothing goes on for `stall_s`, and then it is reset
    "flip",  # one bit of the byte at `after_bytes`
    "act",  # `action` is called, everything goes on: an object overwritten, a process killed
    "status",  # this answer instead of asking upstream; the body is read when `drains`
    "short",  # the first half of a 206, which says so
    "lose-answer",  # upstream has done it, and nobody hears of it
]
_WHOLE_REQUEST = ("status", "short", "lose-answer")


@dataclass(kw_only=True)
class Fault:
    """Happens when the bodies of the requests it is about reach `after_bytes` in all.

    The body that counts is the request's where it has one, else the answer's.
    """

    kind: Kind
    method: str = "GET"
    path: str = ""  # a regular expression found in the path with its query
    after_bytes: int = 0
    times: int = 1
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    drains: bool = True
    stall_s: float = 3600.0
    action: Callable[[], None] = lambda: None
    seen_bytes: int = 0
    happened: int = 0

    def is_about(self, method: str, path: str) -> bool:
        return method == self.method and re.search(self.path, path) is not None


class BrokenOffError(Exception):
    """The connection is of no use any more; told by the fault that did it."""


@dataclass
class Faults:
    """All of one server; thread-safe. `passed_bytes` counts bodies by method, as the wire had
    them: up for requests with a body, else down."""

    planned: list[Fault] = field(default_factory=list)
    passed_bytes: dict[str, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    stopped: threading.Event = field(default_factory=threading.Event)

    def for_request(self, method: str, path: str) -> Fault | None:
        """A fault of the request as a whole that is due."""
        with self.lock:
            for fault in self.planned:
                due = fault.happened < fault.times and fault.seen_bytes >= fault.after_bytes
                if fault.kind in _WHOLE_REQUEST and due and fault.is_about(method, path):
                    fault.happened += 1
                    return fault
        return None

    def in_chunk(self, method: str, path: str, size: int) -> tuple[Fault, int] | None:
        """The fault due within the next `size` bytes of this request's body, and at which."""
        found: tuple[Fault, int] | None = None
        with self.lock:
            self.passed_bytes[method] = self.passed_bytes.get(method, 0) + size
            for fault in self.planned:
                if not fault.is_about(method, path):
                    continue
                at = fault.after_bytes - fault.seen_bytes
                fault.seen_bytes += size
                due = fault.happened < fault.times and at < size
                if due and found is None and fault.kind not in _WHOLE_REQUEST:
                    fault.happened += 1
                    found = fault, max(0, at)
        return found


class FaultServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, upstream: str, certificate: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        parts = urlsplit(upstream)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
            parts = parts._replace(scheme="https")
        self.upstream = parts.netloc
        self.host = f"127.0.0.1:{self.server_port}"
        self.address = parts._replace(netloc=self.host).geturl()
        self.faults = Faults()

    def plan(self, fault: Fault) -> Fault:
        self.faults.planned.append(fault)
        return fault

    @property
    def passed_bytes(self) -> Mapping[str, int]:
        return self.faults.passed_bytes

    def handle_error(self, request: object, client_address: object) -> None:
        """A side that hangs up is what this server is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultServer  # pyright: ignore[reportIncompatibleVariableOverride]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def relay(self) -> None:
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=600)
        try:
            self._relay(upstream)
        except (BrokenOffError, OSError, http.client.HTTPException):
            self.close_connection = True
        finally:
            upstream.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = relay  # noqa: N815

    def _relay(self, upstream: http.client.HTTPConnection) -> None:
        fault = self.server.faults.for_request(self.command, self.path)
        if fault and fault.kind == "status":
            return self._refuse(fault)
        answer = self._ask(upstream)
        if fault and fault.kind == "lose-answer":
            self._reset()
        return self._answer(answer, halved=fault is not None and answer.status == 206)

    def _ask(self, upstream: http.client.HTTPConnection) -> http.client.HTTPResponse:
        length = int(self.headers.get("Content-Length") or 0)
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in _HOP_BY_HOP:
                upstream.putheader(name, value)
        upstream.endheaders()
        while length:
            chunk = self.rfile.read1(min(length, _CHUNK))
            if not chunk:
                raise BrokenOffError
            self._pass(chunk, upstream.send)
            length -= len(chunk)
        return upstream.getresponse()

    def _answer(self, answer: http.client.HTTPResponse, *, halved: bool) -> None:
        headers = [(n, v) for n, v in answer.getheaders() if n.lower() not in _HOP_BY_HOP]
        left = answer.length
        if halved:
            left = int(answer.headers["Content-Length"]) // 2
            headers = _cut(headers, answer.headers["Content-Range"], left)
        self.send_response_only(answer.status, answer.reason)
        for name, value in headers:
            self.send_header(name, value)
        if left is None:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        counts = not int(self.headers.get("Content-Length") or 0)
        while chunk := answer.read1(_CHUNK if left is None else min(left, _CHUNK)):
            self._pass(chunk, self.wfile.write) if counts else self.wfile.write(chunk)
            left = None if left is None else left - len(chunk)

    def _pass(self, chunk: bytes, send: Callable[[bytes], object]) -> None:
        due = self.server.faults.in_chunk(self.command, self.path, len(chunk))
        if due is None:
            send(chunk)
            return
        fault, at = due
        if fault.kind == "flip":
            send(chunk[:at] + bytes([chunk[at] ^ 1]) + chunk[at + 1 :])
            return
        send(chunk[:at])
        if fault.kind == "act":
            fault.action()
            send(chunk[at:])
            return
        if fault.kind == "stall":
            self.server.faults.stopped.wait(fault.stall_s)
        if fault.kind == "truncate":
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            raise BrokenOffError
        self._reset()

    def _refuse(self, fault: Fault) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        while fault.drains and length:
            length -= len(self.rfile.read1(min(length, _CHUNK)))
        self.send_response_only(fault.status)
        for name, value in fault.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        if length:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        os.close(self.connection.detach())  # socketserver itself would end it in good order
        raise BrokenOffError


def _cut(headers: list[tuple[str, str]], given: str, length: int) -> list[tuple[str, str]]:
    """Of a 206 that has only the first `length` bytes of the range `given`."""
    start, _, size = given.removeprefix("bytes ").partition("-")
    last = int(start) + length - 1
    others = [(n, v) for n, v in headers if n.lower() not in ("content-length", "content-range")]
    told = f"bytes {start}-{last}/{size.partition('/')[2]}"
    return [*others, ("Content-Length", str(length)), ("Content-Range", told)]


@contextmanager
def faults_before(upstream: str, certificate: Path | None = None) -> Iterator[FaultServer]:
    """`upstream`: an http address; its path is kept in the server's `address`, which is an https
    one with a certificate (and its key, in one file)."""
    with FaultServer(upstream, certificate) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.faults.stopped.set()
            server.shutdown()
            thread.join()
