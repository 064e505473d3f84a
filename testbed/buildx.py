"""The buildx plugin of the docker client, where the client has none."""

import os
from pathlib import Path

from testbed import gotools
from testbed.commands import succeeds
from testbed.part import TestbedError

# The client looks here whatever DOCKER_CONFIG says; jobs have a DOCKER_CONFIG of their own.
_LINK = Path("/usr/local/lib/docker/cli-plugins/docker-buildx")


class Buildx:
    name = "buildx"

    def prepare(self) -> None:
        if not succeeds("docker", "buildx", "version"):
            gotools.ensure("buildx")

    def start(self) -> None:
        if self.running():
            return
        if os.geteuid() != 0:
            raise TestbedError("The docker client has no buildx plugin; root can install it.")
        _LINK.parent.mkdir(parents=True, exist_ok=True)
        _LINK.unlink(missing_ok=True)
        _LINK.symlink_to(gotools.ensure("buildx"))

    def stop(self) -> None:
        """Only the link that `start` made."""
        if _LINK.is_symlink() and _LINK.readlink() == gotools.path("buildx"):
            _LINK.unlink()

    def running(self) -> bool:
        return succeeds("docker", "buildx", "version")

    def env(self) -> dict[str, str]:
        return {}
