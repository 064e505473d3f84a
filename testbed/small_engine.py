"""A Docker engine with a small disk, for a test to fill."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testbed import web
from testbed.part import TestbedError

# In namespaces of its own: the disk goes with the process, and no rule of the first engine changes.
_ENTER_AND_BECOME = """\
set -e
mount -t tmpfs -o size="$1" tmpfs "$2/data"
ip link set lo up
exec dockerd --config-file "$2/daemon.json"
"""


@contextmanager
def small_engine(folder: Path, disk_bytes: int) -> Iterator[str]:
    """Its DOCKER_HOST. It builds and loads; containers have no network."""
    (folder / "data").mkdir()
    socket = folder / "docker.sock"
    settings = {
        "hosts": [f"unix://{socket}"],
        "data-root": str(folder / "data"),
        "exec-root": str(folder / "exec"),
        "pidfile": str(folder / "dockerd.pid"),
        "bridge": "none",
        "iptables": False,
        "ip-forward": False,
    }
    (folder / "daemon.json").write_text(json.dumps(settings))
    script = ["sh", "-c", _ENTER_AND_BECOME, "sh", str(disk_bytes), folder]
    tied = ["setpriv", "--pdeathsig", "TERM", "--", "unshare", "--net", "--mount", "--", *script]
    with (folder / "dockerd.log").open("wb") as log:
        daemon = subprocess.Popen(tied, stdout=log, stderr=log)
    try:
        _wait_for(socket, daemon, folder / "dockerd.log")
        yield f"unix://{socket}"
    finally:
        daemon.terminate()
        daemon.wait(30)


def _wait_for(socket: Path, daemon: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 60
    while not web.listens(socket):
        if daemon.poll() is not None or time.monotonic() > deadline:
            raise TestbedError(f"no engine at {socket}:\n{log.read_text()[-2000:]}")
        time.sleep(0.1)
