"""What every kind of storage must do alike, on a real one of each kind."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import pytest

from modelferry.artifacts import ResolvedModel
from modelferry.errors import IdentityError, ModelChanged, ModelError, ModelNotFound
from modelferry.plan.spec import ModelPlan
from modelferry.sources import open_source, resolve_model
from modelferry.sources.open_model import OpenModel
from modelferry.sources.spec import ModelLine, SourceKind
from modelferry.stages.fetch import open_model, put_on_disk
from tests.contracts.source_stores import Store, open_store

# A plain web server cannot be listed, and a file has no credential.
LISTED = pytest.mark.parametrize(
    "store", [SourceKind.AZBLOB, SourceKind.S3, SourceKind.FILE], indirect=True, ids=str
)
GUARDED = pytest.mark.parametrize(
    "store", [SourceKind.AZBLOB, SourceKind.S3, SourceKind.HTTPS], indirect=True, ids=str
)


@pytest.fixture(params=list(SourceKind), ids=str)
def store(
    request: pytest.FixtureRequest,
    unique: str,
    tmp_path: Path,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Store]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with open_store(
        request.param,
        unique,
        folder=tmp_path / "workspace",
        certificate=certificate,
        testbed=lambda: request.getfixturevalue("testbed"),
    ) as opened:
        yield opened


def resolve(store: Store, *lines: ModelLine, marker: str | None = None) -> ResolvedModel:
    return resolve_model(
        lines, store.access, marker=marker, version=None, workspace=store.workspace
    )


def fetch(
    store: Store,
    folder: Path,
    *lines: ModelLine,
    resolved: ResolvedModel | None = None,
    again: Callable[[], ResolvedModel] | None = None,
) -> OpenModel:
    plan = ModelPlan(
        lines=lines, access=store.access, version=None, marker=None, sha256=(), in_context=False
    )
    model = open_model(
        plan,
        resolved or resolve(store, *lines),
        resolve=again or (lambda: resolve(store, *lines)),
        workspace=store.workspace,
    )
    return put_on_disk(model, folder)


def contents(model: OpenModel) -> dict[str, bytes]:
    assert {copy.path.stat().st_mode & 0o777 for copy in model.on_disk} == {0o600}
    return {str(copy.file.image_path): copy.path.read_bytes() for copy in model.on_disk}


def test_one_object(store: Store, tmp_path: Path) -> None:
    store.put("fraud/v3/model.onnx", b"weights")
    line = store.line("fraud/v3/model.onnx")
    resolved = resolve(store, line)
    (file,) = resolved.files
    assert file.image_path == PurePosixPath("/model/model.onnx")
    assert file.uri == line.uri
    assert (file.size_bytes, file.source_line) == (7, 1)
    assert file.etag
    assert file.modified is not None
    assert resolved.version == file.etag.strip('"')
    assert file.uri in resolved.reasons[0]
    assert contents(fetch(store, tmp_path / "out", line)) == {"/model/model.onnx": b"weights"}


def test_several_lines(store: Store, tmp_path: Path) -> None:
    store.put("a.onnx", b"aa")
    store.put("d/b.txt", b"b")
    lines = (store.line("a.onnx", number=1), store.line("d/b.txt", number=2))
    assert contents(fetch(store, tmp_path / "out", *lines)) == {
        "/model/a.onnx": b"aa",
        "/model/b.txt": b"b",
    }


def test_20_mib_are_equal_to_the_byte(store: Store, tmp_path: Path) -> None:
    body = random.Random(4).randbytes(20 * 1024 * 1024 + 17)
    store.put("big.bin", body)
    fetched = contents(fetch(store, tmp_path / "out", store.line("big.bin")))
    assert fetched == {"/model/big.bin": body}


def test_any_range_can_be_read_again(store: Store) -> None:
    store.put("data.bin", bytes(range(256)))
    line = store.line("data.bin")
    (file,) = resolve(store, line).files
    source = open_source(line, store.access, workspace=store.workspace)
    for start, stop in ((250, 256), (0, 1), (100, 200), (100, 200)):
        assert b"".join(source.read(file, start, stop)) == bytes(range(start, stop))


def test_an_empty_object(store: Store, tmp_path: Path) -> None:
    store.put("empty.bin", b"")
    fetched = fetch(store, tmp_path / "out", store.line("empty.bin"))
    assert contents(fetched) == {"/model/empty.bin": b""}


NAMES = [
    "a b.bin", "ünï-€-模型.bin", "100%.bin", "pct%20x.bin", "plus+and&=.bin", "quote'\".bin",
    "semi;colon,@!$().bin", "#hash.bin", "q?mark.bin", "tilde~^`.bin",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_are_taken_as_they_are(store: Store, tmp_path: Path, name: str) -> None:
    store.put(f"folder {name}/{name}", name.encode())
    line = store.line(f"folder {name}/{name}")
    assert contents(fetch(store, tmp_path / "out", line)) == {f"/model/{name}": name.encode()}


def test_a_missing_object(store: Store) -> None:
    store.put("model.onnx", b"x")
    with pytest.raises(ModelNotFound, match="does not exist") as caught:
        resolve(store, store.line("modle.onnx"))
    assert store.line("modle.onnx").uri in caught.value.what
    assert caught.value.seen
    assert "`model`" in caught.value.do
    if store.lists:
        assert "model.onnx" in caught.value.seen, "the nearest name is shown"


@GUARDED
def test_a_wrong_credential(store: Store) -> None:
    assert store.wrong_access
    store.put("model.onnx", b"x")
    line = store.line("model.onnx", wrong=True)
    with pytest.raises(IdentityError) as caught:
        resolve_model((line,), store.wrong_access, marker=None, version=None)
    assert caught.value.status == 3
    assert caught.value.do
    assert "sig=" not in str(caught.value)


def test_an_object_that_changed_is_never_read_as_the_old_one(store: Store) -> None:
    store.put("model.onnx", b"first!")
    line = store.line("model.onnx")
    (file,) = resolve(store, line).files
    store.put("model.onnx", b"second")
    (now,) = resolve(store, line).files
    assert now.etag != file.etag
    with pytest.raises(ModelChanged) as caught:
        list(open_source(line, store.access, workspace=store.workspace).read(file, 0, 6))
    assert str(file.etag) in caught.value.seen


def test_a_change_before_the_fetch_starts_it_again(store: Store, tmp_path: Path) -> None:
    store.put("model.onnx", b"first!")
    line = store.line("model.onnx")
    stale = resolve(store, line)
    store.put("model.onnx", b"second!")
    fetched = fetch(store, tmp_path / "out", line, resolved=stale)
    assert contents(fetched) == {"/model/model.onnx": b"second!"}
    assert fetched.resolved != stale


def test_a_source_that_never_stands_still_is_given_up(store: Store, tmp_path: Path) -> None:
    store.put("model.onnx", b"0")
    line = store.line("model.onnx")
    calls: list[ResolvedModel] = []

    def resolve_and_change() -> ResolvedModel:
        calls.append(resolve(store, line))
        store.put("model.onnx", b"0" * (len(calls) + 1))
        return calls[-1]

    with pytest.raises(ModelChanged) as caught:
        fetch(
            store, tmp_path / "out", line, resolved=resolve_and_change(), again=resolve_and_change
        )
    assert len(calls) == 3, "resolved once, and at most twice again"
    assert str(calls[-1].files[0].etag) in caught.value.seen
    assert list((tmp_path / "out").iterdir()) == []


@LISTED
def test_a_folder(store: Store, tmp_path: Path) -> None:
    for name in ("a", "sub/b", "sub/deep/c"):
        store.put(f"m/v1/{name}", name.encode())
    store.put("m/v10/other", b"no")
    fetched = contents(fetch(store, tmp_path / "out", store.line("m/v1/")))
    assert fetched == {
        "/model/a": b"a",
        "/model/sub/b": b"sub/b",
        "/model/sub/deep/c": b"sub/deep/c",
    }


@LISTED
def test_an_empty_folder(store: Store) -> None:
    store.put("m/v1/a", b"a")
    with pytest.raises(ModelNotFound, match="nothing below 'm/v2/'"):
        resolve(store, store.line("m/v2/"))


@LISTED
def test_a_glob(store: Store, tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx", "b.txt", "sub/c.onnx"):
        store.put(f"m/{name}", b"x")
    resolved = resolve(store, store.line("m/*.onnx"))
    assert [file.image_path.name for file in resolved.files] == ["a.onnx", "b.onnx"]
    with pytest.raises(ModelNotFound, match=r"nothing matches '\*\.bin'"):
        resolve(store, store.line("m/*.bin"))


@LISTED
def test_latest_and_why(store: Store) -> None:
    for version in ("v1.9.0", "v1.10.0", "v1.2.0"):
        store.put(f"m/{version}/model.onnx", version.encode())
    resolved = resolve(store, store.line("m/{latest}/model.onnx"))
    assert [file.uri for file in resolved.files] == [store.line("m/v1.10.0/model.onnx").uri]
    assert resolved.version == "v1.10.0"
    assert resolved.reasons[0].startswith("{latest}: v1.10.0 of 3 versions (v1.9.0, v1.2.0)")


@LISTED
def test_no_versions(store: Store) -> None:
    with pytest.raises(ModelNotFound, match="finds no versions"):
        resolve(store, store.line("m/{latest}/model.onnx"))


@LISTED
def test_a_marker(store: Store) -> None:
    store.put("m/v1/model.onnx", b"1")
    store.put("m/v1/_SUCCESS", b"")
    store.put("m/v2/model.onnx", b"2")
    latest = resolve(store, store.line("m/{latest}/"), marker="_SUCCESS")
    assert [file.image_path.name for file in latest.files] == ["model.onnx"]
    assert latest.version == "v1"
    for key in ("m/v2/", "m/v2/model.onnx", "m/v2/*"):
        with pytest.raises(ModelError, match="not complete") as caught:
            resolve(store, store.line(key), marker="_SUCCESS")
        assert "m/v2/_SUCCESS" in caught.value.seen
    assert resolve(store, store.line("m/v1/model.onnx"), marker="_SUCCESS").files
