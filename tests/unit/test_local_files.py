from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from modelferry.inputs import from_values
from modelferry.local_files import missing
from modelferry.plan import Plan, RunContext, make_plan

GIVEN = {
    "registry": "reg.azurecr.io",
    "repository": "score",
    "manifests": "k8s/",
    "checks": "POST /score @cats/lynx.jpg",
    "integration-tests": "tests/test_api.py::test_score",
    "test-requirements": "tests/requirements.txt",
    "build-contexts": "lib=lib\nbase=docker-image://alpine",
    "kubeconfig": "config",
}
FILES = (
    "Dockerfile",
    "k8s/app/deployment.yaml",
    "cats/lynx.jpg",
    "tests/test_api.py",
    "tests/requirements.txt",
    "lib/x",
    "config",
)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def plan_in(workspace: Path, **given: str) -> Plan:
    context = RunContext(
        workspace=workspace,
        temp=workspace / "temp",
        run_id="1",
        run_attempt=1,
        repository=None,
        commit="a" * 40,
        branch="main",
        server_url=None,
    )
    names = {name.replace("_", "-"): value for name, value in given.items()}
    return make_plan(from_values({**GIVEN, **names}), context)


def test_nothing_is_missing(workspace: Path) -> None:
    assert missing(plan_in(workspace)) == ()


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("Dockerfile", "file"),
        ("k8s/app/deployment.yaml", "manifests"),
        ("cats/lynx.jpg", "checks line 1"),
        ("tests/test_api.py", "integration-tests"),
        ("tests/requirements.txt", "test-requirements"),
        ("config", "kubeconfig"),
    ],
)
def test_each_missing_file_is_one_fault(workspace: Path, file: str, name: str) -> None:
    (workspace / file).unlink()
    [fault] = missing(plan_in(workspace))
    assert fault.name == name
    assert (fault.given is None) == (name == "kubeconfig")  # that may be a secret's piece


@pytest.mark.parametrize(
    ("given", "name", "shown"),
    [
        ({"context": "app"}, "context", "app"),
        ({"context": "Dockerfile"}, "context", "Dockerfile"),
        ({"file": "docker/Dockerfile"}, "file", "docker/Dockerfile"),
        ({"file": "k8s"}, "file", "k8s"),
        ({"build_contexts": "lib=../none"}, "build-contexts", "../none"),
        ({"manifests": "k8s/\nk8s/*.json"}, "manifests", "k8s/*.json"),
        ({"manifests": "cats"}, "manifests", "cats"),
        ({"integration_tests": "tests/integration"}, "integration-tests", "tests/integration"),
        ({"test_requirements": "tests"}, "test-requirements", "tests"),
        ({"kubeconfig": "~/none/config"}, "kubeconfig", None),
    ],
)
def test_refuses(workspace: Path, given: dict[str, str], name: str, shown: str | None) -> None:
    [fault] = missing(plan_in(workspace, **given))
    assert fault.name == name
    assert shown is None or fault.given == shown or str(fault.given).endswith(shown)


@pytest.mark.parametrize(
    "given",
    [
        {"integration_tests": "npm test"},
        {"integration_tests": "pytest"},
        {"integration_tests": "/in/image", "test_target": "test", "test_requirements": ""},
        {"kubeconfig": "apiVersion: v1\nkind: Config"},
        {"kubeconfig": '{"apiVersion": "v1"}'},
        {"kubeconfig": "none:config"},
        {"manifests": "k8s/**/*.yaml"},
    ],
)
def test_what_is_no_file_of_ours_is_not_looked_for(workspace: Path, given: dict[str, str]) -> None:
    assert missing(plan_in(workspace, **given)) == ()


def test_all_at_once_and_each_once(tmp_path: Path) -> None:
    faults = missing(plan_in(tmp_path))
    assert [fault.name for fault in faults] == [
        "file",
        "build-contexts",
        "checks line 1",
        "test-requirements",
        "integration-tests",
        "manifests",
        "kubeconfig",
    ]


def test_stages_that_do_not_run_need_no_files(tmp_path: Path) -> None:
    plan = plan_in(tmp_path)
    assert missing(replace(plan, build=None, tests=None, deploy=None)) == ()
