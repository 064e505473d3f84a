"""`python entrypoint.py` as a process, in a good world and in broken ones."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.world import ROOT, Cluster, Finished, RegistryView, run_entrypoint

Deliver = Callable[..., Finished]  # inputs that differ from the usual ones; None takes one away
APP = Path(__file__).parent / "app"
MODEL = b"1,2,3\n"


@pytest.fixture
def access(testbed: dict[str, str]) -> dict[str, str]:
    return {
        "azure-storage-key": testbed["TESTBED_BLOB_KEY"],
        "azure-storage-endpoint": testbed["TESTBED_BLOB_ENDPOINT"],
        "registry": testbed["TESTBED_REGISTRY"],
        "username": testbed["TESTBED_REGISTRY_USERNAME"],
        "password": testbed["TESTBED_REGISTRY_PASSWORD"],
        "insecure-registry": "true",
        "kubeconfig": testbed["KUBECONFIG"],
    }


@pytest.fixture
def deliver(
    testbed: dict[str, str],
    access: dict[str, str],
    unique: str,
    blobs: Any,
    cluster: Cluster,
    tmp_path: Path,
) -> Deliver:
    """Runs the small app; its model is in Blob storage, its namespace is the test's."""
    blobs.upload_blob("weights.csv", MODEL)
    workspace = Path(shutil.copytree(APP, tmp_path / "workspace"))
    usual = access | {
        "model": f"azblob://{testbed['TESTBED_BLOB_ACCOUNT']}/{unique}/weights.csv",
        "build-args": f"BASE={testbed['TESTBED_BASE_IMAGE']}",
        "repository": unique,
        "manifests": "deploy.yaml",
        "namespace": unique,
        "variables": "MOOD=",
        "timeout": "60s",
    }

    def deliver(environ: Mapping[str, str] | None = None, **different: str | None) -> Finished:
        changed = {name.replace("_", "-"): value for name, value in different.items()}
        inputs = {name: value for name, value in (usual | changed).items() if value is not None}
        return run_entrypoint(workspace, tmp_path, inputs, environ=environ)

    return deliver


def assert_failed(finished: Finished, status: int, *cause: str) -> None:
    """The exit status, one ::error whose first line names the cause, and nothing left behind."""
    assert finished.status == status, finished.log
    assert len(finished.step.errors()) == 1, finished.log
    first_line = finished.step.errors()[0].message.splitlines()[0]
    assert all(word in first_line for word in cause), first_line
    assert finished.left_over == ""


def test_the_tutorial_end_to_end_and_once_more(
    testbed: dict[str, str],
    access: dict[str, str],
    unique: str,
    blobs: Any,
    cluster: Cluster,
    registry: RegistryView,
    tutorial_model: Path,
    tmp_path: Path,
) -> None:
    files = {file.name: file.read_bytes() for file in tutorial_model.iterdir()}
    lines = []
    for name, content in files.items():
        blobs.upload_blob(name, content)
        account = testbed["TESTBED_BLOB_ACCOUNT"]
        lines.append(f"azblob://{account}/{unique}/{name} => /code/{name}")
    workspace = Path(shutil.copytree(ROOT / "examples" / "tutorial", tmp_path / "workspace"))
    inputs = access | {
        "model": "\n".join(lines),
        "context": "flaskwebapp",
        "repository": "model-api",
        "unit-tests": "python -m pytest /code/tests/unit",
        "health-path": "/version",
        "checks": "POST /score image=@flaskwebapp/tests/integration/blue.png contains blue",
        "integration-tests": "flaskwebapp/tests/integration",
        "manifests": "deploy/deploy.yaml",
        "namespace": unique,
    }
    for _ in range(2):  # a bare Pod cannot be changed: the second deploy replaces it
        finished = run_entrypoint(workspace, tmp_path, inputs)

        assert finished.status == 0, finished.log
        assert finished.step.errors() == []
        assert finished.left_over == ""
        assert finished.outputs["rollout"] == "succeeded"
        registry.manifest("model-api", finished.outputs["digest"])
        assert cluster.images() == {finished.outputs["image"]}
        for name, content in files.items():
            assert cluster.sha256_in_pod(f"/code/{name}") == sha256(content).hexdigest()
            assert sha256(content).hexdigest() in finished.outputs["report"]


def test_wrong_inputs_are_all_told_at_once(deliver: Deliver) -> None:
    finished = deliver(timeout="soon", checks="FETCH /", stages="build deploy")
    assert_failed(finished, 2)
    message = finished.step.errors()[0].message
    assert [name for name in ("timeout", "checks", "image") if name not in message] == []


def test_a_wrong_storage_key(deliver: Deliver, registry: RegistryView, unique: str) -> None:
    wrong = (
        "AAAAxrCDWL2vEAX0v/H8ZUgjTdHeuXtkZsYlrKD95G4YAAAAMxmtF8z0lb7B/J0iCmxgnqXLOBCTAAAAAAAAAA=="
    )
    assert_failed(deliver(azure_storage_key=wrong), 3, "key")
    assert registry.tags(unique) == []


