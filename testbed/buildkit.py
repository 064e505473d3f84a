"""BuildKit alone, without an engine: what the input `builder` can reach elsewhere."""

import json
import os
from pathlib import Path

from testbed import gotools, layout, mirror, network, packages, processes, registry, web
from testbed.part import TestbedError

_DAEMON = "buildkitd"


class BuildKit:
    name = "buildkit"

    def prepare(self) -> None:
        packages.ensure("runc")
        gotools.ensure("buildkitd")

    def start(self) -> None:
        if self.running():
            return
        if os.geteuid() != 0:
            raise TestbedError("BuildKit needs root; name the other parts with --only.")
        settings = layout.write_private(_folder() / "buildkitd.toml", _settings())
        processes.start(
            _DAEMON,
            [gotools.ensure("buildkitd"), "--config", settings],
            ready=lambda: web.listens(_socket()),
            timeout_s=30,
        )

    def stop(self) -> None:
        processes.stop(_DAEMON)
        network.unmount_below(_folder(), _root())
        _socket().unlink(missing_ok=True)

    def running(self) -> bool:
        return processes.alive(_DAEMON) and web.listens(_socket())

    def env(self) -> dict[str, str]:
        return {"TESTBED_BUILDKIT": f"unix://{_socket()}"}


def _settings() -> str:
    """TOML; its strings are written as JSON's."""
    hub, ours = mirror.address(), registry.access().host
    return f"""\
root = {json.dumps(str(_root()))}
[grpc]
address = [{json.dumps(f"unix://{_socket()}")}]
[worker.containerd]
enabled = false
[worker.oci]
enabled = true
networkMode = "host"
[registry."docker.io"]
mirrors = [{json.dumps(hub)}]
[registry.{json.dumps(hub)}]
http = true
[registry.{json.dumps(ours)}]
http = true
"""


def _folder() -> Path:
    return layout.state_dir("buildkit")


def _socket() -> Path:
    return _folder() / "buildkitd.sock"


def _root() -> Path:
    """Its build cache outlives `down`."""
    return layout.cache_dir() / "buildkit"
