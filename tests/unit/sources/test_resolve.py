"""From lines to pinned files, on the one storage that needs no network."""

from __future__ import annotations

import os
import socket
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


def names(workspace: Path, key: str) -> list[str]:
    return [file.image_path.name for file in resolve(workspace, line(key)).files]


def test_links_to_files_are_followed_and_broken_ones_told(workspace: Path) -> None:
    (workspace / "m/v10/link").symlink_to("../v2/a.bin")
    assert names(workspace, "m/v10/") == ["a.bin", "link"]
    (workspace / "m/v10/broken").symlink_to("nowhere")
    with pytest.raises(ModelNotFound, match="m/v10/broken does not exist"):
        resolve(workspace, line("m/v10/"))
    assert names(workspace, "m/v10/*.bin") == ["a.bin"], "what was not chosen is no matter"


@pytest.mark.parametrize("leads_to", ["../v2", "..", ".", "/usr"])
def test_links_to_folders_are_refused_by_name(workspace: Path, leads_to: str) -> None:
    (workspace / "m/v10/more").symlink_to(leads_to)
    with pytest.raises(ModelError, match=r"v10/more (is a link to a folder|leads out)"):
        resolve(workspace, line("m/v10/"))
    assert names(workspace, "m/v10/*.bin") == ["a.bin"]


def test_an_address_that_is_a_link_is_followed(workspace: Path) -> None:
    (workspace / "current").symlink_to("m/v2")
    assert names(workspace, "current/") == ["a.bin", "b.bin"]


def test_a_link_to_a_folder_is_no_version(workspace: Path) -> None:
    (workspace / "m/v99").symlink_to("v2")
    assert resolve(workspace, line("m/{latest}/")).version == "v10"
    assert resolve(workspace, line("m/{newest}/")).version == "v10"


def test_links_do_not_lead_out_of_the_workspace(workspace: Path, tmp_path: Path) -> None:
    inner = workspace / "m"
    (inner / "out").symlink_to("/etc/passwd")
    (inner / "v10/up").symlink_to(inner / "v2/a.bin")
    for key in ("", "out", f"{inner}/out"):
        with pytest.raises(ModelError, match="out leads out of the workspace") as caught:
            resolve(inner, line(key))
        assert "/etc/passwd" in caught.value.seen
    assert names(inner, "v10/up") == ["up"]
    (tmp_path / "elsewhere").symlink_to(inner)
    assert names(tmp_path / "elsewhere", "v10/up") == ["up"], "the workspace itself may be a link"
    with pytest.raises(ModelError, match="leads out"):
        resolve(tmp_path / "elsewhere", line(f"{inner}/out"))


def test_what_the_user_names_outside_is_theirs(workspace: Path) -> None:
    (workspace / "m/v10/link").symlink_to(workspace / "m/v2/a.bin")
    inner = workspace / "m/v2"
    assert names(inner, "../v10/") == ["a.bin", "link"]
    assert names(inner, f"{workspace}/m/v10/") == ["a.bin", "link"]


@pytest.mark.parametrize("kind", ["a FIFO", "a socket"])
def test_what_is_no_file_is_refused_by_name(workspace: Path, kind: str) -> None:
    with socket.socket(socket.AF_UNIX) as opened, pytest.MonkeyPatch.context() as patch:
        patch.chdir(workspace / "m/v10")  # a socket's address is short
        opened.bind("other") if kind == "a socket" else os.mkfifo("other")
    for key in ("m/v10/", "m/v10/other"):
        with pytest.raises(ModelError, match=f"file:m/v10/other is {kind}"):
            resolve(workspace, line(key))
    assert names(workspace, "m/v10/*.bin") == ["a.bin"]


def test_a_device_is_no_model(workspace: Path) -> None:
    with pytest.raises(ModelError, match="file:/dev/null is a device"):
        resolve(workspace, line("/dev/null"))


def test_a_name_that_is_not_utf_8(workspace: Path) -> None:
    (workspace / os.fsdecode(b"m/v10/\xff.bin")).write_text("x")
    with pytest.raises(ModelError, match="is not UTF-8") as caught:
        resolve(workspace, line("m/v10/"))
    assert r"\udcff.bin" in caught.value.what
    assert len(resolve(workspace, line("m/v10/a*")).files) == 1


def test_hostile_names_in_the_workspace(workspace: Path) -> None:
    (workspace / "m/v10/a\\b").write_text("x")
    with pytest.raises(ModelError, match="holds a backslash"):
        resolve(workspace, line("m/v10/"))
