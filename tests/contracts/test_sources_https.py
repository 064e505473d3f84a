"""What only web servers do: redirects, no ranges, no ETag, no length."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelferry.artifacts import ModelFile, ResolvedModel
from modelferry.errors import IdentityError, ModelChanged, ModelError, ModelNotFound
from modelferry.sources import open_source, resolve_model
from modelferry.sources.ranges import PART_BYTES, in_order, parts_of
from modelferry.sources.spec import ModelLine, SourceKind
from testbed.certificates import make_certificate
from tests.contracts.range_server import RangeServer, Request, Served, serve
from tests.contracts.source_stores import model_line, storage

BODY = random.Random(1).randbytes(2 * PART_BYTES + 1000)
PATH = "/models/model.onnx"


@pytest.fixture
def server(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RangeServer]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serve(certificate) as state:
        state.objects[PATH] = Served(BODY)
        yield state


def line_of(server: RangeServer, path: str = PATH, query: str = "") -> ModelLine:
    return model_line(SourceKind.HTTPS, path[1:], authority=server.host, query=query)


def resolve(*lines: ModelLine, marker: str | None = None) -> ResolvedModel:
    return resolve_model(lines, storage(), marker=marker, version=None)


def read_all(line: ModelLine, file: ModelFile | None = None) -> bytes:
    file = file or resolve(line).files[0]
    source = open_source(line, storage())
    bodies = in_order(source.read, parts_of(file), connections=source.connections)
    return b"".join(body for _, body in bodies)


def test_reads_by_ranges(server: RangeServer) -> None:
    assert read_all(line_of(server)) == BODY
    ranges = [request.headers["range"] for request in server.requests]
    assert set(ranges[2:]) == {
        f"bytes=0-{PART_BYTES - 1}",
        f"bytes={PART_BYTES}-{2 * PART_BYTES - 1}",
        f"bytes={2 * PART_BYTES}-{len(BODY) - 1}",
    }
    assert ranges[:2] == ["bytes=0-0"] * 2, "once to resolve, once to see whether it has ranges"


def test_a_server_without_ranges_is_read_as_one_stream(server: RangeServer) -> None:
    server.has_ranges = False
    assert open_source(line_of(server), storage()).connections == 1
    server.requests.clear()
    assert read_all(line_of(server)) == BODY
    assert len(server.requests) == 3, "resolve, look for ranges, and one stream"


def test_any_range_can_be_read_without_ranges(server: RangeServer) -> None:
    server.has_ranges = False
    line = line_of(server)
    (file,) = resolve(line).files
    source = open_source(line, storage())
    for start, stop in ((5_000_000, 5_000_100), (10, 20), (20, 30), (0, 5)):
        assert b"".join(source.read(file, start, stop)) == BODY[start:stop]


def test_a_stream_that_breaks_is_taken_up_where_it_broke(server: RangeServer) -> None:
    server.has_ranges = False
    server.fault = lambda request: "reset" if len(server.requests) == 3 else None
    assert read_all(line_of(server)) == BODY
    assert len(server.requests) == 4


def test_a_change_is_seen_without_ranges(server: RangeServer) -> None:
    server.has_ranges = False
    (file,) = resolve(line_of(server)).files
    server.objects[PATH] = Served(BODY[::-1], etag='"2"')
    with pytest.raises(ModelChanged, match="changed while it was read"):
        read_all(line_of(server), file)


@pytest.mark.parametrize("fault", ["reset", "truncate", "short", 503, 429, 500])
def test_a_broken_answer_is_asked_for_again(server: RangeServer, fault: str | int) -> None:
    unbroken = {PART_BYTES, 2 * PART_BYTES}

    def fail_once(request: Request) -> str | int | None:
        if request.start not in unbroken:
            return None
        unbroken.discard(request.start)
        return fault

    server.fault = fail_once
    assert read_all(line_of(server)) == BODY
    assert len(server.requests) == 2 + 3 + 2


def test_a_server_says_when_to_come_again(server: RangeServer) -> None:
    server.headers["Retry-After"] = "3"
    first = [503]
    server.fault = lambda request: first.pop() if request.start and first else None
    started = time.monotonic()
    assert read_all(line_of(server)) == BODY
    assert time.monotonic() - started >= 3


@pytest.mark.parametrize("fault", ["elsewhere", "whole"])
def test_another_range_than_was_asked_for_is_refused(server: RangeServer, fault: str) -> None:
    line = line_of(server)
    (file,) = resolve(line).files
    source = open_source(line, storage())
    assert source.connections > 1
    server.fault = lambda request: fault
    with pytest.raises(ModelError, match="another part than was asked for") as caught:
        list(source.read(file, 100, 200))
    assert caught.value.temporary
    assert "byte 100 was to be first" in caught.value.seen


def test_a_change_that_the_server_does_not_look_for_is_seen(server: RangeServer) -> None:
    server.heeds_if_match = False
    (file,) = resolve(line_of(server)).files
    server.objects[PATH] = Served(BODY[::-1], etag='"2"')
    with pytest.raises(ModelChanged) as caught:
        read_all(line_of(server), file)
    assert 'Its ETag was "1" when it was chosen and is "2" now.' in caught.value.seen


def test_without_etags_the_time_tells(server: RangeServer) -> None:
    server.objects[PATH] = Served(BODY, etag=None)
    (file,) = resolve(line_of(server)).files
    assert file.etag is None
    assert read_all(line_of(server), file) == BODY
    server.objects[PATH] = Served(BODY[::-1], etag=None, modified=1_800_000_000)
    with pytest.raises(ModelChanged, match="It was written at"):
        read_all(line_of(server), file)


def test_a_weak_etag_is_compared_but_not_sent(server: RangeServer) -> None:
    server.objects[PATH] = Served(BODY, etag='W/"1"')
    resolved = resolve(line_of(server))
    assert resolved.version == "1"
    assert read_all(line_of(server), resolved.files[0]) == BODY
    assert all("if-match" not in request.headers for request in server.requests)
    server.objects[PATH] = Served(BODY, etag='W/"2"')
    with pytest.raises(ModelChanged):
        read_all(line_of(server), resolved.files[0])


def test_another_length_is_a_change(server: RangeServer) -> None:
    server.objects[PATH] = Served(BODY, etag=None)
    (file,) = resolve(line_of(server)).files
    server.objects[PATH] = Served(BODY + b"more", etag=None)
    with pytest.raises(ModelChanged, match=f"has {len(BODY) + 4} now"):
        read_all(line_of(server), file)


def test_a_redirect_is_followed_once_and_its_query_stays_behind(
    server: RangeServer, certificate: Path
) -> None:
    with serve(certificate) as front:
        front.redirects["/latest"] = f"{server.address}{PATH}?signed=for-storage"
        line = line_of(front, "/latest", query="token=SECRET")
        (file,) = resolve(line).files
        front.requests.clear()
        source = open_source(line, storage())
        assert b"".join(source.read(file, 0, 100)) == BODY[:100]
        assert b"".join(source.read(file, 100, 200)) == BODY[100:200]
        assert len(front.requests) == 1
    assert file.image_path.name == "latest"
    for request in server.requests:
        assert "SECRET" not in request.path
        assert not {"authorization", "cookie", "referer"} & set(request.headers)


def test_an_expired_redirect_is_asked_for_anew(server: RangeServer, certificate: Path) -> None:
    with serve(certificate) as front:
        front.redirects["/latest"] = f"{server.address}{PATH}?sig=1"
        line = line_of(front, "/latest")
        (file,) = resolve(line).files
        source = open_source(line, storage())
        list(source.read(file, 0, 10))
        server.signature = "sig=2"
        front.redirects["/latest"] = f"{server.address}{PATH}?sig=2"
        assert b"".join(source.read(file, 10, 20)) == BODY[10:20]


def test_a_redirect_away_from_tls_is_refused(server: RangeServer) -> None:
    server.redirects["/down"] = "http://127.0.0.1:1/model.onnx"
    with pytest.raises(ModelError, match="without TLS"):
        resolve(line_of(server, "/down"))


def test_endless_redirects_are_refused(server: RangeServer) -> None:
    server.redirects["/round"] = "/round"
    with pytest.raises(ModelError, match="more than 5 times"):
        resolve(line_of(server, "/round"))


@pytest.mark.parametrize(
    ("status", "kind", "what", "do"),
    [
        (401, IdentityError, "wants a login", "signed address"),
        (403, IdentityError, "refused to read", "signed address"),
        (404, ModelNotFound, "does not exist (404)", "upper and lower case"),
        (410, ModelNotFound, "does not exist (410)", "upper and lower case"),
        (451, ModelError, "(451)", "server's owner"),
    ],
)
def test_refusals(
    server: RangeServer, status: int, kind: type[Exception], what: str, do: str
) -> None:
    server.fault = lambda request: status
    with pytest.raises(kind) as caught:
        resolve(line_of(server, query="sig=SECRET"))
    assert what in str(caught.value)
    assert do in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert type(caught.value) is kind


def test_a_server_that_says_no_length_is_refused(server: RangeServer) -> None:
    server.has_ranges = server.says_length = False
    with pytest.raises(ModelError, match="does not say how large"):
        resolve(line_of(server))


def test_an_untrusted_certificate(
    server: RangeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelferry.sources.resolve._TRIES", 1)
    monkeypatch.setenv("SSL_CERT_FILE", str(make_certificate(tmp_path / "other.pem")))
    with pytest.raises(ModelError, match="TLS certificate is not trusted"):
        resolve(line_of(server))


def test_an_address_where_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelferry.sources.resolve._TRIES", 1)
    nobody = model_line(SourceKind.HTTPS, "x", authority="127.0.0.1:1")
    with pytest.raises(ModelError, match="connection refused"):
        resolve(nobody)
    nowhere = model_line(SourceKind.HTTPS, "x", authority="nowhere.invalid")
    with pytest.raises(ModelError, match="not known to DNS"):
        resolve(nowhere)


def test_a_marker_beside_the_file(server: RangeServer) -> None:
    with pytest.raises(ModelError, match="not complete"):
        resolve(line_of(server), marker="_SUCCESS")
    server.objects["/models/_SUCCESS"] = Served(b"")
    assert resolve(line_of(server), marker="_SUCCESS").files
