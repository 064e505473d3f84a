"""Where we run, seen from the engine: on its host, or in one of its containers, and which."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import uuid4

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

    from modelferry.engine import Engine

ROLE_LABEL = "modelferry.role"  # our own Dockerfile sets it to "action"

# Docker mounts these three files into each container from its own folder of that container.
# With `--network container:X` they are X's, whose network it is.
_CONTAINER_FILE = re.compile(r"containers/([0-9a-f]{64})/")
_MOUNTINFO = Path("/proc/self/mountinfo")
_MOUNTED = ("/etc/hostname", "/etc/resolv.conf", "/etc/hosts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How a container on a network of ours is reached from here."""

    attach: str | None  # id of the container to attach to that network; None: publish a port
    publish_on: str = "127.0.0.1"
    reach_at: str = "127.0.0.1"
    own_image: str | None = None  # id of the image we run from, when it is Modelferry's


def find_place(engine: Engine) -> Place:
    client = engine.client
    mountinfo = _MOUNTINFO.read_text() if _MOUNTINFO.exists() else ""
    known = _known_container(client, container_id(mountinfo))
    if known is None:
        return published(engine.address)
    own = _ourselves(client, known)
    own_image = own.attrs["Image"] if _is_action(own) else None
    on_host_network = known.attrs["HostConfig"]["NetworkMode"] == "host"
    return Place(attach=None if on_host_network else known.id, own_image=own_image)


def in_a_container() -> bool:
    """Of Docker's making; asks no engine."""
    return container_id(_MOUNTINFO.read_text() if _MOUNTINFO.exists() else "") is not None


def container_id(mountinfo: str) -> str | None:
    for line in mountinfo.splitlines():
        root, mount_point = line.split(" ")[3:5]
        found = _CONTAINER_FILE.search(root)
        if found and mount_point in _MOUNTED:
            return found[1]
    return None


def published(engine_address: str) -> Place:
    """A remote engine publishes on its own machine's addresses, a local one on loopback."""
    address = urlsplit(engine_address)
    if address.scheme not in ("tcp", "http", "https", "ssh") or _is_loopback(address.hostname):
        return Place(attach=None)
    return Place(attach=None, publish_on="0.0.0.0", reach_at=address.hostname or "")  # noqa: S104


def _is_loopback(host: str | None) -> bool:
    return host is None or host in ("localhost", "::1") or host.startswith("127.")


def _known_container(client: DockerClient, known_id: str | None) -> Container | None:
    """None for a container of another engine: this one's published ports are all we can reach."""
    import docker.errors

    if known_id is None:
        return None
    try:
        return client.containers.get(known_id)
    except docker.errors.NotFound:
        return None


def _ourselves(client: DockerClient, known: Container) -> Container:
    """`known`, or the one among those that share its network which sees what we write."""
    names = (f"container:{known.id}", f"container:{known.name}")
    sharing = [
        container
        for container in client.containers.list(sparse=True)
        if container.attrs["HostConfig"]["NetworkMode"] in names
    ]
    if not sharing or not os.access("/", os.W_OK):
        return known
    with _mark() as mark:
        for container in sharing:
            if _has(container, mark):
                container.reload()
                return container
    return known


@contextmanager
def _mark() -> Iterator[Path]:
    """A file on our own root filesystem: anywhere else it may lie on a volume that others share."""
    path = Path(f"/.modelferry-{uuid4().hex}")
    path.touch()
    try:
        yield path
    finally:
        path.unlink()


def _has(container: Container, path: Path) -> bool:
    import docker.errors

    try:
        stream, _ = container.get_archive(str(path))
    except docker.errors.NotFound:
        return False
    b"".join(stream)  # read to its end, the connection can be used again
    return True


def _is_action(container: Container) -> bool:
    return (container.attrs["Config"]["Labels"] or {}).get(ROLE_LABEL) == "action"
