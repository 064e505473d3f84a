import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelferry.errors import BuildError, Cancelled
from modelferry.image.layer_entries import (
    NOTHING,
    LayerEntries,
    Record,
    Trace,
    Traces,
    read_records,
    records_json,
    scan_layer,
)
from modelferry.image.workers import Stop
from modelferry.values import Digest

LAYER = "application/vnd.oci.image.layer.v1.tar"
LONG = "é" * 120


def member(name: str, kind: bytes = tarfile.REGTYPE, **given: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in given.items():
        setattr(info, key, value)
    return info


def tar(*members: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for info in members:
            archive.addfile(info, io.BytesIO(b"\xff" * info.size))
    return out.getvalue()


def scan(data: bytes) -> Traces:
    return scan_layer(lambda a, b: data[a:b], len(data), LAYER, Stop())


MEMBERS = (
    member("./", tarfile.DIRTYPE, mode=0o755),
    member("srv/", tarfile.DIRTYPE, mode=0o2775, uid=12, gid=2**40, mtime=1_000_000_000.75),
    member("srv/model.bin", size=700),
    member("srv/other.bin", size=3 << 20),
    member("lib", tarfile.SYMTYPE, linkname="usr/lib"),
    member("srv/linked", tarfile.LNKTYPE, linkname="srv/model.bin"),
    member(f"{LONG}/{LONG}/", tarfile.DIRTYPE, mode=0o700),
    member(f"{LONG}/to", tarfile.SYMTYPE, linkname=f"/{LONG}"),
    member("dev/null", tarfile.CHRTYPE),
    member("a/.wh.gone"),
    member("a/.wh..wh..opq"),
    member("a/", tarfile.DIRTYPE, mode=0o1777),
    member(".wh.tmp"),
    member("tmp/", tarfile.DIRTYPE, mode=0o1777, mtime=-5),
)


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, lambda d: b"".join(map(gzip.compress, (d[:999], d[999:])))]
)
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_what_a_layer_says(pack: Callable[[bytes], bytes], form: int) -> None:
    found = scan(pack(tar(*MEMBERS, form=form)))
    assert found == {
        "/srv": Trace("folder", 0o2775, 12, 2**40, 1_000_000_000),
        "/srv/model.bin": Trace("file"),
        "/srv/other.bin": Trace("file"),
        "/lib": Trace("link", 0o644, target="usr/lib"),
        "/srv/linked": Trace("file"),
        f"/{LONG}/{LONG}": Trace("folder", 0o700),
        f"/{LONG}/to": Trace("link", 0o644, target=f"/{LONG}"),
        "/dev/null": Trace("file"),
        "/a/gone": Trace(whiteout=True),
        "/a": Trace("folder", 0o1777, opaque=True),
        "/tmp": Trace("folder", 0o1777, mtime_s=-5, whiteout=True),
    }


def test_contents_of_a_plain_layer_are_not_read() -> None:
    data, asked = tar(member("big", size=64 << 20), member("d/", tarfile.DIRTYPE)), []

    def read(start: int, stop: int) -> bytes:
        asked.append(stop - start)
        return data[start:stop]

    found = scan_layer(read, len(data), LAYER, Stop())
    assert list(found) == ["/big", "/d"]
    assert sum(asked) < 4 << 20


def test_the_whole_root_can_be_opaque() -> None:
    assert scan(tar(member(".wh..wh..opq"))) == {"/": Trace(opaque=True)}


def test_a_name_leads_nowhere_else() -> None:
    assert list(scan(tar(member("../../etc/x"), member("/abs/x")))) == ["/etc/x", "/abs/x"]


def test_an_old_prefix_is_part_of_the_name() -> None:
    name = "/".join(["d" * 50] * 3)
    assert list(scan(tar(member(name), form=tarfile.USTAR_FORMAT))) == [f"/{name}"]


@pytest.mark.parametrize(
    "data",
    [
        b"no tar at all" * 99,
        tar(member("a", size=9))[:300],
        gzip.compress(b"x" * 600, mtime=0),
        b"\x1f\x8bxx" * 99,
    ],
)
def test_what_is_no_tar_is_named(data: bytes) -> None:
    with pytest.raises(BuildError, match=r"cannot be read as a tar \(application/vnd"):
        scan(data)


