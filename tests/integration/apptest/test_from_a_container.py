"""The stage run from inside a container, as GitHub and act run us, on every kind of network."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from docker.models.containers import Container

from modelferry.apptest.where import ROLE_LABEL
from modelferry.artifacts import Image
from modelferry.engine import Engine
from tests.integration.apptest.conftest import archive

SOCKET = "/var/run/docker.sock"
WORKSPACE = "/github/workspace"
SEES_ITSELF = """
import os
import pathlib
import requests

def test_it_is_beside_the_app():
    assert os.environ["MODEL_API_URL"] == "http://app:8080"
    answer = requests.get(os.environ["MODEL_API_URL"] + "/version", timeout=10)
    assert answer.json() == {"version": "1.4.2"}

def test_it_has_no_socket_and_no_credential():
    assert not pathlib.Path("/var/run/docker.sock").exists()
    assert "hunter2" not in str(os.environ)
    assert "hunter2" not in pathlib.Path("/proc/1/environ").read_text()

def test_it_sees_the_workspace_without_the_checkouts_token():
    assert pathlib.Path.cwd() == pathlib.Path("/github/workspace")
    assert pathlib.Path("data/cat.txt").read_text() == "a cat"
    assert not pathlib.Path(".git").exists()
"""
FILES = {
    "tests/test_api.py": SEES_ITSELF,
    "tests/test_bad.py": "def test_bad():\n    assert 0.2 == 0.9\n",
    "data/cat.txt": "a cat",
    ".git/config": "token = hunter2",
    "tests/requirements.txt": "--no-index\n--find-links wheels\nferrytoy==1.0\n",
    "toy/test_toy.py": "import ferrytoy\n\ndef test_toy():\n    assert ferrytoy.TOY\n",
}


@pytest.fixture
def drive(
    engine: Engine,
    image: Image,
    action_image: str,
    start: Callable[..., Container],
    unique: str,
    wheels: Path,
) -> Iterator[Callable[..., dict]]:
    def run_inside(
        *,
        integration_tests: str,
        requirements: str | None = None,
        labels: bool = True,
        meanwhile: Callable[[], object] = lambda: None,
        **options: object,
    ) -> dict:
        told = {
            "image": image.engine_id,
            "workspace": WORKSPACE,
            "temp": "/tmp",
            "run_label": unique,
            "integration_tests": integration_tests,
        } | ({"requirements": requirements} if requirements else {})
        container = start(
            action_image,
            ["/drive.json"],
            entrypoint=["python", "/drive.py"],
            environment={"PYTHONPATH": "/app/src", "INPUT_PASSWORD": "hunter2"},
            volumes=[f"{SOCKET}:{SOCKET}"],
            labels={} if labels else {ROLE_LABEL: ""},
            **options,
        )
        files = {f"{WORKSPACE[1:]}/{name}": text.encode() for name, text in FILES.items()}
        for wheel in wheels.iterdir():
            files[f"{WORKSPACE[1:]}/wheels/{wheel.name}"] = wheel.read_bytes()
        files["drive.json"] = json.dumps(told).encode()
        files["drive.py"] = Path(__file__).with_name("drive.py").read_bytes()
        container.put_archive("/", archive(files))
        meanwhile()
        container.start()
        container.wait(timeout=120)
        log = container.logs().decode()
        print(log)
        report = container.logs(stderr=False).decode().splitlines()[-1]
        return json.loads(report) | {"log": log, "id": container.id}

    yield run_inside
    chosen = {"label": f"modelferry.run={unique}"}
    assert not engine.client.containers.list(True, filters=chosen)
    assert not engine.client.networks.list(filters=chosen)


def test_on_the_default_bridge(drive, action_image):
    report = drive(integration_tests="tests/test_api.py")
    assert report["end"] == "passed"
    assert (report["attach"], report["own_image"]) == (report["id"], action_image)
    assert "3 integration tests passed" in report["log"]


def test_on_a_network_of_the_job(drive, engine, unique):
    network = engine.client.networks.create(f"github_network_{unique}")
    try:
        report = drive(integration_tests="tests/test_api.py", network=network.name)
    finally:
        network.remove()
    assert report["end"] == "passed"
    assert report["attach"] == report["id"]


def test_on_the_host_network(drive):
    report = drive(integration_tests="tests/test_api.py", network_mode="host")
    assert report["end"] == "passed"
    assert report["attach"] is None


def test_on_the_network_of_another_container(drive, start, image, action_image):
    """As act runs an action when the job has a container. Others may be on that network, too."""
    job = start(image.engine_id, ["sleep", "300"])
    job.start()
    shared = f"container:{job.id}"

    def one_more() -> None:
        start(image.engine_id, ["sleep", "300"], network_mode=shared).start()

    one_more()
    report = drive(integration_tests="tests/test_api.py", network_mode=shared, meanwhile=one_more)
    assert report["end"] == "passed"
    assert (report["attach"], report["own_image"]) == (job.id, action_image)


def test_on_the_network_of_a_container_on_the_host_network(drive, start, image):
    job = start(image.engine_id, ["sleep", "300"], network_mode="host")
    job.start()
    report = drive(integration_tests="tests/test_api.py", network_mode=f"container:{job.id}")
    assert report["end"] == "passed"
    assert report["attach"] is None


def test_in_a_container_that_is_not_our_image(drive):
    """The composite action in a job container: a child process there, at the app's address."""
    report = drive(
        labels=False, integration_tests='test -S /var/run/docker.sock; test -z "$INPUT_PASSWORD"'
    )
    assert report["end"] == "passed"
    assert report["own_image"] is None


def test_requirements_are_installed_beside_the_app(drive):
    report = drive(integration_tests="toy", requirements="tests/requirements.txt")
    assert report["end"] == "passed"


def test_without_requirements_they_are_not_there(drive):
    report = drive(integration_tests="toy")
    assert "No module named 'ferrytoy'" in report["end"]


def test_failures_come_back_from_beside_the_app(drive):
    report = drive(integration_tests="tests")
    assert report["end"] == (
        "TestsFailed: 1 of 4 integration tests failed: test_bad (tests/test_bad.py:2):"
        " assert 0.2 == 0.9"
    )


def test_our_default_route_stays_where_it_is(drive, start, action_image):
    route = start(action_image, [], entrypoint=["cat", "/proc/net/route"])
    route.start()
    route.wait()
    before = route.logs().decode().splitlines()[1].split()[2]
    report = drive(
        labels=False,
        integration_tests='awk \'$2 == "00000000" {print "during", $3}\' /proc/net/route',
    )
    assert f"during {before}" in report["log"]
    assert report["route"] == [before]
