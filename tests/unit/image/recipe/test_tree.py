from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from modelferry.image.recipe.tree import ignore_file, path_digest, tree_digest


@pytest.fixture
def context(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/main.py").write_text("print(1)\n")
    (tmp_path / "notes.md").write_text("x")
    (tmp_path / "link").symlink_to("app/main.py")
    return tmp_path


def digest(context: Path) -> str:
    return tree_digest(context, ignore_file(context, context / "Dockerfile"))


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda top: (top / "app/main.py").write_text("print(2)\n"),
    "name": lambda top: (top / "notes.md").rename(top / "note.md"),
    "mode": lambda top: (top / "app/main.py").chmod(0o755),
    "folder mode": lambda top: (top / "app").chmod(0o700),
    "new file": lambda top: (top / "app/new").write_text(""),
    "new folder": lambda top: (top / "empty").mkdir(),
    "moved": lambda top: (top / "notes.md").rename(top / "app/notes.md"),
    "link": lambda top: ((top / "link").unlink(), (top / "link").symlink_to("notes.md")),
    "file for link": lambda top: ((top / "link").unlink(), (top / "link").write_text("app")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_content_shows(context: Path, change: str) -> None:
    before = digest(context)
    CHANGES[change](context)
    assert digest(context) != before


SAME: dict[str, Callable[[Path], object]] = {
    "times": lambda top: os.utime(top / "app/main.py", (1, 1)),
    "git": lambda top: ((top / ".git").mkdir(), (top / ".git/HEAD").write_text("x")),
    "worktree": lambda top: (top / ".git").write_text("gitdir: elsewhere"),
}


@pytest.mark.parametrize("change", SAME)
def test_what_is_no_content_does_not(context: Path, change: str) -> None:
    before = digest(context)
    SAME[change](context)
    assert digest(context) == before


def test_ignored_files_do_not_count(context: Path) -> None:
    (context / ".dockerignore").write_text("*.md\n# comment\n\n")
    before = digest(context)
    (context / "notes.md").write_text("changed")
    assert digest(context) == before
    (context / "app/main.py").write_text("changed")
    assert digest(context) != before


def test_the_dockerfiles_own_ignore_file_wins(context: Path) -> None:
    (context / ".dockerignore").write_text("notes.md\n")
    (context / "Dockerfile.dockerignore").write_text("app\n")
    before = digest(context)
    (context / "app/main.py").write_text("changed")
    assert digest(context) == before
    (context / "notes.md").write_text("changed")
    assert digest(context) != before


def test_an_exception_brings_a_file_back(context: Path) -> None:
    (context / ".dockerignore").write_text("app\n!app/main.py\n")
    before = digest(context)
    (context / "app/main.py").write_text("changed")
    assert digest(context) != before


@pytest.mark.parametrize(
    ("ignore", "counts"),
    [
        ("*\n!**/*.py\n", True),
        ("APP\n", True),
        ("app\n[a\n", True),
        ("*\n!*.md\n", False),
        ("[^b]*\n", False),
    ],
)
def test_it_is_read_as_buildkit_reads_it(context: Path, ignore: str, *, counts: bool) -> None:
    (context / ".dockerignore").write_text(ignore)
    before = digest(context)
    (context / "app/main.py").write_text("changed")
    assert (digest(context) != before) is counts


def test_the_mode_of_a_folder_counts_that_comes_with_an_exception(context: Path) -> None:
    (context / ".dockerignore").write_text("*\n!app/main.py\n")
    before = digest(context)
    (context / "app").chmod(0o700)
    assert digest(context) != before


def test_an_ignore_file_that_is_a_link_is_not_obeyed(context: Path, tmp_path: Path) -> None:
    (tmp_path / "shared").write_text("*\n")
    (context / ".dockerignore").symlink_to(tmp_path / "shared")
    before = digest(context)
    (context / "app/main.py").write_text("changed")
    assert digest(context) != before


def test_a_name_that_is_no_text_counts(context: Path) -> None:
    before = digest(context)
    Path(os.fsdecode(os.fsencode(context) + b"/\xff")).symlink_to(os.fsdecode(b"\xfe"))
    assert digest(context) != before


def test_a_folder_that_nobody_may_read_is_passed_by_where_it_is_left_out(
    context: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the system's own answers alone, as root may read any folder."""
    (context / "data").mkdir()
    may_read, scan = os.access, os.scandir

    def refuse(path: Path) -> object:
        if str(path).rstrip("/").endswith("data"):
            raise PermissionError(path)
        return scan(path)

    monkeypatch.setattr(
        os, "access", lambda path, mode: path.name != "data" and may_read(path, mode)
    )
    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError):
        digest(context)
    (context / ".dockerignore").write_text("*\n!app\n")
    assert digest(context)


def test_a_single_file_and_a_folder(context: Path) -> None:
    one, all_of_it = path_digest(context / "notes.md"), path_digest(context)
    (context / "app/main.py").write_text("changed")
    assert path_digest(context / "notes.md") == one
    assert path_digest(context) != all_of_it