def test_zstd_is_named() -> None:
    with pytest.raises(BuildError, match="zstd"):
        scan(b"\x28\xb5\x2f\xfd" + bytes(99))


def test_a_cancel_ends_the_reading() -> None:
    stop = Stop()
    stop.set()
    data = tar(member("a"))
    with pytest.raises(Cancelled):
        scan_layer(lambda a, b: data[a:b], len(data), LAYER, stop)


def digest(text: str) -> Digest:
    return Digest(f"sha256:{hashlib.sha256(text.encode()).hexdigest()}")


def test_a_record_spares_the_layer_as_far_as_it_goes() -> None:
    reads: list[str] = []

    def read_it() -> Traces:
        reads.append("read")
        return {"/srv": Trace("folder", 0o700), "/lib": Trace("link", target="usr/lib")}

    record = Record(paths=frozenset(["/srv", "/srv/m"]), traces={"/srv": Trace("folder", 0o700)})
    entries = LayerEntries(digest("a"), record=record, scan=read_it)
    assert entries.at("/srv").mode == 0o700
    assert entries.at("/srv/m") == NOTHING
    assert entries.knows(["/srv"])
    assert not entries.knows(["/lib"])
    assert reads == []
    assert entries.at("/lib").target == "usr/lib"
    assert entries.at("/other") == NOTHING
    assert reads == ["read"]
    assert entries.record(["/lib", "/other"]) == Record(
        paths=frozenset(["/lib", "/other"]),
        traces={"/lib": Trace("link", target="usr/lib"), "/srv": Trace("folder", 0o700)},
        folders=frozenset("/"),
    )


def never() -> Traces:
    raise AssertionError("the record tells")


def recorded(traces: Traces, *paths: str) -> Record:
    return LayerEntries(digest("a"), record=None, scan=lambda: traces).record(paths)


def as_kept(record: Record) -> Record:
    """By a release, for the next run."""
    return read_records(json.dumps(records_json({digest("a"): record})))[digest("a")]


LISTED: Traces = {
    "/": Trace(opaque=True),
    "/srv": Trace("folder", 0o700, 1, 2, -3),
    "/srv/a": Trace("file"),
    "/srv/deep/er/x": Trace("file"),  # a tar need not have its folders
    "/srv/old": Trace(whiteout=True),
    "/opt/x": Trace("file"),
}


@pytest.mark.parametrize(
    "path",
    [
        "/srv/m2",
        "/srv/a",
        "/srv/old",
        "/srv/deep",
        "/new",
        "/new/m",
        "/srv/new/deep/m",
        "/opt",
        "/",
    ],
)
def test_a_record_knows_other_names_in_the_same_folders(path: str) -> None:
    record = as_kept(recorded(LISTED, "/", "/srv", "/srv/m"))
    entries = LayerEntries(digest("a"), record=record, scan=never)
    assert entries.knows([path])
    assert entries.at(path) == LISTED.get(path, NOTHING)


@pytest.mark.parametrize("path", ["/srv/deep/m", "/srv/deep/er", "/opt/x", "/opt/m", "/srv/a/m"])
def test_what_lies_in_other_folders_is_read(path: str) -> None:
    record = as_kept(recorded(LISTED, "/", "/srv", "/srv/m"))
    entries = LayerEntries(digest("a"), record=record, scan=lambda: LISTED)
    assert not entries.knows([path])
    assert entries.at(path) == LISTED.get(path, NOTHING)


NAMES = st.sampled_from(["a", "b", "ab"])
A_PATH = st.lists(NAMES, max_size=4).map(lambda names: "/" + "/".join(names))
SAID = (
    Trace("file"),
    Trace("link", target="b"),
    Trace("folder", 0o700),
    Trace("folder", opaque=True),
    Trace(whiteout=True),
)
A_LAYER = st.dictionaries(A_PATH, st.sampled_from(SAID), max_size=6)


