"""What a run says before a byte moves, asked of the real registry, storage and cluster."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from modelferry.__main__ import main
from tests.runner_sim import Step, read_log

MANIFEST = """\
apiVersion: v1
kind: Pod
metadata: {name: score}
spec: {containers: [{name: score, image: $ACR_DNS/team/score}]}
"""


@pytest.fixture
def ask(testbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "pod.yaml").write_text(MANIFEST)
    (tmp_path / "Dockerfile").write_text(f"FROM {testbed['TESTBED_BASE_IMAGE']}\n")
    monkeypatch.setenv("KUBECONFIG", testbed["KUBECONFIG"])

    def run(**inputs: str) -> tuple[int, Step]:
        given = {
            "registry": testbed["TESTBED_REGISTRY"],
            "repository": "team/score",
            "username": testbed["TESTBED_REGISTRY_USERNAME"],
            "password": testbed["TESTBED_REGISTRY_PASSWORD"],
            "azure_storage_endpoint": testbed["TESTBED_BLOB_ENDPOINT"],
            "manifests": "pod.yaml",
            "namespace": "default",
        }
        environ = {"GITHUB_WORKSPACE": str(tmp_path), "RUNNER_TEMP": str(tmp_path)}
        environ |= {f"INPUT_{name.upper()}": value for name, value in (given | inputs).items()}
        stream = io.StringIO()
        status = main(environ, stream)
        return status, read_log(stream.getvalue())

    return run


def test_an_image_that_the_registry_lacks_is_refused(ask, testbed) -> None:
    image = f"{testbed['TESTBED_REGISTRY']}/team/score@sha256:{'0' * 64}"
    status, step = ask(stages="deploy", image=image)
    assert status == 7
    [error] = step.errors()
    assert error.message.startswith(f"the image {image} is not in the registry")


def test_all_that_is_wrong_is_told_at_once(ask, testbed) -> None:
    account = testbed["TESTBED_BLOB_ACCOUNT"]
    status, step = ask(
        stages="fetch build push",
        model=f"azblob://{account}/no-such-container/model.bin",
        azure_storage_key=testbed["TESTBED_BLOB_KEY"],
        password="wrong-password",
        tags="t",
    )
    assert status == 4
    [error] = step.errors()
    first = error.message.splitlines()[0]
    assert "no-such-container" in first
    assert first.endswith("(and 1 more)")
    assert "2. " in error.message
    assert testbed["TESTBED_REGISTRY"] in error.message
    assert error.properties["title"] == "Modelferry: ModelNotFound"
