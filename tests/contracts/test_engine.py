"""Reaching the engine and what it says of itself, on the real one."""

from __future__ import annotations

import gc
import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import docker
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
    free = connected.free_bytes()
    assert free is None or free > 0


@pytest.mark.parametrize("address", ["unix:///nonexistent/docker.sock", "tcp://127.0.0.1:1"])
def test_an_engine_that_is_not_there(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    with pytest.raises(BuildError, match=f"Docker does not answer at {address}") as caught:
        engine.connect()
    assert "/var/run/docker.sock" in caught.value.do


@pytest.mark.parametrize("said", ["", "HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\nhalf"])
def test_an_engine_that_goes_away_is_a_failed_build(connected: engine.Engine, said: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        client = docker.DockerClient(base_url=address, version="1.44", timeout=5)
        lost = replace(connected, address=address, client=client)

        def hang_up() -> None:
            line, _ = server.accept()
            with line:
                line.recv(1 << 16)
                line.sendall(said.encode())

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(BuildError, match=f"Docker at {address} did not answer to the end"):
            list(lost.body(lost.request("GET", "/images/x/get", stream=True)))
        thread.join()
        client.close()


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
    assert (facts.store, facts.platform) == ("containerd", "linux/arm64")
    assert engine.read_facts({**info, "DriverStatus": None}).store == "classic"


def test_an_image_that_is_not_there_is_named(connected: engine.Engine) -> None:
    missing = "sha256:" + "0" * 64
    response = connected.request("GET", f"/images/{missing}/get", stream=True)
    with response, pytest.raises(BuildError, match=r"HTTP (404|500)") as caught:
        connected.check(response, f"save image {missing}")
    assert json.dumps(missing)[1:-1] in str(caught.value)
