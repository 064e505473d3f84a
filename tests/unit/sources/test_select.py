from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from modelferry.errors import ModelError, ModelNotFound
from modelferry.sources.select import Pattern, Selection, parse_pattern, select
from modelferry.sources.source import StoredObject

URI = "azblob://acct/models/…"
START = datetime(2026, 1, 1, tzinfo=UTC)


def stored(*keys: str) -> tuple[StoredObject, ...]:
    """Written one minute after the other; names with an underscore in front are empty."""
    return tuple(
        StoredObject(
            key=key,
            size_bytes=0 if key.rpartition("/")[2].startswith("_") else 10,
            etag='"e"',
            modified=START + timedelta(minutes=number),
        )
        for number, key in enumerate(keys)
    )


def choose(key: str, *keys: str, marker: str | None = None) -> Selection:
    return select(URI, parse_pattern(key), stored(*keys), marker)


def names(selection: Selection) -> list[str]:
    return [found.key for found in selection.objects]


@pytest.mark.parametrize(
    ("key", "folder", "choice", "below"),
    [
        ("model.onnx", "", None, "model.onnx"),
        ("fraud/v3/model.onnx", "fraud/v3/", None, "model.onnx"),
        ("fraud/v3/", "fraud/v3/", None, ""),
        ("", "", None, ""),
        ("fraud/*.onnx", "fraud/", None, "*.onnx"),
        ("fraud/{latest}/a/b.onnx", "fraud/", "latest", "a/b.onnx"),
        ("{newest}/", "", "newest", ""),
        ("fraud/{latest}", "fraud/", "latest", None),
        ("/srv/models/{latest}/", "/srv/models/", "latest", ""),
    ],
)
def test_takes_a_key_apart(key: str, folder: str, choice: str | None, below: str | None) -> None:
    pattern = parse_pattern(key)
    assert (pattern.folder, pattern.choice, pattern.below) == (folder, choice, below)


@pytest.mark.parametrize(
    ("key", "plain"),
    [("a/b", True), ("a/", False), ("a/*", False), ("a/{latest}", False), ("{newest}/b", False)],
)
def test_only_a_name_needs_no_listing(key: str, plain: bool) -> None:
    assert parse_pattern(key).is_plain is plain


def test_a_folder_takes_everything_below_in_one_order() -> None:
    found = choose("m/v3/", "m/v3/z", "m/v3/sub/a", "m/v3/b", "m/v30/c")
    assert names(found) == ["m/v3/b", "m/v3/sub/a", "m/v3/z"]
    assert found.root == "m/v3/"
    assert found.version is None


def test_a_glob_takes_the_last_segment_only() -> None:
    found = choose("m/*.on*x", "m/a.onnx", "m/b.onnx", "m/sub/c.onnx", "m/a.txt")
    assert names(found) == ["m/a.onnx", "m/b.onnx"]
    assert found.root == "m/"


def test_a_glob_reads_every_other_character_as_itself() -> None:
    assert names(choose("m/[a]+.*", "m/[a]+.x", "m/aa.x", "m/a.x")) == ["m/[a]+.x"]


def test_latest_is_the_greatest_version_and_says_so() -> None:
    found = choose(
        "m/{latest}/model.onnx",
        "m/v1.9.0/model.onnx",
        "m/v1.10.0/model.onnx",
        "m/v1.2.0/model.onnx",
    )
    assert names(found) == ["m/v1.10.0/model.onnx"]
    assert found.version == "v1.10.0"
    assert found.why == "{latest}: v1.10.0 of 3 versions (v1.9.0, v1.2.0)"


def test_newest_is_the_one_written_last_in_any_of_its_files() -> None:
    found = choose("m/{newest}/", "m/v2/a", "m/v1/a", "m/v3/a", "m/v1/late")
    assert names(found) == ["m/v1/a", "m/v1/late"]
    assert found.why == "{newest}: v1 of 3 versions (v3, v2), written 2026-01-01 00:03:00 UTC"


def test_latest_as_the_last_segment_chooses_a_file() -> None:
    found = choose("m/{latest}", "m/model-9.onnx", "m/model-10.onnx", "m/old/model-11.onnx")
    assert names(found) == ["m/model-10.onnx"]
    assert found.root == "m/"