def with_parents(path: str) -> set[str]:
    return {path, *map(str, PurePosixPath(path).parents)}


@given(A_LAYER, st.lists(A_PATH, min_size=1), st.lists(A_PATH, min_size=1), A_PATH)
def test_a_record_never_says_what_the_layer_does_not(
    traces: Traces, asked: list[str], asked_next: list[str], path: str
) -> None:
    """Nor does the one that is made of it, without a look at the layer."""
    first = as_kept(recorded(traces, *set[str]().union(*map(with_parents, asked))))
    entries = LayerEntries(digest("a"), record=first, scan=lambda: traces)
    second = as_kept(entries.record(set[str]().union(*map(with_parents, asked_next))))
    for record in (first, second):
        for each in with_parents(path):
            assert record.at(each) in (None, traces.get(each, NOTHING))
    assert {first.at(each) for each in asked} == {traces.get(each, NOTHING) for each in asked}
    assert all(second.at(each + "-v2") is not None for each in asked_next if each != "/")


def test_a_record_of_before_answers_its_paths_alone() -> None:
    (record,) = read_records(
        json.dumps({"paths": ["/", "/m"], "layers": {digest("a"): {}}})
    ).values()
    assert record.at("/m") == NOTHING
    assert record.at("/m2") is None
    assert LayerEntries(digest("a"), record=record, scan=never).record(["/", "/m"]) == record


def test_who_knows_no_folders_reads_the_same_paths() -> None:
    """The run of a version before, after this one's."""
    kept = records_json({digest("a"): recorded(LISTED, "/", "/srv", "/srv/m")})
    assert kept.keys() == {"paths", "layers", "folders"}
    said = kept["layers"][digest("a")]
    assert {path: Trace(*said[path]) for path in kept["paths"] if path in said} == {
        path: LISTED[path] for path in ("/", "/srv")
    }


def test_of_too_many_names_the_paths_are_remembered() -> None:
    crowd = {f"/srv/{number:0200}": Trace("file") for number in range(6000)}
    record = as_kept(recorded(LISTED | crowd, "/", "/srv", "/srv/m"))
    assert (record.folders, record.traces.keys()) == (frozenset(), {"/", "/srv"})
    assert record.at("/srv/m") == NOTHING
    assert record.at("/srv/m2") is None


def test_records_come_back_as_they_were() -> None:
    paths = frozenset(["/", "/srv", "/é/m"])
    records = {
        digest("a"): Record(
            paths=paths,
            traces={"/srv": Trace("folder", 0o700, 1, 2, -3, "", True), "/\udcff": Trace("file")},
            folders=frozenset(["/", "/é"]),
        ),
        digest("b"): Record(paths=paths, traces={}, folders=frozenset(["/", "/é"])),
    }
    assert read_records(json.dumps(records_json(records))) == records


def test_a_file_larger_than_a_plain_header_can_say() -> None:
    size = 9 << 30
    info = member("big", size=size)
    head = info.tobuf(tarfile.PAX_FORMAT)
    tail = tar(member("after/", tarfile.DIRTYPE, mode=0o700))
    behind = len(head) + size

    def read(start: int, stop: int) -> bytes:
        if start < len(head):
            return head[start:stop].ljust(stop - start, b"\xff")
        return tail[max(0, start - behind) : stop - behind].rjust(stop - start, b"\xff")

    found = scan_layer(read, behind + len(tail), LAYER, Stop())
    assert found == {"/big": Trace("file"), "/after": Trace("folder", 0o700)}


def test_what_a_header_says_of_all_members() -> None:
    out = io.BytesIO()
    with tarfile.open(
        fileobj=out, mode="w", pax_headers={"uid": "4242", "comment": "x"}
    ) as archive:
        archive.addfile(member("a/", tarfile.DIRTYPE, mode=0o700, uid=3))
        archive.addfile(member("b/", tarfile.DIRTYPE, mode=0o700, uid=2**40))
    found = scan(out.getvalue())
    assert (found["/a"].uid, found["/b"].uid) == (4242, 2**40)
