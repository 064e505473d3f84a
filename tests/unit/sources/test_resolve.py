"""From lines to pinned files, on the one storage that needs no network."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest

from modelferry.artifacts import ResolvedModel
from modelferry.errors import InputError, ModelError, ModelNotFound
from modelferry.sources import resolve_model
from modelferry.sources.spec import BlobAccess, ModelLine, S3Access, SourceKind, StorageAccess

NONE = StorageAccess(
    blob=BlobAccess(endpoint=None, suffix=""), s3=S3Access(endpoint=None, region=None)
)


def line(key: str, number: int = 1, target: str = "/model", *, folder: bool = True) -> ModelLine:
    return ModelLine(
        line=number,
        kind=SourceKind.FILE,
        authority="",
        container="",
        key=key,
        query="",
        version_id=None,
        snapshot=None,
        target=PurePosixPath(target),
        target_is_folder=folder,
    )


def resolve(workspace: Path, *lines: ModelLine, version: str | None = None) -> ResolvedModel:
    return resolve_model(lines, NONE, marker=None, version=version, workspace=workspace)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    for name in ("m/v2/a.bin", "m/v2/b.bin", "m/v10/a.bin"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path


def test_the_users_label_comes_first(workspace: Path) -> None:
    assert resolve(workspace, line("m/{latest}/"), version="mine").version == "mine"


def test_then_what_was_chosen(workspace: Path) -> None:
    assert resolve(workspace, line("m/{latest}/")).version == "v10"


def test_then_the_etag_of_the_one_file(workspace: Path) -> None:
    resolved = resolve(workspace, line("m/v2/a.bin"))
    assert f'"{resolved.version}"' == resolved.files[0].etag


def test_several_files_have_one_label_that_changes_with_any(workspace: Path) -> None:
    before = resolve(workspace, line("m/v2/")).version
    assert before == resolve(workspace, line("m/v2/")).version
    os.utime(workspace / "m/v2/b.bin", ns=(1, 1))
    assert before != resolve(workspace, line("m/v2/")).version


def test_each_line_has_its_reason(workspace: Path) -> None:
    lines = (line("m/v2/a.bin", 1, "/x"), line("m/v2/", 2), line("m/{latest}/", 3, "/y"))
    one, all_of_it, latest = resolve(workspace, *lines).reasons
    assert one.startswith("file:m/v2/a.bin, 10 B, ETag ")
    assert all_of_it == "file:m/v2/, 2 files, 20 B"
    assert latest.startswith("{latest}: v10 of 2 versions (v2); file:m/v10/a.bin, 11 B, ETag ")


def test_newest_goes_by_the_time_of_writing(workspace: Path) -> None:
    os.utime(workspace / "m/v10/a.bin", (1, 1))
    assert resolve(workspace, line("m/{newest}/")).version == "v2"


def test_two_lines_with_one_path_are_refused(workspace: Path) -> None:
    with pytest.raises(InputError, match=r"two files go to /model/a\.bin"):
        resolve(workspace, line("m/v2/", 1), line("m/v10/", 2))


def test_a_glob_into_one_file_is_refused_when_it_matches_two(workspace: Path) -> None:
    with pytest.raises(InputError, match="two files go to /model/the-one"):
        resolve(workspace, line("m/v2/*", 1, "/model/the-one", folder=False))


def test_the_nearest_names_are_shown(workspace: Path) -> None:
    with pytest.raises(ModelNotFound) as caught:
        resolve(workspace, line("m/v2/A.bin"))
    assert "Nearest names there: m/v2/a.bin, m/v2/b.bin." in caught.value.seen


def test_a_folder_without_its_slash(workspace: Path) -> None:
    with pytest.raises(ModelNotFound, match="End the address in a slash"):
        resolve(workspace, line("m/v2"))


def test_a_folder_that_is_not_there(workspace: Path) -> None:
    with pytest.raises(ModelNotFound, match="nothing below 'n/'"):
        resolve(workspace, line("n/"))


def test_an_absolute_path(workspace: Path) -> None:
    (file,) = resolve(Path("/nonexistent"), line(f"{workspace}/m/v10/*")).files
    assert file.image_path == PurePosixPath("/model/a.bin")


def test_links_to_files_are_followed_and_broken_ones_told(workspace: Path) -> None:
    (workspace / "m/v10/link").symlink_to(workspace / "m/v2/a.bin")
    (workspace / "m/v10/around").symlink_to(workspace / "m")
    names = [file.image_path.name for file in resolve(workspace, line("m/v10/")).files]
    assert names == ["a.bin", "link"]
    (workspace / "m/v10/broken").symlink_to("nowhere")
    with pytest.raises(ModelNotFound, match="m/v10/broken does not exist"):
        resolve(workspace, line("m/v10/"))


def test_a_name_that_is_not_utf_8(workspace: Path) -> None:
    (workspace / os.fsdecode(b"m/v10/\xff.bin")).write_text("x")
    with pytest.raises(ModelError, match="is not UTF-8") as caught:
        resolve(workspace, line("m/v10/"))
    assert r"\udcff.bin" in caught.value.what
    assert len(resolve(workspace, line("m/v10/a*")).files) == 1


def test_hostile_names_in_the_workspace(workspace: Path) -> None:
    (workspace / "m/v10/a\\b").write_text("x")
    with pytest.raises(ModelError, match="could leave"):
        resolve(workspace, line("m/v10/"))
