"""A container, a namespace and a repository name of its own for each test, gone afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.world import ROOT, Cluster, RegistryView, container

collect_ignore = ["app"]  # a user's repository, with tests of its own


@pytest.fixture(autouse=True)
def _no_image_left(unique: str) -> Iterator[None]:
    """The engine keeps a repository's newest image for the next run, and there is none."""
    yield
    listing = ["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]
    kept = subprocess.run(
        [*listing, f"modelferry.invalid/*{unique}*"], check=True, capture_output=True, text=True
    ).stdout.split()
    assert len(kept) <= 1, kept
    if kept:
        subprocess.run(["docker", "image", "rm", *kept], check=True, capture_output=True)


@pytest.fixture
def blobs(testbed: dict[str, str], unique: str) -> Iterator[Any]:
    """A private container, named like the test."""
    client = container(testbed, unique)
    client.create_container()
    yield client
    client.delete_container()


@pytest.fixture
def cluster(testbed: dict[str, str], unique: str) -> Iterator[Cluster]:
    """A namespace, named like the test."""
    found = Cluster(testbed["KUBECONFIG"], unique)
    found.make_namespace()
    yield found
    found.remove_namespace()


@pytest.fixture
def registry(testbed: dict[str, str]) -> RegistryView:
    return RegistryView(testbed)


@pytest.fixture(scope="session")
def onnx_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ONNX example's model, taken from its package once."""
    folder = tmp_path_factory.mktemp("onnx-model")
    script = ROOT / "examples" / "flask-onnx" / "publish_model.py"
    subprocess.run([sys.executable, script, "v3.3.0", "--to", folder], check=True)
    return folder


@pytest.fixture(scope="session")
def tutorial_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tutorial-model")
    script = ROOT / "examples" / "tutorial" / "make_model.py"
    subprocess.run([sys.executable, script, folder], check=True)
    return folder
