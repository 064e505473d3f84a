from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from modelferry.errors import Fault
from modelferry.plan import Plan


def test_defaults(plan_of: Callable[..., Plan]) -> None:
    tests = plan_of().tests
    assert tests
    assert (tests.port, tests.health_path, tests.start_timeout_s) == (None, "/", 60.0)
    assert (tests.unit_tests, tests.checks, tests.env) == (None, (), ())


def test_everything(plan_of: Callable[..., Plan]) -> None:
    plan = plan_of(
        {
            "unit-tests": "pytest tests/unit",
            "port": "88",
            "health-path": "/version?full=1",
            "start-timeout": "1m30s",
            "test-env": "LOG_LEVEL=debug\nTOKEN=a=b",
            "checks": "POST /score image=@cats/lynx.jpg => 200",
            "integration-tests": "tests/integration",
            "test-requirements": "tests/requirements.txt",
        }
    )
    tests = plan.tests
    assert tests
    assert tests.unit_tests == "pytest tests/unit"
    assert (tests.port, tests.health_path, tests.start_timeout_s) == (88, "/version?full=1", 90.0)
    assert tests.env == (("LOG_LEVEL", "debug"), ("TOKEN", "a=b"))
    assert tests.integration_tests == "tests/integration"
    assert tests.test_requirements == Path("/workspace/tests/requirements.txt")
    [check] = tests.checks
    assert (check.file, check.part) == (Path("/workspace/cats/lynx.jpg"), "image")
    assert plan.deploy
    assert plan.deploy.spec.checks == tests.checks


@pytest.mark.parametrize(
    ("given", "name", "says"),
    [
        ({"port": "88/tcp"}, "port", "1 to 65535"),
        ({"health-path": "healthz"}, "health-path", "starts with /"),
        ({"health-path": "http://localhost/"}, "health-path", "starts with /"),
        ({"health-path": "/über"}, "health-path", "percent-encoded"),
        ({"start-timeout": "60"}, "start-timeout", "60s for seconds"),
        ({"test-env": "PASSWORD hunter2"}, "test-env line 1", "NAME=VALUE"),
        ({"test-env": "1A=hunter2"}, "test-env line 1", "NAME=VALUE"),
        ({"checks": "GET /\n\nGET /x =>"}, "checks line 3", "must be a status"),
        ({"test-requirements": "r.txt"}, "test-requirements", "needs integration-tests"),
        (
            {"test-requirements": "r.txt", "test-target": "tests", "integration-tests": "pytest"},
            "test-requirements",
            "is not for a test-target",
        ),
        ({"test-target": "a b"}, "test-target", "one word"),
    ],
)
def test_refuses(
    faults_of: Callable[..., tuple[Fault, ...]], given: dict[str, str], name: str, says: str
) -> None:
    [fault] = faults_of(given)
    assert fault.name == name
    assert says in fault.allowed
    assert "hunter2" not in str(fault)
