from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

from modelferry.apptest.workspace import CHUNK, tar_stream, workspace_files


def unpacked(stream, folder: Path) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
        archive.extractall(folder, filter="tar")
        return archive.getmembers()


def filled(folder: Path, *names: str) -> Path:
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    return folder


def test_all_travels_under_its_own_path(tmp_path):
    workspace = filled(tmp_path / "in", "a.txt", "deep/er/b.txt", ".github/x.yml", ".env")
    (workspace / "empty").mkdir()
    unpacked(tar_stream(workspace_files(workspace)), tmp_path / "out")
    copy = tmp_path / "out" / str(workspace).lstrip("/")
    there = sorted(str(path.relative_to(copy)) for path in copy.rglob("*"))
    assert there == sorted(str(path.relative_to(workspace)) for path in workspace.rglob("*"))
    assert (copy / "deep/er/b.txt").read_text() == "deep/er/b.txt"


def test_the_checkouts_token_caches_and_credentials_stay(tmp_path):
    left_out = [
        ".git/config",
        "lib/.git",  # a submodule's
        "gha-creds-0123.json",
        "a/__pycache__/b.pyc",
        ".venv/bin/python",
        "web/node_modules/x.js",
        ".pytest_cache/x",
    ]
    workspace = filled(tmp_path / "in", "git", "creds.json", *left_out)
    names = [name for _, name in workspace_files(workspace)]
    ours = [name.partition("/in")[2].lstrip("/") for name in names]
    assert sorted(ours) == ["", "a", "creds.json", "git", "lib", "web"]


def test_links_modes_and_long_names_survive_owners_do_not(tmp_path):
    workspace = filled(tmp_path / "in", "run.sh", "x" * 120 + "/é" * 40)
    (workspace / "run.sh").chmod(0o755)
    (workspace / "link").symlink_to("run.sh")
    (workspace / "dangling").symlink_to("/nowhere")
    os.mkfifo(workspace / "pipe")
    members = unpacked(tar_stream(workspace_files(workspace)), tmp_path / "out")
    copy = tmp_path / "out" / str(workspace).lstrip("/")
    assert (copy / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (copy / "link").readlink() == Path("run.sh")
    assert (copy / "dangling").is_symlink()
    assert not (copy / "pipe").exists()
    assert (copy / ("x" * 120 + "/é" * 40)).is_file()
    assert {(member.uid, member.gid) for member in members} == {(0, 0)}


def test_files_larger_than_a_chunk_come_whole(tmp_path):
    content = os.urandom(2 * CHUNK + 513)
    (tmp_path / "big").write_bytes(content)
    pieces = list(tar_stream(iter([(tmp_path / "big", "big")])))
    assert max(map(len, pieces)) <= CHUNK
    unpacked(pieces, tmp_path / "out")
    assert (tmp_path / "out/big").read_bytes() == content


def test_a_file_that_shrinks_or_goes_leaves_the_archive_whole(tmp_path):
    workspace = filled(tmp_path, "first", "second", "third")
    (workspace / "first").write_bytes(b"x" * (2 * CHUNK))
    pieces = []
    for piece in tar_stream((workspace / name, name) for name in ("first", "second", "third")):
        if not pieces:
            (workspace / "first").write_bytes(b"x" * (CHUNK + 7))
            (workspace / "second").unlink()
        pieces.append(piece)
    members = unpacked(pieces, tmp_path / "out")
    assert [member.name for member in members] == ["first", "third"]
    assert (tmp_path / "out/third").read_text() == "third"
