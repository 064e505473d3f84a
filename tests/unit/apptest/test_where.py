from __future__ import annotations

import pytest

from modelferry.apptest.where import Place, container_id, published

HEX = "04f5a829cc5bdd45f7694bd9efe54cde0f53224f210ca0f02b9a4f052bdbce16"
OTHER = "4c12bb9042ad491dc06859c8aa41c05c24d36333e1d08e2a3e94a1d8ff4451f7"
ROOT = "138 89 0:51 / / rw,relatime - overlay overlay rw,upperdir=/var/lib/docker/overlay2/x/diff"


def line(root: str, mount_point: str) -> str:
    return f"156 138 254:0 {root} {mount_point} rw,relatime master:1 - ext4 /dev/vda rw"


@pytest.mark.parametrize(
    ("root", "mount_point"),
    [
        (f"/var/lib/docker/containers/{HEX}/hostname", "/etc/hostname"),
        (f"/docker/containers/{HEX}/resolv.conf", "/etc/resolv.conf"),  # data-root on its own disk
        (f"/containers/storage/overlay-containers/{HEX}/userdata/hosts", "/etc/hosts"),  # podman
    ],
)
def test_the_mounted_files_name_the_container(root, mount_point):
    assert container_id("\n".join([ROOT, line(root, mount_point)])) == HEX


@pytest.mark.parametrize(
    "mountinfo",
    [
        "",
        ROOT,
        # A folder of Docker's that somebody mounted into us says nothing about us.
        line(f"/var/lib/docker/containers/{OTHER}", "/logs"),
        line("/var/lib/kubelet/pods/1-2/etc-hosts", "/etc/hosts"),
    ],
)
def test_elsewhere_there_is_no_container(mountinfo):
    assert container_id(mountinfo) is None


@pytest.mark.parametrize(
    "address", ["unix:///var/run/docker.sock", "tcp://127.0.0.1:2375", "tcp://localhost:2375"]
)
def test_a_local_engine_publishes_on_loopback(address):
    assert published(address) == Place(attach=None, publish_on="127.0.0.1", reach_at="127.0.0.1")


@pytest.mark.parametrize("address", ["tcp://docker:2375", "ssh://ci@docker", "https://docker:2376"])
def test_a_remote_engine_is_reached_by_its_own_name(address):
    assert published(address) == Place(attach=None, publish_on="0.0.0.0", reach_at="docker")
