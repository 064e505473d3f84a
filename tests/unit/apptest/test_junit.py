from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from modelferry.apptest.integration import pytest_options
from modelferry.apptest.junit import Suite, in_workspace, read_junit
from modelferry.errors import Annotation

TESTS = """
import pytest

@pytest.fixture
def torn():
    yield
    raise RuntimeError("torn down")

def scored(x):
    assert x == 0.9

def test_good(): pass
def test_plain():
    assert 0.2 == 0.9
def test_below():
    scored(0.3)
def test_told():
    assert False, "the cat scored\\nlow"
def test_torn(torn):
    assert 1 == 2
def test_raises():
    raise ValueError("no\\nscore")
def test_wants(what_is_not_there): pass
@pytest.mark.skip
def test_skipped(): pass
@pytest.mark.parametrize("x", ["a b", "é"])
def test_each(x):
    assert x == "a b"
class TestGroup:
    def test_in_group(self):
        assert {"a": 1} == {}
"""


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    """What the installed pytest really writes."""
    folder = tmp_path_factory.mktemp("suite")
    (folder / "tests").mkdir()
    (folder / "tests/test_api.py").write_text(TESTS)
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests"],
        cwd=folder,
        env={"PYTEST_ADDOPTS": pytest_options(folder, folder / "scratch")},
        capture_output=True,
        check=False,
    )
    return read_junit((folder / "scratch/junit.xml").read_bytes())


def test_each_test_counts_once(suite):
    assert (suite.total, suite.skipped, len(suite.failures)) == (11, 1, 8)


def test_failures_are_placed_in_the_tests_own_file(suite):
    assert [(failure.name, failure.line) for failure in suite.failures] == [
        ("test_plain", 14),
        ("test_below", 16),  # not where scored() failed
        ("test_told", 18),
        ("test_torn", 20),  # not where its fixture failed
        ("test_raises", 22),
        ("test_wants", 23),
        ("test_each[\\xe9]", 28),
        ("test_in_group", 31),
    ]
    assert {failure.file for failure in suite.failures} == {"tests/test_api.py"}


def test_causes_are_one_line(suite):
    causes = {failure.name: failure.cause for failure in suite.failures}
    assert causes["test_plain"] == "assert 0.2 == 0.9"
    assert causes["test_told"] == "the cat scored"
    assert causes["test_raises"] == "ValueError: no"
    assert str(suite.failures[0]) == "test_plain (tests/test_api.py:14): assert 0.2 == 0.9"


def test_the_whole_message_goes_into_the_annotation(suite):
    note = suite.failures[2].annotation()
    assert note is not None
    assert (note.file, note.line, note.title) == ("tests/test_api.py", 18, "test_told")
    assert "low" in note.message


def test_other_tools_tell_less():
    xml = b'<testsuite><testcase name="t"><failure message="m"/></testcase></testsuite>'
    (failure,) = read_junit(xml).failures
    assert (failure.file, failure.line, failure.cause) == (None, None, "m")
    assert failure.annotation() is None


def test_two_suites_are_one():
    case = '<testsuite><testcase classname="{0}" name="t"/></testsuite>'
    xml = f"<testsuites>{case.format('a')}{case.format('b')}</testsuites>"
    assert read_junit(xml.encode()).total == 2


@pytest.mark.parametrize("xml", [b"", b"<html/>", b"<testsuites><testcase", b"\xff\xfe"])
def test_what_is_no_junit_is_said(xml):
    with pytest.raises(ValueError, match=r"."):
        read_junit(xml)


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ("tests/test_api.py", "tests/test_api.py"),
        ("code/tests/test_api.py", "tests/test_api.py"),
        ("/code/tests/test_api.py", "tests/test_api.py"),
        ("tests/test_model.py", "service/tests/test_model.py"),
        ("tests/test_gone.py", None),
        ("../secret.py", None),
    ],
)
def test_a_path_of_the_images_is_found_in_the_workspace(tmp_path, named, found):
    workspace = tmp_path / "workspace"
    for name in ("tests/test_api.py", "service/tests/test_model.py"):
        file = workspace / name
        file.parent.mkdir(parents=True)
        file.touch()
    (tmp_path / "secret.py").touch()
    note = Annotation(file=named, line=3, title="t", message="m")
    placed = in_workspace(note, workspace, (workspace, workspace / "service"))
    assert (placed.file if placed else None) == found


def test_paths_are_path_objects_of_the_workspace_that_may_be_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/test_api.py").touch()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real")
    note = Annotation(file="test_api.py", line=1, title="t", message="m")
    assert in_workspace(note, link, (Path(link),)) == note
