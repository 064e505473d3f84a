"""`integration-tests` from a child process (the plain host), `unit-tests` and `test-target`."""

from __future__ import annotations

import os

import pytest

from modelferry.errors import TestsFailed

GOOD = """
import os
import requests

def test_version():
    answer = requests.get(os.environ["MODEL_API_URL"] + "/version", timeout=10)
    assert answer.json() == {"version": "1.4.2"}
"""
BAD = (
    GOOD
    + """
def score():
    return 0.2

def test_score_is_known():
    assert score() == 0.9

def test_score_of_nothing():
    raise ValueError("nothing to score")
"""
)


def test_a_pytest_folder_passes(ferry, caplog):
    caplog.set_level("INFO")
    ferry.write("tests/test_api.py", GOOD)
    before = sorted(ferry.workspace.rglob("*"))
    ferry.test(integration_tests="tests")
    assert "1 integration tests passed" in caplog.text
    assert sorted(ferry.workspace.rglob("*")) == before  # nothing is left in the workspace


def test_failures_are_counted_named_and_placed(ferry):
    ferry.write("tests/test_api.py", BAD)
    with pytest.raises(TestsFailed) as caught:
        ferry.test(integration_tests="tests")
    error = caught.value
    assert error.what == (
        "2 of 3 integration tests failed: test_score_is_known (tests/test_api.py:13):"
        " assert 0.2 == 0.9"
    )
    assert "test_score_of_nothing (tests/test_api.py:16): ValueError: nothing" in error.seen
    assert "GET /version" in error.seen  # the app's log
    assert [(place.file, place.line, place.title) for place in error.annotations] == [
        ("tests/test_api.py", 13, "test_score_is_known"),
        ("tests/test_api.py", 16, "test_score_of_nothing"),
    ]


def test_an_app_that_dies_under_the_tests_is_told(ferry):
    ferry.write(
        "tests/test_api.py",
        "import os, requests\n\ndef test_die():\n"
        '    requests.get(os.environ["MODEL_API_URL"] + "/die", timeout=10)\n',
    )
    with pytest.raises(TestsFailed, match="1 of 1 integration tests failed: test_die") as caught:
        ferry.test(integration_tests="tests")
    assert "(it ended by itself: exit code 7):" in caught.value.seen


def test_a_command_that_starts_pytest_is_placed_too(ferry):
    ferry.write("tests/test_api.py", BAD)
    with pytest.raises(TestsFailed, match=r"1 of 1 .* test_score_is_known") as caught:
        ferry.test(integration_tests="cd tests && pytest -k known")
    assert caught.value.annotations[0].file == "tests/test_api.py"


def test_a_command_that_fails(ferry):
    with pytest.raises(TestsFailed, match="ended with exit code 3") as caught:
        ferry.test(integration_tests="echo about to fail; exit 3")
    assert "about to fail" in caught.value.seen


def test_the_first_line_that_fails_ends_a_command(ferry):
    with pytest.raises(TestsFailed, match="ended with exit code 1"):
        ferry.test(integration_tests="false\ntrue")


def test_a_mistyped_path_is_no_command(ferry):
    with pytest.raises(TestsFailed, match="no such command, and no such path in the workspace"):
        ferry.test(integration_tests="tests/integraton")


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("", r"found no tests \(exit code 5\)"),
        ("def test_stop():\n    raise KeyboardInterrupt", r"interrupted.*\(exit code 2\)"),
        ("import os\n\ndef test_gone():\n    os._exit(0)", "pytest left no results"),
        ("import absent", r"1 of 1 .*\(tests/test_api.py:1\): ModuleNotFoundError"),
    ],
)
def test_a_suite_that_does_not_run_is_a_failure(ferry, text, end):
    ferry.write("tests/test_api.py", text)
    with pytest.raises(TestsFailed, match=end):
        ferry.test(integration_tests="tests")


def test_options_that_need_a_plugin(ferry):
    ferry.write("tests/test_api.py", GOOD)
    ferry.write("pytest.ini", "[pytest]\naddopts = --no-such-option\n")
    with pytest.raises(TestsFailed, match=r"test-requirements.*\(exit code 4\)"):
        ferry.test(integration_tests="tests")


