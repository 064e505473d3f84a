"""Reaching the engine, and what its archive API tells about an image, on the real one."""

from __future__ import annotations

import gc
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from modelferry import engine
from modelferry.errors import BuildError
from modelferry.image.parents import place_files

# The SDK does not close a socket that could not connect.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

LAYOUT = """\
FROM {base}
RUN mkdir -p /home/app/models /srv/shared && chmod 0700 /home/app && chown -R 1234:5678 /home/app \\
 && chmod 1777 /srv/shared && touch -d @1000000000 /home/app/models && ln -s /srv/shared /alias
VOLUME /srv/shared
"""


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture
def connected(testbed: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> engine.Engine:
    if "DOCKER_HOST" in testbed:
        monkeypatch.setenv("DOCKER_HOST", testbed["DOCKER_HOST"])
    return engine.connect()


@pytest.fixture
def image(connected: engine.Engine, testbed: dict[str, str], tmp_path: Path) -> str:
    dockerfile = LAYOUT.format(base=testbed["TESTBED_BASE_IMAGE"]).encode()
    done = subprocess.run(
        ["docker", "buildx", "build", "--quiet", "--load", "-"],
        input=dockerfile,
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().strip()


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


def test_parents_are_told_as_the_image_has_them(
    connected: engine.Engine, image: str, unique: str
) -> None:
    wanted = [PurePosixPath(p) for p in ("/home/app/models/new/m", "/alias/m", "/lib/x/m")]
    placed = place_files(connected, image, wanted, run_label=unique)
    deep, linked, merged = (placed[path] for path in wanted)
    found = [(str(f.path), oct(f.mode), f.uid, f.gid) for f in deep.folders]
    assert found == [
        ("/home", "0o755", 0, 0),
        ("/home/app", "0o700", 1234, 5678),
        ("/home/app/models", "0o755", 1234, 5678),
        ("/home/app/models/new", "0o755", 0, 0),
    ]
    assert [f.mtime_s for f in deep.folders[2:]] == [1_000_000_000, 0]
    assert linked.path == PurePosixPath("/srv/shared/m")
    assert linked.folders[-1].mode == 0o1777
    assert merged.path == PurePosixPath("/usr/lib/x/m")


def test_looking_leaves_neither_container_nor_volume(
    connected: engine.Engine, image: str, unique: str
) -> None:
    before = {volume.id for volume in connected.client.volumes.list()}
    with pytest.raises(BuildError, match="is a file there"):
        place_files(connected, image, [PurePosixPath("/etc/passwd/m")], run_label=unique)
    place_files(connected, image, [PurePosixPath("/srv/shared/m")], run_label=unique)
    labelled = {"label": f"modelferry.run={unique}"}
    assert connected.client.containers.list(all=True, filters=labelled) == []
    assert {volume.id for volume in connected.client.volumes.list()} <= before


def test_an_image_that_is_not_there_is_named(connected: engine.Engine) -> None:
    missing = "sha256:" + "0" * 64
    response = connected.request("GET", f"/images/{missing}/get", stream=True)
    with response, pytest.raises(BuildError, match=r"HTTP (404|500)") as caught:
        connected.check(response, f"save image {missing}")
    assert json.dumps(missing)[1:-1] in str(caught.value)
