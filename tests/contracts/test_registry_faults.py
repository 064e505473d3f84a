"""The registry client against a registry that misbehaves on purpose, on loopback."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator

import pytest

from modelferry.errors import Cancelled, IdentityError, ModelChanged, RegistryError
from modelferry.registry import patience, upload
from modelferry.registry.access import RegistryAccess
from modelferry.registry.client import Registry
from modelferry.values import Digest
from prove.blob import Bytes
from tests.contracts.misbehaving_registry import (
    REPOSITORY,
    Fault,
    Handler,
    Misbehaving,
    client,
    forget,
    hang_up,
    keep_a_part_and_hang_up,
    keep_and_hang_up,
    serving,
    status,
)

KIB = 1 << 10
BLOB = Bytes(bytes(range(256)) * 800)  # 200 KiB: four pieces of 64


@pytest.fixture(autouse=True)
def small_pieces_and_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "PIECE_BYTES", (64 * KIB, 16 * KIB, 4 * KIB))
    monkeypatch.setattr(upload, "AT_ONCE_BYTES", KIB)
    monkeypatch.setattr(patience, "_FIRST_WAIT_S", 0.05)


@pytest.fixture
def server() -> Iterator[Misbehaving]:
    with serving() as made:
        yield made


@pytest.fixture
def other() -> Iterator[Misbehaving]:
    with serving() as made:
        yield made


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


@pytest.mark.parametrize(("largest", "patches"), [(16 * KIB, 1 + 13), (4 * KIB, 2 + 50), (100, 4)])
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


def test_a_registry_that_limits_only_ranges_gets_all_in_one_patch(server: Misbehaving) -> None:
    server.largest_ranged = KIB
    push(server)
    patches = [headers for method, _, headers in server.seen if method == "PATCH"]
    assert "content-range" not in patches[-1]
    assert int(patches[-1]["content-length"]) == BLOB.size_bytes


@pytest.mark.parametrize("number", [405, 501])
def test_a_registry_without_pieces_gets_all_in_one_put(server: Misbehaving, number: int) -> None:
    server.faults["PATCH"].extend([status(number)] * 9)
    server.faults["GET"].extend([status(number)] * 9)
    assert push(server) >= BLOB.size_bytes
    assert (server.count("PATCH"), server.count("PUT")) == (4, 1)


def test_the_least_size_that_a_registry_names_is_kept(server: Misbehaving) -> None:
    server.least_piece = 100 * KIB
    push(server)
    lengths = [int(h["content-length"]) for method, _, h in server.seen if method == "PATCH"]
    assert lengths == [100 * KIB, 100 * KIB]


def test_the_digest_is_asked_for_when_all_bytes_are_read(server: Misbehaving) -> None:
    """It may be known only then: the hash is taken in the same pass."""

    class Late(Bytes):
        furthest = 0

        @property
        def digest(self) -> Digest:
            assert Late.furthest == self.size_bytes
            return super().digest

        def read(self, start: int, stop: int) -> bytes:
            assert start <= Late.furthest
            Late.furthest = max(stop, Late.furthest)
            return super().read(start, stop)

    server.faults["PATCH"].extend([Handler.on_patch, status(500), forget])
    push(server, Late(BLOB.data))
    Late.furthest = 0
    push(server, Late(b"a small one"))


def test_a_line_that_breaks_at_the_same_byte_gets_smaller_pieces(server: Misbehaving) -> None:
    server.faults["PATCH"].extend([hang_up] * 3)
    push(server)
    lengths = [int(h["content-length"]) for method, _, h in server.seen if method == "PATCH"]
    assert lengths[:4] == [64 * KIB, 64 * KIB, 64 * KIB, 16 * KIB]


@pytest.mark.parametrize("form", [0, len(upload.PIECE_BYTES) + 1])
def test_an_upload_whose_source_fails_is_cancelled(server: Misbehaving, form: int) -> None:
    class Changing(Bytes):
        def read(self, start: int, stop: int) -> bytes:
            if start >= 100 * KIB or form:
                raise ModelChanged("it changed")
            return super().read(start, stop)

    registry = client(server)
    registry._uploads_to(REPOSITORY)._form = form
    with pytest.raises(ModelChanged):
        registry.upload_blob(REPOSITORY, Changing(BLOB.data), lambda count: None)
    assert server.uploads == {}
    assert server.count("POST") == server.count("DELETE") == 1


def test_an_upload_that_is_refused_is_cancelled(server: Misbehaving) -> None:
    server.faults["PATCH"].append(status(403))
    with pytest.raises(IdentityError):
        push(server)
    assert (server.uploads, server.count("DELETE")) == ({}, 1)


def test_each_put_that_failed_leaves_no_upload(server: Misbehaving) -> None:
    server.faults["PUT"].extend([status(503), status(503)])
    push(server, Bytes(b"small"))
    assert (server.uploads, server.count("DELETE")) == ({}, 2)


def test_a_lost_upload_starts_again(server: Misbehaving) -> None:
    server.faults["PATCH"].extend([Handler.on_patch, forget])
    push(server)
    assert server.count("POST") == 2


def test_an_upload_that_is_always_lost_ends(server: Misbehaving) -> None:
    server.faults["PATCH"].extend([forget] * 9)
    with pytest.raises(RegistryError, match="in 5 tries"):
        push(server)
    assert server.count("POST") == 5


def test_bytes_that_arrive_wrong_are_sent_again(server: Misbehaving) -> None:
    def flip(handler: Handler, body: bytes) -> None:
        handler.on_patch(bytes([body[0] ^ 1]) + body[1:])

    server.faults["PATCH"].append(flip)
    push(server)
    assert server.count("POST") == 2


def test_bytes_that_always_arrive_wrong_are_given_up(server: Misbehaving) -> None:
    def flip(handler: Handler, body: bytes) -> None:
        handler.on_patch(bytes([body[0] ^ 1]) + body[1:])

    server.faults["PATCH"].extend([flip] * 99)
    with pytest.raises(RegistryError, match="in 3 tries"):
        push(server)
    assert not server.blobs


def test_a_finished_upload_whose_answer_is_lost_is_not_repeated(server: Misbehaving) -> None:
    def finish_and_hang_up(handler: Handler, body: bytes) -> None:
        handler.wfile, wire = type("Nothing", (), {"write": len, "flush": id})(), handler.wfile
        handler.on_put(body)
        handler.wfile, handler.close_connection = wire, True

    server.faults["PUT"].append(finish_and_hang_up)
    assert push(server) == BLOB.size_bytes
    assert (server.count("POST"), server.count("PUT"), server.count("HEAD")) == (1, 1, 1)


def test_a_closing_put_that_fails_is_repeated_without_the_bytes(server: Misbehaving) -> None:
    server.faults["PUT"].extend([status(503), hang_up])
    assert push(server) == BLOB.size_bytes
    assert (server.count("POST"), server.count("PUT")) == (1, 3)


@pytest.mark.parametrize("number", [429, 503])
def test_retry_after_is_kept(server: Misbehaving, number: int) -> None:
    server.faults["POST"].append(status(number, Retry_After="2"))
    server.faults["PATCH"].append(status(number, Retry_After="2"))
    began = time.monotonic()
    push(server)
    assert time.monotonic() - began >= 4


def test_a_registry_that_stays_down_is_given_up(server: Misbehaving) -> None:
    registry = client(server)
    registry.check_push(REPOSITORY)
    registry._transport.lasting_s = 2.0
    server.faults["POST"].extend([status(503)] * 99)
    with pytest.raises(RegistryError, match="HTTP 503"):
        registry.upload_blob(REPOSITORY, BLOB, lambda _: None)
    assert 3 <= server.count("POST") <= 8


def test_a_registry_that_goes_for_good_in_mid_upload_is_given_up(server: Misbehaving) -> None:
    registry = client(server)
    registry.check_push(REPOSITORY)
    registry._transport.lasting_s = 2.0
    server.faults["PATCH"].extend([Handler.on_patch, *[hang_up] * 99])
    server.faults["GET"].extend([hang_up] * 99)
    with pytest.raises(RegistryError, match="cannot be reached"):
        registry.upload_blob(REPOSITORY, BLOB, lambda _: None)


def test_a_token_that_is_refused_for_ever_in_mid_upload_is_an_identity_error(
    server: Misbehaving,
) -> None:
    server.good_tokens = set()
    registry = client(server)
    registry.check_push(REPOSITORY)
    registry._transport.lasting_s = 2.0
    wants = {"WWW-Authenticate": f'Bearer realm="http://{server.host}/token"'}
    server.faults["PATCH"].extend([status(401, **wants)] * 99)
    with pytest.raises(IdentityError, match="takes the token for team/score no more"):
        registry.upload_blob(REPOSITORY, BLOB, lambda _: None)


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


def test_stopping_ends_an_upload_that_waits(server: Misbehaving) -> None:
    server.faults["PATCH"].append(status(503, Retry_After="60"))
    registry = client(server)
    timer = threading.Timer(0.5, registry.stop)
    timer.start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        registry.upload_blob(REPOSITORY, BLOB, lambda _: None)
    timer.join()
    assert time.monotonic() - began < 30


def test_no_query_is_ever_shown(server: Misbehaving) -> None:
    server.faults["PATCH"].extend([status(409)])
    with pytest.raises(RegistryError) as caught:
        push(server)
    assert "state=x" not in str(caught.value)
    assert re.search(
        r"PATCH http://127\.0\.0\.1:\d+/v2/team/score/blobs/uploads/u0", str(caught.value)
    )


def test_nobody_there_is_soon_said_with_the_address() -> None:
    access = RegistryAccess(host="127.0.0.1:1", username=None, password=None, plain_http=True)
    began = time.monotonic()
    with pytest.raises(RegistryError, match=r"127\.0\.0\.1:1 cannot be reached") as caught:
        Registry(access, {}).check_push(REPOSITORY)
    assert "registry" in caught.value.do
    assert time.monotonic() - began < 20


def test_an_address_that_is_no_registry_is_named(server: Misbehaving) -> None:
    server.is_registry = False
    with pytest.raises(RegistryError, match="answer as a registry does"):
        client(server).check_push(REPOSITORY)
