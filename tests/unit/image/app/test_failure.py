import pytest

from modelferry.image.app.failure import explain, find_instruction

DOCKERFILE = """\
# syntax=docker/dockerfile:1
FROM python:3.12-slim AS base
COPY requirements.txt /code/
# a comment
RUN pip install \\
      --no-cache-dir \\
      # inside
      -r /code/requirements.txt
COPY app.py /code/
RUN false
RUN test ${VERSION:-3} = $WANTED
"""


def test_old_buildkit_shows_the_step_and_we_find_its_line() -> None:
    lines = [
        "#8 [4/4] RUN false",
        "#8 ERROR: executor failed running [/bin/sh -c false]: exit code: 1",
        "------",
        " > [4/4] RUN false:",
        "------",
        (
            "ERROR: failed to build: failed to solve: executor failed running [/bin/sh -c false]: "
            "exit code: 1"
        ),
    ]
    failure = explain(lines, DOCKERFILE)
    assert (failure.step, failure.line, failure.reason) == ("RUN false", 10, "exit code: 1")


def test_newer_buildkit_tells_the_line() -> None:
    lines = [
        "------",
        " > [base 3/4] RUN pip install -r x:",
        "1.2 ERROR: No matching distribution found for nosuch",
        "------",
        "Dockerfile:41",
        "--------------------",
        "  41 | >>> RUN pip install -r x",
        "--------------------",
        (
            'ERROR: failed to build: failed to solve: process "/bin/sh -c pip install -r x" did '
            "not complete successfully: exit code: 1"
        ),
    ]
    failure = explain(lines, DOCKERFILE)
    assert failure.line == 41
    assert failure.step == "RUN pip install -r x"
    assert failure.reason == "exit code: 1"


@pytest.mark.parametrize(
    "told",
    [
        "dockerfile parse error line 3: unknown instruction: RUNN",
        "dockerfile parse error on line 3: unknown instruction: RUNN",
    ],
)
def test_a_syntax_error_names_its_line(told: str) -> None:
    failure = explain([f"ERROR: failed to solve: {told}"], DOCKERFILE)
    assert (failure.line, failure.reason) == (3, "unknown instruction: RUNN")


def test_an_error_without_a_step_still_gives_its_reason() -> None:
    lines = [
        "------",
        " > [internal] load metadata for docker.io/library/nosuch:1:",
        "------",
        "ERROR: failed to build: failed to solve: nosuch:1: not found",
    ]
    failure = explain(lines, DOCKERFILE)
    assert (failure.step, failure.line, failure.reason) == ("", 2, "nosuch:1: not found")


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (
            (
                "failed to solve: rpc error: code = Unknown desc = failed to solve with frontend "
                "dockerfile.v0: failed to create LLB definition: failed to authorize: rpc error: "
                "code = Unknown desc = failed to fetch oauth token: unauthorized: wrong password"
            ),
            "failed to fetch oauth token: unauthorized: wrong password",
        ),
        (
            (
                "failed to solve: reg.example/a:1: failed to resolve source metadata for "
                "reg.example/a:1: unexpected status from HEAD request to "
                "https://reg.example/v2/a/manifests/1: 403 Forbidden"
            ),
            (
                "unexpected status from HEAD request to https://reg.example/v2/a/manifests/1: "
                "403 Forbidden"
            ),
        ),
    ],
)
def test_a_registrys_refusal_names_the_image(told: str, reason: str) -> None:
    lines = ["------", " > [internal] load metadata for reg.example/a:1:", "------"]
    dockerfile = "FROM python:3.12\nRUN true\nFROM reg.example/a:1\n"
    failure = explain([*lines, f"ERROR: failed to build: {told}"], dockerfile)
    assert (failure.refused, failure.line, failure.reason) == ("reg.example/a:1", 3, reason)


def test_an_image_that_does_not_exist_was_not_refused() -> None:
    lines = [
        " > [internal] load metadata for docker.io/library/pyhton:3:",
        (
            "ERROR: failed to solve: pyhton:3: failed to resolve source metadata for "
            "docker.io/library/pyhton:3: pull access denied, repository does not exist or may "
            "require authorization: server message: insufficient_scope: authorization failed"
        ),
    ]
    failure = explain(lines, "FROM pyhton:3")
    assert (failure.refused, failure.line) == ("", 1)
    assert failure.reason.startswith("pull access denied, repository does not exist")


def test_output_that_says_nothing_is_no_crash() -> None:
    assert explain([], "").reason == "no output"
    assert explain(["Killed"], "").reason == "Killed"


@pytest.mark.parametrize(
    ("step", "line"),
    [
        ("RUN pip install --no-cache-dir -r /code/requirements.txt", 5),
        ("COPY app.py /code/", 9),
        ("RUN test 3.12 = 3.12", 11),
        ("COPY other.py /code/", None),  # two COPY lines, either could be meant
        ("FROM docker.io/library/python:3.12-slim@sha256:1", 2),
    ],
)
def test_the_line_of_an_instruction(step: str, line: int | None) -> None:
    assert find_instruction(DOCKERFILE, step) == line


@pytest.mark.parametrize(
    ("why", "by_login"),
    [
        ("failed to authorize: failed to fetch anonymous token: 401 Unauthorized", True),
        ("failed to do request: Head http://r.example/v2/: connection refused", False),
    ],
)
def test_what_was_built_and_not_pushed_is_no_failure_of_the_dockerfile(
    why: str, by_login: bool
) -> None:
    lines = [
        "#10 [stage-1 4/4] COPY app.txt /srv/app.txt",
        "#10 DONE 0.1s",
        "#11 exporting to image",
        f"#11 ERROR: failed to push r.example/team/app: {why}",
        "------",
        " > exporting to image:",
        "------",
        f"ERROR: failed to build: failed to solve: {why}",
    ]
    failure = explain(lines, "FROM x\nCOPY app.txt /srv/app.txt\n")
    assert (failure.unpushed, failure.by_login) == ("r.example/team/app", by_login)
    assert (failure.step, failure.line) == ("", None)
    assert failure.reason in why