def test_a_missing_blob(deliver: Deliver, testbed: dict[str, str], unique: str) -> None:
    finished = deliver(model=f"azblob://{testbed['TESTBED_BLOB_ACCOUNT']}/{unique}/gone.csv")
    assert_failed(finished, 4, "gone.csv")
    assert finished.outputs["failed-stage"] == "preflight"


def test_a_registry_that_is_down(deliver: Deliver) -> None:
    with socket.socket() as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert_failed(deliver(registry=address), 7, address)


@pytest.mark.parametrize("mood", ["deaf", "sick", "crash"])
def test_an_app_that_never_gets_healthy(
    mood: str, deliver: Deliver, registry: RegistryView, unique: str
) -> None:
    finished = deliver(test_env=f"MOOD={mood}", start_timeout="5s")
    assert_failed(finished, 6)
    assert "starting" in finished.log  # the app's own last words
    assert finished.outputs["failed-stage"] == "test"
    assert registry.tags(unique) == []


def test_a_failing_integration_test(deliver: Deliver, registry: RegistryView, unique: str) -> None:
    finished = deliver(integration_tests="api")
    assert_failed(finished, 6)
    error = finished.step.errors()[0]
    assert error.properties["file"] == "api/test_api.py"
    assert "test_something_else_is_served" in finished.log
    assert registry.tags(unique) == []


def test_a_crashing_pod(
    deliver: Deliver, cluster: Cluster, registry: RegistryView, unique: str
) -> None:
    finished = deliver(variables="MOOD=crash")
    assert_failed(finished, 8, "app")
    assert "the licence server said no" in finished.log
    assert finished.outputs["rollout"] == "failed"
    assert "main" in registry.tags(
        unique
    )  # it was tested and pushed; the cluster's is another matter


def test_only_what_changed_is_made_again_and_any_release_can_come_back(
    deliver: Deliver, cluster: Cluster, registry: RegistryView, unique: str, tmp_path: Path
) -> None:
    first = deliver()
    assert (first.status, first.outputs["rollout"]) == (0, "succeeded"), first.log
    assert (first.outputs["image-reused"], first.outputs["model-changed"]) == ("false", "true")
    assert {"mf-main", "mf-main-app"} <= set(registry.tags(unique))

    again = deliver()
    assert (again.status, again.outputs["rollout"]) == (0, "succeeded"), again.log
    assert (again.outputs["image-reused"], again.outputs["model-changed"]) == ("true", "false")
    assert again.outputs["model-sha256"] == sha256(MODEL).hexdigest()
    assert again.outputs["digest"] == first.outputs["digest"]
    assert registry.digest(unique, "mf-main") == first.outputs["digest"]
    assert "docker buildx build" not in again.log

    dry = deliver(dry_run="true")
    told = dry.summary.rpartition("\n## ")[2]
    assert "nothing changed" in told
    assert f"= deployment/app in {unique}: leave" in told  # of the digest that would be taken
    assert "not built yet" not in told

    with (tmp_path / "workspace" / "app.py").open("a") as app:
        app.write("# another commit\n")
    dry = deliver(dry_run="true")
    assert "(not built yet)" in dry.summary
    assert "[app].env[MODEL]" not in dry.summary, "the model is known before the image"
    code = deliver()
    assert (code.status, code.outputs["rollout"]) == (0, "succeeded"), code.log
    assert (code.outputs["image-reused"], code.outputs["model-changed"]) == ("false", "false")
    assert code.outputs["digest"] != first.outputs["digest"]
    [fetch] = [stage for stage in code.report["stages"] if stage["name"] == "fetch"]
    assert fetch["bytes"] == 0
    told = [stage["figure"] for stage in code.report["stages"] if stage["name"] == "compare"]
    assert told == [f"changed since {first.outputs['digest']}: build context"]

    crash = deliver(variables="MOOD=crash", reuse="false")
    assert_failed(crash, 8, "app")
    assert crash.outputs["rollout"] == "rolled-back"
    assert crash.outputs["previous-image"] == code.outputs["image"]
    assert cluster.images() == {code.outputs["image"]}

    back = deliver(stages="rollback", to=first.outputs["digest"])
    assert (back.status, back.outputs["rollout"]) == (0, "rolled-back"), back.log
    assert back.outputs["image"] == first.outputs["image"]
    assert cluster.images() == {first.outputs["image"]}


def test_a_builder_elsewhere_needs_no_engine(
    deliver: Deliver, cluster: Cluster, registry: RegistryView, unique: str, testbed: dict[str, str]
) -> None:
    given = {"builder": testbed["TESTBED_BUILDKIT"], "stages": "build push deploy"}
    nowhere = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
    first = deliver(nowhere, **given)
    assert (first.status, first.outputs["rollout"]) == (0, "succeeded"), first.log
    assert cluster.images() == {first.outputs["image"]}
    assert cluster.sha256_in_pod("/model/weights.csv") == sha256(MODEL).hexdigest()
    again = deliver(nowhere, **given)  # no registry has the base, so that it is built again
    assert (again.status, again.outputs["digest"]) == (0, first.outputs["digest"]), again.log
    tested = deliver(nowhere, **given | {"stages": "build test push", "tags": "v2"})
    assert_failed(tested, 5, "Docker does not answer at unix:///nonexistent/docker.sock")
