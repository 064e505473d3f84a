"""A registry in memory that misbehaves when told to, on loopback."""

from __future__ import annotations

import json
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from modelferry.registry.access import RegistryAccess
from modelferry.registry.client import Registry
from modelferry.values import Secret, digest_of

REPOSITORY = "team/score"


class Misbehaving(ThreadingHTTPServer):
    """Keeps uploads and manifests in memory. `faults[method]` are carried out one by one, each
    instead of what the request wanted; a fault gets the handler and its full body."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server_port}"
        self.uploads: dict[str, bytearray] = {}
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.faults: dict[str, deque[Callable[[Handler, bytes], None]]] = defaultdict(deque)
        self.largest_patch = 1 << 40
        self.largest_ranged = 1 << 40  # PATCH with a Content-Range
        self.least_piece = 0
        self.uploads_at = ""  # another server's origin
        self.good_tokens: set[str] | None = None  # None: no login wanted
        self.issued = 0
        self.is_registry = True

    def handle_error(self, *_: object) -> None:
        """A client that goes away in mid-answer is what some tests are about."""

    def count(self, method: str) -> int:
        return sum(1 for seen, _, _ in self.seen if seen == method)


class Handler(BaseHTTPRequestHandler):
    server: Misbehaving
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None: ...

    def handle_any(self) -> None:
        server = self.server
        server.seen.append(
            (self.command, self.path, {k.lower(): v for k, v in self.headers.items()})
        )
        if self.path.startswith("/token"):
            return self.give_token()
        if server.good_tokens is not None:
            given_token = (self.headers["Authorization"] or "").removeprefix("Bearer ")
            if given_token not in server.good_tokens:
                self.rfile.read(int(self.headers.get("Content-Length", "0")))
                realm = f'Bearer realm="http://{server.host}/token",service="{server.host}"'
                return self.answer(401, **{"WWW-Authenticate": realm})
        if urlsplit(self.path).path == "/v2/":
            return self.answer(200 if server.is_registry else 404)
        body = b""
        if next(iter(server.faults[self.command]), None) is not keep_a_part_and_hang_up:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if server.faults[self.command]:
            return server.faults[self.command].popleft()(self, body)
        return getattr(self, f"on_{self.command.lower()}")(body)

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = do_DELETE = handle_any

    def answer(self, status: int, content: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def upload_id(self) -> str:
        return urlsplit(self.path).path.rpartition("/")[2]

    def location(self) -> str:
        return f"{self.server.uploads_at}/v2/{REPOSITORY}/blobs/uploads/{self.upload_id()}?state=x"

    def give_token(self) -> None:
        self.server.issued += 1
        token = f"t{self.server.issued}"
        assert self.server.good_tokens is not None
        self.server.good_tokens.add(token)
        self.answer(200, json.dumps({"token": token, "expires_in": 300}).encode())

    def on_post(self, _: bytes) -> None:
        name = f"u{len(self.server.uploads)}"
        self.server.uploads[name] = bytearray()
        self.path = f"/v2/{REPOSITORY}/blobs/uploads/{name}"
        least = str(self.server.least_piece)
        self.answer(202, Location=self.location(), OCI_Chunk_Min_Length=least)

    def on_patch(self, body: bytes) -> None:
        kept = self.server.uploads.get(self.upload_id())
        if kept is None:
            return self.answer(404)
        if ranged := self.headers["Content-Range"]:
            start, _, stop = ranged.partition("-")
            if int(start) != len(kept) or len(body) > self.server.largest_ranged:
                return self.answer(416)
            assert int(stop) - int(start) + 1 == len(body)
        if len(body) > self.server.largest_patch:
            return self.answer(413)
        kept += body
        return self.answer(202, Location=self.location(), Range=f"0-{len(kept) - 1}")

    def on_get(self, _: bytes) -> None:
        path = urlsplit(self.path).path
        name = path.rpartition("/")[2]
        if "/uploads/" in path:
            if name not in self.server.uploads:
                return self.answer(404)
            reached = max(0, len(self.server.uploads[name]) - 1)
            return self.answer(204, Location=self.location(), Range=f"0-{reached}")
        found = (self.server.manifests if "/manifests/" in path else self.server.blobs).get(name)
        if found is None:
            return self.answer(404)
        if asked := self.headers["Range"]:
            start, _, last = asked.removeprefix("bytes=").partition("-")
            piece = found[int(start) : int(last) + 1]
            given = f"bytes {start}-{int(start) + len(piece) - 1}/{len(found)}"
            return self.answer(206, piece, Content_Range=given)
        return self.answer(200, found, **{"Docker-Content-Digest": digest_of(found)})

    on_head = on_get

    def on_put(self, body: bytes) -> None:
        if "/manifests/" in self.path:
            self.server.manifests[self.path.rpartition("/")[2]] = body
            return self.answer(201, **{"Docker-Content-Digest": digest_of(body)})
        kept = self.server.uploads.pop(self.upload_id(), None)
        if kept is None:
            return self.answer(404)
        data = bytes(kept) + body
        wanted = parse_qs(urlsplit(self.path).query)["digest"][0]
        if digest_of(data) != wanted:
            return self.answer(400, b'{"errors": [{"code": "DIGEST_INVALID", "message": "m"}]}')
        self.server.blobs[wanted] = data
        return self.answer(201, **{"Docker-Content-Digest": wanted})

    def on_delete(self, _: bytes) -> None:
        self.server.uploads.pop(self.upload_id(), None)
        self.answer(204)


Fault = Callable[[Handler, bytes], None]


def status(number: int, **headers: str) -> Fault:
    return lambda handler, _: handler.answer(number, **headers)


def hang_up(handler: Handler, _: bytes) -> None:
    handler.close_connection = True


def keep_and_hang_up(handler: Handler, body: bytes) -> None:
    """The piece arrived, and nobody hears of it."""
    handler.server.uploads[handler.upload_id()] += body
    handler.close_connection = True


def keep_a_part_and_hang_up(handler: Handler, _: bytes) -> None:
    handler.server.uploads[handler.upload_id()] += handler.rfile.read(10_000)
    handler.close_connection = True


def forget(handler: Handler, _: bytes) -> None:
    handler.server.uploads.clear()
    handler.answer(404)


def cut_short(handler: Handler, _: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "5000")
    handler.end_headers()
    handler.wfile.write(b"half of it")
    handler.close_connection = True


def client(server: Misbehaving) -> Registry:
    access = RegistryAccess(host=server.host, username="u", password=Secret("p"), plain_http=True)
    return Registry(access, {})


@contextmanager
def serving() -> Iterator[Misbehaving]:
    made = Misbehaving()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()