def test_a_status_that_is_turned_good_does_not_hide_failures(ferry):
    ferry.write("tests/test_api.py", BAD)
    ferry.write("conftest.py", "def pytest_sessionfinish(session):\n    session.exitstatus = 0\n")
    with pytest.raises(TestsFailed, match="2 of 3 integration tests failed"):
        ferry.test(integration_tests="tests")


def test_tests_have_none_of_our_environment(ferry, monkeypatch, caplog):
    caplog.set_level("INFO")
    for name in ("INPUT_PASSWORD", "KUBECONFIG", "DOCKER_HOST", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"):
        monkeypatch.setenv(name, "hunter2")
    monkeypatch.delenv("DOCKER_HOST")
    ferry.test(integration_tests="env; test $HOME != " + os.environ["HOME"])
    assert "MODEL_API_URL=http://127.0.0.1:" in caplog.text
    assert "hunter2" not in caplog.text


def test_requirements_are_installed_for_the_tests_alone(ferry, wheels):
    ferry.write("tests/test_api.py", "import ferrytoy\n\ndef test_toy():\n    assert ferrytoy.TOY")
    requirements = ferry.write("tests/requirements.txt", "ferrytoy==1.0\n")
    # The index is the runner's own setting.
    environ = dict(os.environ) | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
    ferry.test(
        integration_tests="tests",
        test_requirements=requirements.relative_to(ferry.workspace),
        environ=environ,
    )
    with pytest.raises(TestsFailed, match="ModuleNotFoundError: No module named 'ferrytoy'"):
        ferry.test(integration_tests="tests", environ=environ)


def test_requirements_that_do_not_exist(ferry):
    requirements = ferry.write("requirements.txt", "ferrytoy==1.0\n")
    with pytest.raises(TestsFailed, match="test-requirements: pip could not install") as caught:
        ferry.test(
            integration_tests="true",
            test_requirements=requirements,
            environ=dict(os.environ) | {"PIP_NO_INDEX": "1"},
        )
    assert "No matching distribution found for ferrytoy" in caught.value.seen


def test_unit_tests_run_in_the_image_before_the_app(ferry, caplog):
    caplog.set_level("INFO")
    ferry.test(unit_tests="pwd; test -f app.py; echo mode=$MODE", mode="late")
    assert caplog.messages.index("/code") < caplog.messages.index("mode=late")


def test_unit_tests_that_fail_show_their_end_and_start_no_app(ferry, caplog):
    caplog.set_level("INFO")
    with pytest.raises(TestsFailed, match=r"the unit tests failed: .* exit code 5") as caught:
        ferry.test(unit_tests="for i in 1 2 3; do echo at $i; done; exit 5")
    assert "at 3" in caught.value.seen
    assert "the app runs in" not in caplog.text


def test_failed_unit_tests_by_pytest_are_placed_in_the_workspace(ferry):
    test = "def test_scale():\n    assert 1 == 2\n"
    ferry.write("service/tests/test_scale.py", test)
    with pytest.raises(TestsFailed, match=r"1 of 1 unit tests failed: test_scale") as caught:
        ferry.test(
            unit_tests=f"mkdir tests; printf '{test}' > tests/test_scale.py; pytest tests",
            build_context=ferry.workspace / "service",
        )
    assert [place.file for place in caught.value.annotations] == ["service/tests/test_scale.py"]


@pytest.mark.parametrize("command", [None, "python3 -m pytest tests"])
def test_the_test_target_runs_its_tests(ferry, build, caplog, command):
    caplog.set_level("INFO")
    ferry.test(test_target="tests", build_target=build, integration_tests=command)
    assert "1 integration tests passed" in caplog.text


def test_the_test_target_runs_a_path_with_pytest(ferry, build):
    ferry.write("tests/test_in_target.py", "what is in the image runs, this tells its place")
    with pytest.raises(TestsFailed, match="1 of 1 integration tests failed") as caught:
        ferry.test(
            test_target="tests",
            build_target=build,
            integration_tests="tests/test_in_target.py",
            mode="old",
        )
    assert [(at.file, at.line) for at in caught.value.annotations] == [
        ("tests/test_in_target.py", 8)
    ]


def test_a_test_target_without_a_build_is_refused(ferry):
    with pytest.raises(TestsFailed, match="this run builds nothing"):
        ferry.test(test_target="tests")
