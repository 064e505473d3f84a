"""Reaching the engine and what it says of itself, on the real one."""

from __future__ import annotations

import gc
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelferry import engine
from modelferry.errors import BuildError

# The SDK does not close a socket that could not connect.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture
def connected(testbed: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> engine.Engine:
    if "DOCKER_HOST" in testbed:
        monkeypatch.setenv("DOCKER_HOST", testbed["DOCKER_HOST"])
    return engine.connect()


def test_the_engine_says_what_it_is(connected: engine.Engine) -> None:
    facts = connected.facts
    assert facts.platform.startswith("linux/")
    assert facts.version[0].isdigit()
    assert facts.store in ("classic", "containerd")
    assert facts.free_bytes is None or facts.free_bytes > 0


@pytest.mark.parametrize("address", ["unix:///nonexistent/docker.sock", "tcp://127.0.0.1:1"])
def test_an_engine_that_is_not_there(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    with pytest.raises(BuildError, match=f"Docker does not answer at {address}") as caught:
        engine.connect()
    assert "/var/run/docker.sock" in caught.value.do


def test_the_docker_clients_context_is_followed(
    connected: engine.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    address = "unix:///nonexistent/by-context.sock"
    subprocess.run(
        ["docker", "context", "create", "elsewhere", "--docker", f"host={address}"],
        check=True,
        capture_output=True,
    )
    assert engine.connect().facts.version == connected.facts.version  # not chosen yet
    subprocess.run(["docker", "context", "use", "elsewhere"], check=True, capture_output=True)
    with pytest.raises(BuildError, match=address):
        engine.connect()


def test_the_containerd_store_is_told_from_the_classic_one() -> None:
    info = {
        "ServerVersion": "28.5.2",
        "Driver": "overlayfs",
        "OSType": "linux",
        "Architecture": "aarch64",
        "DockerRootDir": "/nonexistent",
        "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
    }
    facts = engine.read_facts(info)
    assert (facts.store, facts.platform, facts.free_bytes) == ("containerd", "linux/arm64", None)
    assert engine.read_facts({**info, "DriverStatus": None}).store == "classic"


def test_an_image_that_is_not_there_is_named(connected: engine.Engine) -> None:
    missing = "sha256:" + "0" * 64
    response = connected.request("GET", f"/images/{missing}/get", stream=True)
    with response, pytest.raises(BuildError, match=r"HTTP (404|500)") as caught:
        connected.check(response, f"save image {missing}")
    assert json.dumps(missing)[1:-1] in str(caught.value)
