from __future__ import annotations

from pathlib import Path

import pytest

from modelferry.image.recipe.ignore import left_out, parse_rules
from modelferry.image.recipe.tree import sent_names
from tests.ignore_cases import BROKEN, FILES, UNCLEAR, understood, write_files


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("context")
    write_files(folder)
    return folder


@pytest.mark.parametrize(("text", "sent"), understood().items(), ids=map(repr, understood()))
def test_what_is_sent(context: Path, text: str, sent: set[str]) -> None:
    rules = parse_rules(text.encode())
    assert {name for name in sent_names(context, rules) if (context / name).is_file()} == sent


@pytest.mark.parametrize("text", [*UNCLEAR, *BROKEN], ids=repr)
def test_where_a_line_is_not_understood_everything_counts(context: Path, text: str) -> None:
    rules = parse_rules(f"*.log\n{text}".encode())
    assert set(FILES) <= set(sent_names(context, rules))


@pytest.mark.parametrize("line", [b"\xff*.log", b"\x1c*.log", b"a\0"])
def test_bytes_that_are_no_text_count_as_not_understood(line: bytes) -> None:
    assert parse_rules(b"*\n" + line) == ()
    assert len(parse_rules(b"*\n#" + line)) == 1


def test_an_exception_is_sent_in_its_folders(context: Path) -> None:
    rules = parse_rules(b"*\n!src/deep/x.txt\n")
    assert {*sent_names(context, rules)} == {"src", "src/deep", "src/deep/x.txt"}


def test_a_folder_that_was_not_asked_about_does_not_hit_for_what_is_in_it() -> None:
    """The third line: the folder is left out already."""
    rules = parse_rules(b"src\n!src/app.py\nsrc\n")
    out, hits = left_out(rules, "src")
    assert (out, hits) == (True, (True, False, False))
    assert left_out(rules, "src/app.py", hits)[0] is False
