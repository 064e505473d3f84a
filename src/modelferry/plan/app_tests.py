"""The `tests` group of inputs → AppTests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from modelferry.apptest.spec import AppTests
from modelferry.checks import Check, parse_checks
from modelferry.inputs import AppTestInputs
from modelferry.plan.parsing import Faults, duration, one_line, pairs, path_in, port, word

ENVIRONMENT_NAME = r"[A-Za-z_][A-Za-z0-9_.-]*"


def plan_tests(
    inputs: AppTestInputs, workspace: Path, faults: Faults, *, smoke_tests: bool = False
) -> AppTests:
    if inputs.test_requirements and not (inputs.integration_tests or smoke_tests):
        needed = "needs integration-tests or smoke-tests"
        faults.add("test-requirements", inputs.test_requirements, needed)
    elif inputs.test_requirements and inputs.test_target and not smoke_tests:
        faults.add(
            "test-requirements",
            inputs.test_requirements,
            "is not for a test-target: install them in that stage of the Dockerfile",
        )
    return AppTests(
        unit_tests=inputs.unit_tests or None,
        port=faults.read("port", inputs.port, port, 0) or None,
        health_path=faults.read("health-path", inputs.health_path, _path, "/"),
        start_timeout_s=faults.read("start-timeout", inputs.start_timeout, duration, 60.0),
        env=pairs("test-env", inputs.test_env, faults, key=ENVIRONMENT_NAME, shown=False),
        checks=_checks(inputs.checks, workspace, faults),
        integration_tests=inputs.integration_tests or None,
        test_requirements=faults.read(
            "test-requirements", inputs.test_requirements, path_in(workspace), None
        ),
        test_target=faults.read("test-target", inputs.test_target, word, "") or None,
    )


def _checks(text: str, workspace: Path, faults: Faults) -> tuple[Check, ...]:
    checks, found = parse_checks(text)
    faults.extend(found)
    return tuple(
        replace(check, file=workspace / check.file) if check.file else check for check in checks
    )


def _path(text: str) -> str:
    if not text.startswith("/") or " " in text or not text.isascii():
        raise ValueError("must be a path that starts with /, percent-encoded where needed")
    return one_line(text)
