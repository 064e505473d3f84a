from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelferry.artifacts import ModelFile
from modelferry.errors import InputError, ModelError
from modelferry.sources.source import StoredObject
from modelferry.sources.spec import ModelLine, SourceKind
from modelferry.sources.targets import place, refuse_places, unsafe


def line(
    key: str = "m/v1/",
    target: str = "/model",
    *,
    folder: bool = True,
    kind: SourceKind = SourceKind.AZBLOB,
    number: int = 1,
) -> ModelLine:
    return ModelLine(
        line=number,
        kind=kind,
        authority="acct",
        container="models" if kind is SourceKind.AZBLOB else "",
        key=key,
        query="",
        version_id=None,
        snapshot=None,
        target=PurePosixPath(target),
        target_is_folder=folder,
    )


def stored(key: str) -> StoredObject:
    return StoredObject(key=key, size_bytes=5, etag='"e"', version_id="7")


def test_keeps_the_path_below_the_chosen_folder() -> None:
    file = place(line(), "m/v1/", "m/v1/", stored("m/v1/sub/a.onnx"))
    assert file.image_path == PurePosixPath("/model/sub/a.onnx")
    assert file.uri == "azblob://acct/models/m/v1/sub/a.onnx"
    assert (file.size_bytes, file.etag, file.version_id, file.source_line) == (5, '"e"', "7", 1)


def test_a_path_without_a_slash_is_the_file_itself() -> None:
    file = place(line("m/a.onnx", "/code/model.onnx", folder=False), "m/", "m/", stored("m/a.onnx"))
    assert file.image_path == PurePosixPath("/code/model.onnx")


def test_names_in_https_addresses_are_decoded() -> None:
    where = line("d/my%20model.onnx", kind=SourceKind.HTTPS)
    assert place(where, "d/", "d/", stored("d/my%20model.onnx")).image_path.name == "my model.onnx"


HOSTILE = [
    "../a", "a/../b", "..", ".", "a/./b", "/etc/passwd", "a//b", "a/", "", "a\\..\\b", "a\0b",
    "a\nb", "a\rb", "a\x1bb", "a\x7f", "x" * 256, "é" * 128, "a/" + "y" * 300,
    "\udcff.bin", "a\udc80/b",
    ".wh.passwd", ".wh..wh..opq", "a/.wh.b", ".wh.a/b", ".wh.",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_refuses_hostile_names(name: str) -> None:
    with pytest.raises(ModelError, match="cannot become a path in the image") as caught:
        place(line(), "m/v1/", "m/v1/", stored("m/v1/" + name))
    assert "\n" not in caught.value.what, "a name must not write a line of its own"
    assert caught.value.do


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a/../b", "has '..' as a segment, by which it could leave the model's folder"),
        ("/etc/passwd", "is absolute"),
        ("a//b", "has an empty segment"),
        ("a\\b", "holds a backslash"),
        ("a\nb", "holds a newline"),
        ("a\x1bb", r"holds the control character '\x1b'"),
        ("\udcff", "is not UTF-8"),
        ("y" * 300, "has a segment longer than 255 bytes"),
        ("a/.wh.b", "has '.wh.b' as a segment, which deletes other files in an image"),
    ],
)
def test_says_what_is_wrong_with_a_name(name: str, reason: str) -> None:
    assert unsafe(name) == reason


def test_refuses_a_hostile_version_too() -> None:
    with pytest.raises(ModelError, match="could leave") as caught:
        place(line("m/{latest}/a"), "m/", "m/../", stored("m/../a"))
    assert "The name '../a' cannot become a path" in caught.value.what


def test_refuses_hostile_names_that_were_encoded() -> None:
    where = line("d/..%2F..%2Fetc%2Fpasswd", kind=SourceKind.HTTPS)
    with pytest.raises(ModelError, match="could leave"):
        place(where, "d/", "d/", stored("d/..%2F..%2Fetc%2Fpasswd"))


@pytest.mark.parametrize(
    "name",
    ["a", "a b", "ü€/x", "100%.bin", "…", "a..b", ".hidden", "a.wh.b", ".wh", ".what", "x" * 255],
)
def test_takes_ordinary_names(name: str) -> None:
    assert unsafe(name) == ""


@given(st.text(max_size=40))
def test_what_is_taken_stays_inside(name: str) -> None:
    if not unsafe(name):
        path = PurePosixPath("/model") / name
        assert path.parts[:2] == ("/", "model")
        assert ".." not in path.parts
        assert str(path) == f"/model/{name}"


def file(path: str, number: int = 1) -> ModelFile:
    return ModelFile(
        uri=f"s3://b{number}{path}",
        image_path=PurePosixPath(path),
        size_bytes=1,
        etag=None,
        version_id=None,
        modified=None,
        source_line=number,
    )


def test_two_files_on_one_path_are_refused_and_both_named() -> None:
    with pytest.raises(InputError) as caught:
        refuse_places([file("/model/a", 1), file("/model/b", 2), file("/model/a", 3)])
    text = str(caught.value)
    assert "s3://b1/model/a (line 1)" in text
    assert "s3://b3/model/a (line 3)" in text


def test_a_file_where_another_needs_a_folder_is_refused() -> None:
    with pytest.raises(InputError, match="needs a folder"):
        refuse_places([file("/model/a/b"), file("/model/a", 2)])


def test_a_file_that_no_container_would_show_is_refused() -> None:
    """Known only now: the storage named it."""
    with pytest.raises(InputError, match=r"/etc/hosts, where containers have a mount"):
        refuse_places([file("/etc/hosts"), file("/etc/hosts.allow")])


def test_different_paths_are_fine() -> None:
    refuse_places([file("/model/a"), file("/model/ab"), file("/model/b/a")])
