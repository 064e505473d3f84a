import hashlib
import io
import tarfile
import time
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelferry.artifacts import ModelFile
from modelferry.image.layer import (
    ALONE_FROM_BYTES,
    BUNDLE_BYTES,
    MOST_LAYERS,
    Folder,
    LayerFile,
    LayerView,
    Piece,
    make_layer,
    plan_layers,
)

GIB = 1 << 30


CONTENTS: dict[ModelFile, bytes] = {}


def file(path: str, data: bytes, *folders: Folder) -> LayerFile:
    made = sized(path, len(data), *folders)
    CONTENTS[made.file] = data
    return made


def sized(path: str, size: int, *folders: Folder) -> LayerFile:
    """Of zeros, as far as anybody asks."""
    source = ModelFile(
        uri=f"s3://bucket{path}",
        image_path=PurePosixPath(path),
        size_bytes=size,
        etag=None,
        version_id=None,
        modified=None,
        source_line=len(CONTENTS),
    )
    return LayerFile(path=PurePosixPath(path), folders=folders, file=source)


def content(piece: Piece) -> bytes:
    if piece.file is None:
        return piece.computed
    if piece.file in CONTENTS:
        return CONTENTS[piece.file][piece.start : piece.stop]
    return bytes(piece.stop - piece.start)


def read(view: LayerView, start: int, stop: int) -> bytes:
    return b"".join(map(content, view.pieces(start, stop)))


def whole(view: LayerView) -> bytes:
    return b"".join(map(content, view.pieces()))


def opened(view: LayerView) -> tarfile.TarFile:
    return tarfile.open(fileobj=io.BytesIO(whole(view)), mode="r:")


def test_a_tar_reader_finds_the_files_as_they_were_given() -> None:
    view = make_layer((file("/model/a.onnx", b"A" * 1000), file("/model/empty", b"")))
    with opened(view) as archive:
        entries = archive.getmembers()
        assert [entry.name for entry in entries] == ["model/a.onnx", "model/empty"]
        assert archive.extractfile("model/a.onnx").read() == b"A" * 1000
        for entry in entries:
            found = (entry.mode, entry.uid, entry.gid, entry.mtime, entry.uname, entry.isreg())
            assert found == (0o644, 0, 0, 0, "", True)


def test_parents_come_first_once_and_with_their_own_metadata() -> None:
    home = Folder(path=PurePosixPath("/root"), mode=0o700, uid=7, gid=3_000_000, mtime_s=1234567)
    made = Folder(path=PurePosixPath("/root/models"))
    view = make_layer(
        (file("/root/models/a", b"a", home, made), file("/root/models/b", b"b", home, made))
    )
    with opened(view) as archive:
        found = [(e.name, e.isdir(), e.mode, e.uid, e.gid, e.mtime) for e in archive]
    assert found == [
        ("root", True, 0o700, 7, 3_000_000, 1234567),
        ("root/models", True, 0o755, 0, 0, 0),
        ("root/models/a", False, 0o644, 0, 0, 0),
        ("root/models/b", False, 0o644, 0, 0, 0),
    ]


@pytest.mark.parametrize(
    "path",
    [
        "/modèles/größe.bin",
        "/" + "d" * 99,
        "/" + "d" * 100,
        "/" + "deep/" * 40 + "file",
        "/" + "é" * 50 + "/x",
    ],
)
def test_long_and_foreign_names_survive(path: str) -> None:
    with opened(make_layer((file(path, b"x"),))) as archive:
        assert archive.getnames() == [path[1:]]


def test_pax_is_used_only_where_ustar_ends() -> None:
    plain = make_layer((file("/" + "n" * 100, b""),))
    pax = make_layer((file("/" + "n" * 101, b""),))
    assert plain.size_bytes == 512 + 1024
    assert pax.size_bytes == 512 + 512 + 512 + 1024


@pytest.mark.parametrize("size", [8 * GIB - 1, 8 * GIB, 9 * GIB + 1])
def test_sizes_around_eight_gib_are_written_as_readers_expect(size: int) -> None:
    view = make_layer((sized("/model/huge", size),))
    head = read(view, 0, 4096)
    with tarfile.open(fileobj=io.BytesIO(head), mode="r:") as archive:
        entry = archive.firstmember
    assert entry.size == size
    pad = -size % 512
    headers = view.segments[0].stop
    assert headers == (512 if size < 8 * GIB else 1536)
    assert view.size_bytes == headers + size + pad + 1024
    assert read(view, view.size_bytes - pad - 1024, view.size_bytes) == bytes(pad + 1024)


