"""The actions as a workflow uses them: run by act, on the example repositories."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from testbed.workflow import ACTION, Outcome, make_repository, run_workflow, settings
from tests.e2e.world import ROOT, Cluster, RegistryView

WORKFLOWS = Path(__file__).parent / "workflows"
Run = Callable[[str, str], Outcome]  # example, workflow's text


@pytest.fixture
def run(testbed: dict[str, str], unique: str, tmp_path: Path) -> Run:
    variables, secrets = settings(testbed)
    variables |= {"STORAGE_CONTAINER": unique, "NAMESPACE": unique}

    def run(example: str, text: str) -> Outcome:
        repository = make_repository(tmp_path / "repository", ROOT / "examples" / example)
        workflow = Path(".github/workflows/deliver.yml")
        (repository / workflow).write_text(text)
        log = tmp_path / "act.log"
        outcome = run_workflow(repository, workflow, variables=variables, secrets=secrets, log=log)
        assert outcome.succeeded, log.read_text()[-8000:]
        return outcome

    return run


def example_workflow(example: str) -> str:
    return (ROOT / "examples" / example / ".github/workflows/deliver.yml").read_text()


@pytest.fixture
def onnx_blobs(blobs: Any, onnx_model: Path) -> Any:
    for file in onnx_model.iterdir():
        blobs.upload_blob(f"content-type/v3.3.0/{file.name}", file.read_bytes())
    return blobs


@pytest.mark.parametrize("way", ["container", "composite"])
@pytest.mark.usefixtures("onnx_blobs")
def test_one_job_carries_the_onnx_example_to_the_cluster(
    way: str, run: Run, cluster: Cluster, registry: RegistryView, unique: str, onnx_model: Path
) -> None:
    text = example_workflow("flask-onnx").replace(
        "repository: score", f"repository: {unique}/score"
    )
    text = text.replace(
        "          manifests:",
        "          smoke-tests: tests/integration\n          check-url: true\n          manifests:",
    )
    if way == "composite":
        text = text.replace(ACTION, ACTION.replace("@", "/composite@"))
    outputs = run("flask-onnx", text).outputs["ferry"]

    assert outputs["rollout"] == "succeeded"
    assert outputs["image"].endswith(f"/{unique}/score@{outputs['digest']}")
    registry.manifest(f"{unique}/score", outputs["digest"])
    assert "main" in registry.tags(f"{unique}/score")
    assert registry.digest(f"{unique}/score", "main") == outputs["digest"]
    assert cluster.images() == {outputs["image"]}
    assert len(cluster.pods()) == 2
    model = (onnx_model / "model.onnx").read_bytes()
    assert cluster.sha256_in_pod("/model/model.onnx") == sha256(model).hexdigest()


@pytest.mark.usefixtures("onnx_blobs")
def test_two_jobs_hand_the_digest_on(
    run: Run, cluster: Cluster, registry: RegistryView, unique: str
) -> None:
    """Built by the composite action, deployed by the container action."""
    text = (WORKFLOWS / "two_jobs.yml").read_text()
    text = text.replace("repository: score", f"repository: {unique}/score")
    outputs = run("flask-onnx", text).outputs

    built, deployed = outputs["build"], outputs["deploy"]
    assert built["rollout"] == "skipped"
    assert deployed["rollout"] == "succeeded"
    registry.manifest(f"{unique}/score", built["digest"])
    assert cluster.images() == {built["image"]}


def test_the_tutorial_runs_as_it_is(
    run: Run,
    blobs: Any,
    cluster: Cluster,
    registry: RegistryView,
    tutorial_model: Path,
) -> None:
    for file in tutorial_model.iterdir():
        blobs.upload_blob(file.name, file.read_bytes())
    text = example_workflow("tutorial").replace("- uses: OWNER", "- id: ferry\n        uses: OWNER")
    outputs = run("tutorial", text).outputs["ferry"]

    assert outputs["rollout"] == "succeeded"
    registry.manifest("model-api", outputs["digest"])
    assert cluster.images() == {outputs["image"]}
    for file in tutorial_model.iterdir():
        expected = sha256(file.read_bytes()).hexdigest()
        assert cluster.sha256_in_pod(f"/code/{file.name}") == expected
