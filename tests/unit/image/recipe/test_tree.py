from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from modelferry.image.recipe.tree import path_digest, tree_digest


@pytest.fixture
def context(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/main.py").write_text("print(1)\n")
    (tmp_path / "notes.md").write_text("x")
    (tmp_path / "link").symlink_to("app/main.py")
    return tmp_path


def digest(context: Path) -> str:
    return tree_digest(context, context / "Dockerfile")


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


def test_an_exception_that_is_a_pattern_counts_everything(context: Path) -> None:
    (context / ".dockerignore").write_text("*\n!**/*.py\n")
    before = digest(context)
    (context / "app/main.py").write_text("changed")
    assert digest(context) != before


def test_a_single_file_and_a_folder(context: Path) -> None:
    one, all_of_it = path_digest(context / "notes.md"), path_digest(context)
    (context / "app/main.py").write_text("changed")
    assert path_digest(context / "notes.md") == one
    assert path_digest(context) != all_of_it
