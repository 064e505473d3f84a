from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from modelferry.apptest.integration import (
    Ground,
    clean_environment,
    judge,
    pytest_path,
    shell,
)
from modelferry.errors import TestsFailed
from modelferry.process import Completed

GROUND = Ground(
    workspace=PurePosixPath("/work"),
    scratch=PurePosixPath("/scratch of mine"),
    python="/usr/bin/python",
    model_api_url="http://app:88",
)
OURS = {
    "PATH": "/opt/bin",
    "HOME": "/github/home",
    "INPUT_PASSWORD": "hunter2",
    "AZURE_CLIENT_SECRET": "hunter2",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "hunter2",
    "AWS_SECRET_ACCESS_KEY": "hunter2",
    "KUBECONFIG": "/root/.kube/config",
    "DOCKER_HOST": "tcp://docker",
    "GITHUB_OUTPUT": "/output",
    "PIP_INDEX_URL": "https://me:hunter2@index/simple",
    "PYTEST_ADDOPTS": "-k nothing",
    "HTTPS_PROXY": "http://proxy:3128",
    "no_proxy": "localhost,.internal",
    "SSL_CERT_FILE": "/etc/ssl/ours.pem",
}
GREEN = b'<testsuite><testcase name="a"/><testcase name="b"/></testsuite>'
RED = GREEN.replace(b'"b"/>', b'"b"><failure message="no"/></testcase>')


def ended(status: int, *lines: str, timed_out: bool = False) -> Completed:
    return Completed(status=status, last_lines=lines, timed_out=timed_out)


def test_the_environment_is_an_allow_list():
    env = clean_environment(OURS, GROUND)
    assert "hunter2" not in str(env)
    assert not {"KUBECONFIG", "DOCKER_HOST", "GITHUB_OUTPUT"} & env.keys()
    assert env["HOME"] == "/scratch of mine"
    assert env["PATH"] == "/scratch of mine/packages/bin:/opt/bin"
    assert env["HTTPS_PROXY"] == "http://proxy:3128"
    assert env["SSL_CERT_FILE"] == "/etc/ssl/ours.pem"
    assert env["MODEL_API_URL"] == "http://app:88"


def test_the_app_is_never_asked_for_through_the_proxy():
    env = clean_environment(OURS, GROUND)
    assert env["no_proxy"] == env["NO_PROXY"] == "localhost,.internal,app"
    assert clean_environment({}, GROUND)["NO_PROXY"] == "app"


def test_pytests_options_survive_a_folder_with_a_space():
    assert (
        "'--junitxml=/scratch of mine/junit.xml'" in clean_environment({}, GROUND)["PYTEST_ADDOPTS"]
    )


def test_a_path_is_what_is_there(tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_api.py").touch()
    paths = ["tests", "tests/", "tests/test_api.py", "tests/test_api.py::test_x"]
    assert all(pytest_path(path, tmp_path) for path in paths)
    assert not any(pytest_path(command, tmp_path) for command in ["pytest tests", "make", "test"])


def test_a_shell_ends_at_the_first_failure():
    assert shell("a\nb") == ("/bin/sh", "-e", "-c", "a\nb")


def test_good_results_are_counted():
    suite = judge("integration", "tests", ended(0), GREEN, by_pytest=True)
    assert suite is not None
    assert suite.total == 2


def test_a_command_need_not_leave_results():
    assert judge("integration", "make", ended(0), None, by_pytest=False) is None


@pytest.mark.parametrize(
    ("done", "junit", "by_pytest", "says"),
    [
        (ended(1), RED, True, "1 of 2 integration tests failed: b: no"),
        (ended(0), RED, True, "1 of 2 integration tests failed: b: no"),
        (ended(1), RED, False, "1 of 2 integration tests failed: b: no"),
        (ended(1, "boom"), GREEN, False, "'x' ended with exit code 1"),
        (ended(1), GREEN, True, "'x' ended with exit code 1"),
        (ended(0), None, True, "pytest left no results"),
        (ended(1), None, True, "pytest left no results"),
        (ended(0), b"<", True, "cannot be read"),
        (ended(2), None, True, r"interrupted.*\(exit code 2\)"),
        (ended(3), None, True, r"internal error \(exit code 3\)"),
        (ended(4), None, True, r"test-requirements` \(exit code 4\)"),
        (ended(5), GREEN, True, r"found no tests \(exit code 5\)"),
        (ended(5), None, False, "'x' ended with exit code 5"),
        (ended(127), None, False, "no such command"),
        (ended(-9), None, False, "'x' ended with exit code -9"),
        (ended(137, timed_out=True), None, False, "not done in 30 min"),
        (ended(0, timed_out=True), None, False, "not done in 30 min"),
    ],
)
def test_all_else_fails(done, junit, by_pytest, says):
    with pytest.raises(TestsFailed, match=says):
        judge("integration", "x", done, junit, by_pytest=by_pytest)


def test_a_command_whose_status_is_good_is_good():
    suite = judge("integration", "pytest || true", ended(0), RED, by_pytest=False)
    assert suite is not None
    assert len(suite.failures) == 1


def test_at_most_ten_are_annotated_and_all_are_told():
    case = '<testcase name="t{0}" file="tests/a.py" line="{0}"><failure message="no"/></testcase>'
    xml = f"<testsuite>{''.join(case.format(n) for n in range(15))}</testsuite>"
    with pytest.raises(TestsFailed) as caught:
        judge("integration", "tests", ended(1), xml.encode(), by_pytest=True)
    assert [note.title for note in caught.value.annotations] == [f"t{n}" for n in range(10)]
    assert "- t14 (tests/a.py:15): no" in caught.value.seen
