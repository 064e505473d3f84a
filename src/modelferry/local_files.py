"""Files and folders that the inputs name: are they there? Asked before anything is fetched."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from modelferry.apptest.spec import AppTests
from modelferry.checks import Check
from modelferry.errors import Fault, InputError
from modelferry.image.spec import BuildSpec
from modelferry.plan.spec import DeployPlan, Plan


def missing(plan: Plan) -> tuple[Fault, ...]:
    """A fault for each that is not there, or is something else. Only for stages that run;
    `file:` models are the source's own business."""
    workspace = plan.context.workspace
    faults: list[Fault] = []
    if plan.build:
        faults += _build(plan.build, workspace)
    if plan.tests:
        faults += _tests(plan.tests, workspace)
    if plan.deploy:
        faults += _deploy(plan.deploy, workspace)
    return tuple(dict.fromkeys(faults))


def _build(build: BuildSpec, workspace: Path) -> Iterable[Fault]:
    if not build.context.is_dir():
        yield _fault("context", build.context, workspace, "is no folder")
        if build.file.is_relative_to(build.context):
            return
    if not build.file.is_file():
        hint = "" if build.file.name != "Dockerfile" else ": write one, or name it with `file`"
        yield _fault("file", build.file, workspace, f"is no file{hint}")
    for name, address in build.build_contexts:
        if not re.match(r"[a-z-]+://|git@", address) and not (workspace / address).exists():
            yield _fault("build-contexts", workspace / address, workspace, f"({name}) is not there")


def _tests(tests: AppTests, workspace: Path) -> Iterable[Fault]:
    yield from _checks(tests.checks, workspace)
    yield from _requirements(tests.test_requirements, workspace)
    if tests.test_target is None:
        yield from _suite("integration-tests", tests.integration_tests, workspace)


def _requirements(file: Path | None, workspace: Path) -> Iterable[Fault]:
    if file and not file.is_file():
        yield _fault("test-requirements", file, workspace, "is no file")


def _suite(name: str, command: str | None, workspace: Path) -> Iterable[Fault]:
    if named := _named_path(command or ""):
        path = workspace / named
        if not path.exists():
            yield _fault(name, path, workspace, "is neither file nor folder")


def _named_path(text: str) -> str:
    """A single word that can only be a path; what else it is, is a command."""
    word = text.partition("::")[0]  # pytest's way to name a test in a file
    is_path = not re.search(r"\s", text) and ("/" in word or word.endswith(".py"))
    return word if is_path else ""


def _checks(checks: Iterable[Check], workspace: Path) -> Iterable[Fault]:
    for check in checks:
        if check.file and not check.file.is_file():
            yield _fault(f"checks line {check.line}", check.file, workspace, "is no file")


def _deploy(deploy: DeployPlan, workspace: Path) -> Iterable[Fault]:
    from modelferry.rollout.manifests.load import files

    yield from _checks(deploy.spec.checks, workspace)
    yield from _suite("smoke-tests", deploy.spec.smoke_tests, workspace)
    if deploy.spec.smoke_tests:
        yield from _requirements(deploy.spec.test_requirements, workspace)
    try:
        files(deploy.spec.manifests, workspace)
    except InputError as error:
        yield from error.faults
    if named := deploy.cluster.path:
        paths = [workspace / Path(path).expanduser() for path in named.split(":") if path]
        if not any(path.is_file() for path in paths):  # it may be a secret's piece: never shown
            allowed = f"is neither a file (looked in {workspace}) nor a kubeconfig's content"
            yield Fault(name="kubeconfig", given=None, allowed=allowed)


def _fault(name: str, path: Path, workspace: Path, allowed: str) -> Fault:
    shown = path.relative_to(workspace) if path.is_relative_to(workspace) else path
    return Fault(name=name, given=str(shown), allowed=f"{allowed} (looked in {workspace})")
