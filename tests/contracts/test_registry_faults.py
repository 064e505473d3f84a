"""The registry client against a registry that misbehaves on purpose, on loopback."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from modelferry.errors import Cancelled, IdentityError, RegistryError
from modelferry.registry import upload
from modelferry.registry.access import RegistryAccess
from modelferry.registry.client import Registry
from modelferry.values import Digest, Secret

KIB = 1 << 10
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
        self.answer(202, Location=self.location())

    def on_patch(self, body: bytes) -> None:
        kept = self.server.uploads.get(self.upload_id())
        if kept is None:
            return self.answer(404)
        start, _, stop = self.headers["Content-Range"].partition("-")
        if int(start) != len(kept):
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
        return self.answer(200, found, **{"Docker-Content-Digest": sha(found)})

    on_head = on_get

    def on_put(self, body: bytes) -> None:
        if "/manifests/" in self.path:
            self.server.manifests[self.path.rpartition("/")[2]] = body
            return self.answer(201, **{"Docker-Content-Digest": sha(body)})
        kept = self.server.uploads.pop(self.upload_id(), None)
        if kept is None:
            return self.answer(404)
        data = bytes(kept) + body
        wanted = parse_qs(urlsplit(self.path).query)["digest"][0]
        if sha(data) != wanted:
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


def sha(data: bytes) -> Digest:
    return Digest(f"sha256:{hashlib.sha256(data).hexdigest()}")


@dataclass(frozen=True)
class Bytes:
    data: bytes

    @property
    def digest(self) -> Digest:
        return sha(self.data)

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def read(self, start: int, stop: int) -> bytes:
        return self.data[start:stop]


BLOB = Bytes(bytes(range(256)) * 800)  # 200 KiB: four pieces of 64


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "PIECE_BYTES", (64 * KIB, 16 * KIB, 4 * KIB))
    monkeypatch.setattr(upload, "AT_ONCE_BYTES", KIB)


@pytest.fixture
def server() -> Iterator[Misbehaving]:
    yield from serving()


@pytest.fixture
def other() -> Iterator[Misbehaving]:
    yield from serving()


def serving() -> Iterator[Misbehaving]:
    made = Misbehaving()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def client(server: Misbehaving) -> Registry:
    access = RegistryAccess(host=server.host, username="u", password=Secret("p"), plain_http=True)
    return Registry(access, {})


def push(server: Misbehaving, blob: Bytes = BLOB) -> int:
    """The bytes sent; the blob must have arrived whole."""
    sent: list[int] = []
    client(server).upload_blob(REPOSITORY, blob, sent.append)
    assert server.blobs[blob.digest] == blob.data
    return sum(sent)


def test_a_good_registry_gets_each_byte_once(server: Misbehaving) -> None:
    assert push(server) == BLOB.size_bytes
    assert [seen for seen, path, _ in server.seen if "/blobs/" in path] == [
        "POST",
        *["PATCH"] * 4,
        "PUT",
    ]
    assert all("transfer-encoding" not in headers for _, _, headers in server.seen)


def test_a_small_blob_goes_in_one_request(server: Misbehaving) -> None:
    push(server, Bytes(b"config"))
    assert (server.count("PATCH"), server.count("PUT")) == (0, 1)


@pytest.mark.parametrize(
    ("fault", "resent"),
    [
        (keep_and_hang_up, 0),  # replayed blindly, it would be there twice
        (keep_a_part_and_hang_up, 64 * KIB - 10_000),
        (hang_up, 64 * KIB),
        (status(500), 64 * KIB),
    ],
)
def test_an_interrupted_piece_goes_on_where_the_registry_is(
    server: Misbehaving, fault: Fault, resent: int
) -> None:
    server.faults["PATCH"].extend([Handler.on_patch, fault])
    sent = push(server)
    assert server.count("POST") == 1
    assert BLOB.size_bytes <= sent <= BLOB.size_bytes + resent


def test_a_token_that_dies_in_mid_upload_is_replaced(server: Misbehaving) -> None:
    server.good_tokens = set()

    def kill_tokens(handler: Handler, body: bytes) -> None:
        handler.on_patch(body)
        assert handler.server.good_tokens is not None
        handler.server.good_tokens.clear()

    server.faults["PATCH"].append(kill_tokens)
    push(server)
    assert (server.issued, server.count("POST")) == (2, 1)


def test_a_registry_that_never_lets_us_in_ends_as_an_identity_error(server: Misbehaving) -> None:
    server.faults["POST"].extend([status(403)] * 3)
    with pytest.raises(IdentityError, match=r"refuses us the right to push to team/score"):
        push(server)
    assert server.count("POST") == 1


@pytest.mark.parametrize(("largest", "patches"), [(16 * KIB, 1 + 13), (4 * KIB, 2 + 50), (100, 3)])
def test_pieces_shrink_to_what_the_registry_takes(
    server: Misbehaving, largest: int, patches: int
) -> None:
    server.largest_patch = largest
    push(server)
    assert server.count("PATCH") == patches
    assert bool(server.uploads) is False


def test_what_was_learnt_about_sizes_holds_for_the_next_blob(server: Misbehaving) -> None:
    server.largest_patch = 4 * KIB
    registry = client(server)
    registry.upload_blob(REPOSITORY, BLOB, lambda _: None)
    before = server.count("PATCH")
    registry.upload_blob(REPOSITORY, Bytes(BLOB.data + b"x"), lambda _: None)
    assert server.count("PATCH") - before == 51


def test_a_lost_upload_starts_again(server: Misbehaving) -> None:
    server.faults["PATCH"].extend([Handler.on_patch, forget])
    push(server)
    assert server.count("POST") == 2


def test_an_upload_that_is_always_lost_ends(server: Misbehaving) -> None:
    server.faults["PATCH"].extend([forget] * 9)
    with pytest.raises(RegistryError, match="in 3 tries"):
        push(server)
    assert server.count("POST") == 3


def test_bytes_that_arrive_wrong_are_sent_again(server: Misbehaving) -> None:
    def flip(handler: Handler, body: bytes) -> None:
        handler.on_patch(bytes([body[0] ^ 1]) + body[1:])

    server.faults["PATCH"].append(flip)
    push(server)
    assert server.count("POST") == 2


def test_a_finished_upload_whose_answer_is_lost_is_not_repeated(server: Misbehaving) -> None:
    def finish_and_hang_up(handler: Handler, body: bytes) -> None:
        handler.wfile, wire = type("Nothing", (), {"write": len, "flush": id})(), handler.wfile
        handler.on_put(body)
        handler.wfile, handler.close_connection = wire, True

    server.faults["PUT"].append(finish_and_hang_up)
    assert push(server) == BLOB.size_bytes
    assert (server.count("POST"), server.count("PUT"), server.count("HEAD")) == (1, 1, 1)


@pytest.mark.parametrize("number", [429, 503])
def test_retry_after_is_kept(server: Misbehaving, number: int) -> None:
    server.faults["POST"].append(status(number, Retry_After="2"))
    server.faults["PATCH"].append(status(number, Retry_After="2"))
    began = time.monotonic()
    push(server)
    assert time.monotonic() - began >= 4


def test_a_registry_that_stays_down_is_given_up(
    server: Misbehaving, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = client(server)
    pauses: list[float] = []
    monkeypatch.setattr(registry._transport, "pause", pauses.append)
    server.faults["POST"].extend([status(503)] * 99)
    with pytest.raises(RegistryError, match="HTTP 503"):
        registry.upload_blob(REPOSITORY, BLOB, lambda _: None)
    assert server.count("POST") == 7
    assert 10 < sum(pauses) < 60


def test_another_host_gets_the_bytes_and_never_the_token(
    server: Misbehaving, other: Misbehaving
) -> None:
    server.good_tokens = set()
    server.uploads_at = f"http://{other.host}"
    other.uploads = server.uploads
    other.blobs = server.blobs
    other.uploads_at = server.uploads_at
    push(server)
    assert other.count("PATCH") == 4
    assert all("authorization" not in headers for _, _, headers in other.seen)
    assert any("authorization" in headers for _, _, headers in server.seen)


def test_a_redirected_download_leaves_the_token_behind(
    server: Misbehaving, other: Misbehaving
) -> None:
    server.good_tokens = set()
    config = Bytes(b'{"a": 1}')
    other.blobs[config.digest] = config.data
    url = f"http://{other.host}/v2/{REPOSITORY}/blobs/{config.digest}?sig=s"
    server.faults["GET"].append(status(307, Location=url))
    assert client(server).read_blob(REPOSITORY, config.digest) == config.data
    assert [headers.get("authorization") for _, _, headers in other.seen] == [None]


def test_an_answer_cut_short_is_asked_for_again(server: Misbehaving) -> None:
    data = b'{"schemaVersion": 2}'
    server.manifests["v1"] = data
    server.faults["GET"].append(cut_short)
    stored = client(server).get_manifest(REPOSITORY, "v1")
    assert stored is not None
    assert stored.data == data


def test_a_manifest_with_other_bytes_than_its_digest_is_refused(server: Misbehaving) -> None:
    server.manifests[sha(b"asked for")] = b"given"
    with pytest.raises(RegistryError, match="has other bytes"):
        client(server).get_manifest(REPOSITORY, sha(b"asked for"))


def test_a_manifest_kept_under_another_digest_is_refused(server: Misbehaving) -> None:
    server.faults["PUT"].append(status(201, Docker_Content_Digest=sha(b"other")))
    with pytest.raises(RegistryError, match="has other bytes"):
        client(server).put_manifest(REPOSITORY, "v1", b"{}", "application/x")


def test_stopping_ends_an_upload_that_waits(server: Misbehaving) -> None:
    server.faults["PATCH"].append(status(503, Retry_After="60"))
    registry = client(server)
    timer = threading.Timer(0.5, registry.stop)
    timer.start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        registry.upload_blob(REPOSITORY, BLOB, lambda _: None)
    timer.join()
    assert time.monotonic() - began < 5


def test_no_query_is_ever_shown(server: Misbehaving) -> None:
    server.faults["PATCH"].extend([status(409)])
    with pytest.raises(RegistryError) as caught:
        push(server)
    assert "state=x" not in str(caught.value)
    assert re.search(
        r"PATCH http://127\.0\.0\.1:\d+/v2/team/score/blobs/uploads/u0", str(caught.value)
    )


def test_nobody_there_is_said_with_the_address() -> None:
    access = RegistryAccess(host="127.0.0.1:1", username=None, password=None, plain_http=True)
    with pytest.raises(RegistryError, match=r"127\.0\.0\.1:1 cannot be reached") as caught:
        Registry(access, {}).check_push(REPOSITORY)
    assert "registry" in caught.value.do


def test_an_address_that_is_no_registry_is_named(server: Misbehaving) -> None:
    server.is_registry = False
    with pytest.raises(RegistryError, match="answer as a registry does"):
        client(server).check_push(REPOSITORY)