def test_latest_as_the_last_segment_over_folders_says_what_to_write() -> None:
    with pytest.raises(ModelNotFound, match="End the address in a slash"):
        choose("m/{latest}", "m/v1/a", "m/v2/a")


def test_latest_does_not_fall_back_to_an_older_version_that_has_the_file() -> None:
    with pytest.raises(ModelNotFound, match=r"m/v2/ holds other\.onnx"):
        choose("m/{latest}/model.onnx", "m/v1/model.onnx", "m/v2/other.onnx")


def test_names_that_are_no_versions_are_told() -> None:
    found = choose("m/{latest}/", "m/v1/a", "m/tmp/a")
    assert found.version == "v1"
    assert found.why == "{latest}: v1 of 1 version; not versions: tmp"


def test_folders_without_the_marker_are_passed_over() -> None:
    keys = ("m/v1/a", "m/v1/_SUCCESS", "m/v2/a", "m/v2/_SUCCESS", "m/v3/a")
    found = choose("m/{latest}/", *keys, marker="_SUCCESS")
    assert names(found) == ["m/v2/a"], "the empty marker is no part of the model"
    assert found.why == "{latest}: v2 of 2 versions (v1); without _SUCCESS: v3"
    assert choose("m/{newest}/", *keys, marker="_SUCCESS").version == "v2"


def test_a_marker_with_content_is_part_of_the_model() -> None:
    assert names(choose("m/v1/", "m/v1/a", "m/v1/done.json", marker="done.json")) == [
        "m/v1/a",
        "m/v1/done.json",
    ]


def test_no_version_with_the_marker_is_refused() -> None:
    with pytest.raises(ModelError, match="no version is complete") as caught:
        choose("m/{latest}/", "m/v1/a", "m/v2/a", marker="_SUCCESS")
    assert "v1, v2" in caught.value.seen


@pytest.mark.parametrize("key", ["m/v1/", "m/v1/*"])
def test_a_named_folder_without_the_marker_is_refused(key: str) -> None:
    with pytest.raises(ModelError, match="not complete") as caught:
        choose(key, "m/v1/a", "m/v1/sub/_SUCCESS", marker="_SUCCESS")
    assert "m/v1/_SUCCESS" in caught.value.seen


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("m/v1/", "there is nothing below 'm/v1/'"),
        ("m/*.onnx", "nothing matches '*.onnx'"),
        ("m/{latest}/", "{latest} finds no versions"),
        ("m/{newest}", "{newest} finds no versions"),
    ],
)
def test_nothing_there_is_told_apart(key: str, text: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        choose(key)
    assert text in caught.value.what
    assert caught.value.do


def test_a_glob_that_matches_nothing_shows_what_is_there() -> None:
    with pytest.raises(ModelNotFound) as caught:
        choose("m/*.onnx", "m/model.ONNX", "m/readme")
    assert caught.value.seen == "m/ holds model.ONNX, readme."


def test_pattern_of_a_name_with_a_star_in_an_earlier_folder_is_left_alone() -> None:
    assert parse_pattern("a*/b") == Pattern(folder="a*/", choice=None, below="b")


def test_empty_objects_that_stand_for_folders_are_left_out() -> None:
    listing = (
        StoredObject(key="m/v1", size_bytes=0, etag=None),  # `m/v1/`, as obstore writes it
        StoredObject(key="m/v1/sub", size_bytes=0, etag=None),
        StoredObject(key="m/v1/sub-1", size_bytes=0, etag=None),
        StoredObject(key="m/v1/sub/a", size_bytes=1, etag=None),
        StoredObject(key="m/v1/portal/", size_bytes=0, etag=None),
    )
    found = select(URI, parse_pattern("m/v1/"), listing, None)
    assert names(found) == ["m/v1/sub-1", "m/v1/sub/a"]


def test_a_file_beside_a_folder_of_its_name_stays() -> None:
    found = choose("m/", "m/a", "m/a/b")
    assert names(found) == ["m/a", "m/a/b"], "the clash is told where paths are given out"