contents = st.lists(
    st.tuples(st.text("abé/", min_size=1, max_size=8), st.binary(max_size=1500)),
    min_size=1,
    max_size=5,
    unique_by=lambda item: PurePosixPath("/m/" + item[0]),
)


@given(contents, st.data())
def test_any_range_is_that_range_of_the_whole(
    items: list[tuple[str, bytes]], data: st.DataObject
) -> None:
    files = tuple(
        file(f"/m/{name}x", content, Folder(path=PurePosixPath("/m"))) for name, content in items
    )
    view = make_layer(files)
    everything = whole(view)
    assert len(everything) == view.size_bytes
    start = data.draw(st.integers(0, view.size_bytes))
    stop = data.draw(st.integers(start, view.size_bytes))
    assert read(view, start, stop) == everything[start:stop]
    assert whole(view)[start:] == read(view, start, view.size_bytes)


def test_the_bytes_are_the_same_on_every_machine_and_python() -> None:
    """A change here makes every user push every model again: it must be meant."""
    view = make_layer(
        (
            file(
                "/model/größe.onnx",
                bytes(range(256)) * 9,
                Folder(path=PurePosixPath("/model"), mode=0o1777, mtime_s=1),
            ),
            file("/model/empty", b""),
        )
    )
    assert hashlib.sha256(whole(view)).hexdigest() == (
        "bcfb9137f2e7c62e1f9586c232e221af04d86026d91e85a7e35535d75b2ba85f"
    )


def test_large_files_stand_alone_and_small_ones_share() -> None:
    mib = 1 << 20
    given_files = [
        sized("/m/large-b", ALONE_FROM_BYTES),
        sized("/m/large-a", ALONE_FROM_BYTES + 1),
        *(sized(f"/m/small-{n}", ALONE_FROM_BYTES - 1) for n in range(5)),
        sized("/m/tiny", 3),
    ]
    layers = plan_layers(reversed(given_files))
    names = [[file.path.name for file in layer.files] for layer in layers]
    assert names == [
        ["large-a"],
        ["large-b"],
        ["small-0", "small-1", "small-2", "small-3"],
        ["small-4", "tiny"],
    ]
    assert all(sum(f.size_bytes for f in layer.files) <= BUNDLE_BYTES for layer in layers[2:])
    assert 256 * mib == BUNDLE_BYTES
    assert plan_layers(given_files)[0].files == layers[0].files


def test_many_files_are_planned_in_a_moment() -> None:
    many = [sized(f"/m/{number:05}", 0) for number in range(20_000)]
    began = time.process_time()
    (layer,) = plan_layers(many)
    assert time.process_time() - began < 5
    assert len(layer.files) == 20_000


def test_many_large_files_share_layers_that_an_engine_can_take() -> None:
    many = [sized(f"/m/{number:03}", ALONE_FROM_BYTES + number % 3) for number in range(130)]
    many.append(sized("/m/huge", 50 * GIB))
    layers = plan_layers(many)
    assert 1 < len(layers) <= MOST_LAYERS
    assert [file.path.name for file in layers[0].files] == ["huge"]
    assert sorted(file.path for layer in layers for file in layer.files) == sorted(
        file.path for file in many
    )
    assert [layer.files for layer in plan_layers(reversed(many))] == [x.files for x in layers]
    assert len(plan_layers(many[:MOST_LAYERS])) == MOST_LAYERS


@pytest.mark.parametrize("path", ["relative", "/a/../../etc/passwd", "/"])
def test_a_path_that_leaves_the_image_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="no absolute path"):
        make_layer((file(path, b""),))


@pytest.mark.parametrize("path", ["/etc/.wh.passwd", "/m/.wh..wh..opq", "/.wh.m/a"])
def test_a_name_that_deletes_other_files_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="would delete files"):
        make_layer((file(path, b""),))


def test_each_piece_is_asked_for_once_and_in_order() -> None:
    view = make_layer((file("/m/a", b"A" * 700), file("/m/empty", b""), file("/m/b", b"B" * 10)))
    pieces = [(p.file.image_path.name, p.start, p.stop) for p in view.pieces() if p.file]
    assert pieces == [("a", 0, 700), ("b", 0, 10)]
    within = view.segments[1].start + 100
    (piece,) = view.pieces(within, within + 50)
    assert (piece.start, piece.stop) == (100, 150)
