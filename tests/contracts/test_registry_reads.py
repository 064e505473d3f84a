"""What the registry client reads, from a registry that misbehaves on purpose, on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from modelferry.errors import RegistryError
from modelferry.registry import client as client_module
from modelferry.values import digest_of
from prove.blob import Bytes
from tests.contracts.misbehaving_registry import (
    REPOSITORY,
    Fault,
    Handler,
    Misbehaving,
    client,
    cut_short,
    hang_up,
    serving,
    status,
)

BLOB = Bytes(bytes(range(256)) * 40)


@pytest.fixture
def server() -> Iterator[Misbehaving]:
    with serving() as made:
        made.blobs[BLOB.digest] = BLOB.data
        yield made


@pytest.fixture
def other() -> Iterator[Misbehaving]:
    with serving() as made:
        yield made


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
    server.manifests[digest_of(b"asked for")] = b"given"
    with pytest.raises(RegistryError, match="has other bytes"):
        client(server).get_manifest(REPOSITORY, digest_of(b"asked for"))


def test_a_manifest_kept_under_another_digest_is_refused(server: Misbehaving) -> None:
    server.faults["PUT"].append(status(201, Docker_Content_Digest=digest_of(b"other")))
    with pytest.raises(RegistryError, match="has other bytes"):
        client(server).put_manifest(REPOSITORY, "v1", b"{}", "application/x")


def short(handler: Handler, _: bytes) -> None:
    """Half of what was asked for, and said so."""
    start, _, last = handler.headers["Range"].removeprefix("bytes=").partition("-")
    stop = int(start) + (int(last) + 1 - int(start)) // 2
    data = BLOB.data[int(start) : stop]
    handler.answer(206, data, Content_Range=f"bytes {start}-{stop - 1}/{BLOB.size_bytes}")


def whole(handler: Handler, _: bytes) -> None:
    handler.answer(200, BLOB.data)


def elsewhere(handler: Handler, _: bytes) -> None:
    handler.answer(206, BLOB.data[:900], Content_Range=f"bytes 0-899/{BLOB.size_bytes}")


@pytest.mark.parametrize("fault", [Handler.on_get, short, cut_short, hang_up, status(503)])
def test_a_range_is_given_whole(server: Misbehaving, fault: Fault) -> None:
    server.faults["GET"].append(fault)
    assert client(server).read_range(REPOSITORY, BLOB.digest, 100, 1000) == BLOB.data[100:1000]


def test_a_long_range_comes_in_pieces(server: Misbehaving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_RANGE_BYTES", 1000)
    assert client(server).read_range(REPOSITORY, BLOB.digest, 5, 5005) == BLOB.data[5:5005]
    assert server.count("GET") == 1 + 5


@pytest.mark.parametrize("fault", [whole, elsewhere])
def test_other_bytes_than_asked_for_are_refused(server: Misbehaving, fault: Fault) -> None:
    server.faults["GET"].append(fault)
    with pytest.raises(RegistryError, match="does not give bytes 100-999"):
        client(server).read_range(REPOSITORY, BLOB.digest, 100, 1000)


def test_a_registry_without_ranges_gives_all_of_a_small_blob(server: Misbehaving) -> None:
    server.faults["GET"].append(whole)
    assert client(server).read_range(REPOSITORY, BLOB.digest, 0, BLOB.size_bytes) == BLOB.data


def test_after_an_answer_that_was_too_long_the_next_one_is_right(server: Misbehaving) -> None:
    def endless(handler: Handler, _: bytes) -> None:
        handler.answer(200, b"x" * ((16 << 20) + 5))

    server.faults["GET"].append(endless)
    registry = client(server)
    with pytest.raises(RegistryError, match="has other bytes"):
        registry.read_blob(REPOSITORY, BLOB.digest)
    assert registry.read_blob(REPOSITORY, BLOB.digest) == BLOB.data


def test_a_mount_that_is_not_allowed_is_no_mount(server: Misbehaving) -> None:
    server.faults["POST"].append(status(403))
    assert client(server).mount_blob(REPOSITORY, BLOB.digest, "team/other") is False


def test_a_blob_that_is_there_in_part_is_refused(server: Misbehaving) -> None:
    registry = client(server)
    assert registry.has_blob(REPOSITORY, BLOB.digest, BLOB.size_bytes)
    with pytest.raises(RegistryError, match="has a part of blob sha256:"):
        registry.has_blob(REPOSITORY, BLOB.digest, BLOB.size_bytes + 1)
