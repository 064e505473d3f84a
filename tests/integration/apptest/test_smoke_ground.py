"""Smoke tests reach an address of ours from wherever they run, and see nothing of us."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from docker.models.containers import Container

from modelferry.apptest.where import ROLE_LABEL
from modelferry.engine import Engine
from tests.integration.apptest.conftest import archive

SOCKET = "/var/run/docker.sock"
DRIVE = Path(__file__).with_name("smoke_drive.py")
SUITE = """\
import os
import pathlib
import urllib.request

def test_it_reaches_the_pod():
    with urllib.request.urlopen(os.environ["MODEL_API_URL"], timeout=10) as answer:
        assert answer.read() == b"version 2"

def test_it_sees_nothing_of_ours():
    assert not pathlib.Path("/var/run/docker.sock").exists()
    assert "hunter2" not in str(os.environ)
    assert "hunter2" not in pathlib.Path("/proc/1/environ").read_text()
"""
REACHES = "python -c \"import os, urllib.request as r; r.urlopen(os.environ['MODEL_API_URL'])\""


@pytest.fixture
def drive(
    engine: Engine, action_image: str, start: Callable[..., Container], unique: str
) -> Iterator[Callable[..., dict]]:
    def run_inside(command: str = "smoke", *, socket: bool = True, **options: object) -> dict:
        told = {"workspace": "/ws", "temp": "/tmp", "run_label": unique, "command": command}
        container = start(
            action_image,
            ["/drive.json"],
            entrypoint=["python", "/drive.py"],
            environment={"PYTHONPATH": "/app/src", "INPUT_PASSWORD": "hunter2"},
            volumes=[f"{SOCKET}:{SOCKET}"] if socket else [],
            **options,
        )
        files = {
            "ws/smoke/test_new.py": SUITE.encode(),
            "drive.json": json.dumps(told).encode(),
            "drive.py": DRIVE.read_bytes(),
        }
        container.put_archive("/", archive(files))
        container.start()
        container.wait(timeout=120)
        log = container.logs().decode()
        print(log)
        report = container.logs(stderr=False).decode().splitlines()[-1]
        return json.loads(report) | {"log": log}

    yield run_inside
    chosen = {"label": f"modelferry.run={unique}"}
    assert not engine.client.containers.list(True, filters=chosen)
    assert not engine.client.networks.list(filters=chosen)


def test_on_the_default_bridge(drive: Callable[..., dict]) -> None:
    report = drive()
    assert (report["end"], report["beside"]) == ("passed", True)
    assert "2 smoke tests passed" in report["log"]


def test_on_a_network_of_the_job(drive: Callable[..., dict], engine: Engine, unique: str) -> None:
    network = engine.client.networks.create(f"github_network_{unique}")
    try:
        report = drive(network=network.name)
    finally:
        network.remove()
    assert (report["end"], report["beside"]) == ("passed", True)


def test_on_the_host_network(drive: Callable[..., dict]) -> None:
    report = drive(network_mode="host")
    assert (report["end"], report["beside"]) == ("passed", True)


def test_on_the_network_of_another_container(
    drive: Callable[..., dict], start: Callable[..., Container], action_image: str
) -> None:
    job = start(action_image, ["300"], entrypoint=["sleep"], labels={ROLE_LABEL: ""})
    job.start()
    report = drive(network_mode=f"container:{job.id}")
    assert (report["end"], report["beside"]) == ("passed", True)


def test_a_failure_comes_back(drive: Callable[..., dict]) -> None:
    report = drive("exit 3")
    assert report["end"] == "TestsFailed: the smoke tests failed: 'exit 3' ended with exit code 3"


def test_without_an_engine_it_is_a_child(drive: Callable[..., dict]) -> None:
    report = drive(REACHES, socket=False)
    assert (report["end"], report["beside"]) == ("passed", False)
    assert "the smoke tests run in a child process" in report["log"]
    assert report["listen_on"] == "127.0.0.1"


def test_in_a_container_that_is_not_our_image_it_is_a_child(drive: Callable[..., dict]) -> None:
    report = drive(REACHES, labels={ROLE_LABEL: ""})
    assert (report["end"], report["beside"]) == ("passed", False)


def test_on_a_host_it_is_a_child(tmp_path: Path, unique: str) -> None:
    told = {
        "workspace": str(tmp_path),
        "temp": str(tmp_path),
        "run_label": unique,
        "command": f'test -z "$INPUT_PASSWORD"; {REACHES.replace("python", sys.executable)}',
    }
    (tmp_path / "drive.json").write_text(json.dumps(told))
    done = subprocess.run(
        [sys.executable, DRIVE, tmp_path / "drive.json"],
        env={"INPUT_PASSWORD": "hunter2"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1])["end"] == "passed"
