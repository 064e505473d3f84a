"""The server that breaks things for the fault tests breaks them as it says."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from testbed.fault_server import Fault, FaultServer, faults_before

DATA = bytes(range(256)) * 1000


class Upstream(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    got: list[bytes]

    def do_GET(self) -> None:
        start, stop = 0, len(DATA)
        if asked := self.headers["Range"]:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, stop = int(first), int(last) + 1
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(stop - start))
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(DATA)}")
        self.send_header("X-Host", self.headers["Host"])
        self.end_headers()
        self.wfile.write(DATA[start:stop])

    def do_PATCH(self) -> None:
        self.got.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002


@pytest.fixture
def server() -> Iterator[FaultServer]:
    handler = type("Handler", (Upstream,), {"got": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as upstream:
        thread = threading.Thread(target=upstream.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        with faults_before(f"http://127.0.0.1:{upstream.server_port}/path") as made:
            made.got = handler.got
            yield made
        upstream.shutdown()
        thread.join()


def ask(
    server: FaultServer, method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(server.host, timeout=5)
    try:
        connection.request(method, "/a/file?q=1", body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_without_a_fault_all_passes_as_it_is(server: FaultServer) -> None:
    assert ask(server) == (200, DATA)
    assert ask(server, "PATCH", b"abc") == (202, b"")
    assert server.got == [b"abc"]
    assert server.passed_bytes == {"GET": len(DATA), "PATCH": 3}
    assert server.address == f"http://{server.host}/path"


def test_a_reset_is_one(server: FaultServer) -> None:
    server.plan(Fault(kind="reset", after_bytes=100_000))
    with pytest.raises(ConnectionResetError):
        ask(server)
    assert ask(server) == (200, DATA)


def test_a_truncated_body_has_the_right_header(server: FaultServer) -> None:
    server.plan(Fault(kind="truncate", after_bytes=100_000))
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(server)
    assert caught.value.partial == DATA[:100_000]


def test_bytes_are_counted_over_requests(server: FaultServer) -> None:
    server.plan(Fault(kind="truncate", after_bytes=len(DATA) + 7))
    assert ask(server) == (200, DATA)
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(server)
    assert caught.value.partial == DATA[:7]


def test_a_flipped_byte(server: FaultServer) -> None:
    server.plan(Fault(kind="flip", after_bytes=70_000))
    _, data = ask(server)
    assert [at for at, (a, b) in enumerate(zip(data, DATA, strict=True)) if a != b] == [70_000]
    server.plan(Fault(kind="flip", method="PATCH", after_bytes=1))
    ask(server, "PATCH", b"abc")
    assert server.got == [b"acc"]


def test_a_short_range_says_so(server: FaultServer) -> None:
    server.plan(Fault(kind="short"))
    assert ask(server, Range="bytes=10-109") == (206, DATA[10:60])
    assert ask(server, Range="bytes=10-109") == (206, DATA[10:110])


@pytest.mark.parametrize("drains", [True, False])
def test_a_status_is_given_without_asking(server: FaultServer, drains: bool) -> None:
    server.plan(Fault(kind="status", method="PATCH", status=503, times=2, drains=drains))
    assert [ask(server, "PATCH", b"abc")[0] for _ in range(3)] == [503, 503, 202]
    assert server.got == [b"abc"]


def test_a_lost_answer_was_carried_out(server: FaultServer) -> None:
    server.plan(Fault(kind="lose-answer", method="PATCH"))
    with pytest.raises(ConnectionResetError):
        ask(server, "PATCH", b"abc")
    assert server.got == [b"abc"]


def test_a_stall_lasts(server: FaultServer) -> None:
    server.plan(Fault(kind="stall", after_bytes=9, stall_s=0.5))
    began = time.monotonic()
    with pytest.raises(OSError, match="reset"):
        ask(server)
    assert 0.5 <= time.monotonic() - began < 20


def test_an_action_happens_in_mid_body_and_only_where_it_belongs(server: FaultServer) -> None:
    happened: list[int] = []
    server.plan(Fault(kind="act", path="other", action=lambda: happened.append(1)))
    server.plan(
        Fault(kind="act", path=r"file\?q", after_bytes=5, action=lambda: happened.append(2))
    )
    assert ask(server) == (200, DATA)
    assert happened == [2]
