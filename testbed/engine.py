"""The Docker engine: one that already answers, left as it was, or a dockerd of our own."""

import json
import os
import platform
import shutil
from collections.abc import Mapping
from pathlib import Path

from testbed import layout, mirror, network, packages, processes, web
from testbed.commands import run, succeeds
from testbed.part import TestbedError

_DAEMON = "dockerd"
_SOCKET = Path("/var/run/docker.sock")
_DEFAULT_HOST = f"unix://{_SOCKET}"
_SIZES = {"max-size": "20m", "max-file": "1"}


class Engine:
    name = "engine"

    def prepare(self) -> None:
        if not shutil.which("docker"):
            packages.ensure(_client_package())
        if not _theirs() and not shutil.which("dockerd"):
            packages.ensure("docker.io", "iptables")

    def start(self) -> None:
        if _theirs() or (processes.alive(_DAEMON) and self.running()):
            return
        state = layout.state_dir("engine")
        if not processes.alive(_DAEMON):
            self.stop()  # what a crashed daemon left: containers go on without it
            network.open_for_containers(state / "network-before.json")
            _pid_file().unlink(missing_ok=True)
        settings = layout.write_private(state / "daemon.json", json.dumps(_settings(), indent=1))
        processes.start(
            _DAEMON,
            ["dockerd", "--config-file", settings],
            ready=self.running,
            timeout_s=60,
        )

    def stop(self) -> None:
        state = layout.state_dir("engine")
        before = state / "network-before.json"
        if not before.exists():
            return  # never started
        listens = web.listens(_SOCKET)
        if listens and not processes.alive(_DAEMON):
            before.unlink()  # ours is gone, somebody else's came after it
            return
        if listens:
            _remove_containers_and_networks()
        processes.stop(_DAEMON, timeout_s=40)
        processes.kill_users_of(state / "exec", "containerd")
        network.unmount_below(state, _data_root())
        network.remove_docker_rules()
        network.remove_link("docker0")
        network.restore(before)
        _pid_file().unlink(missing_ok=True)
        _SOCKET.unlink(missing_ok=True)

    def running(self) -> bool:
        return answers("version")

    def env(self) -> dict[str, str]:
        return {} if host() == _DEFAULT_HOST else {"DOCKER_HOST": host()}


def host() -> str:
    """The address of the engine to use, whatever context the docker client is in."""
    named = os.environ.get("MODELFERRY_TESTBED_DOCKER_HOST")
    return named or os.environ.get("DOCKER_HOST") or _DEFAULT_HOST


def answers(*arguments: str) -> bool:
    """Whether this docker command, a question, succeeds."""
    return succeeds("docker", *arguments, env={"DOCKER_HOST": host()})


def docker(*arguments: str | Path, env: Mapping[str, str] | None = None) -> str:
    """Run the docker client against the testbed's engine; its standard output."""
    return run("docker", *arguments, env={"DOCKER_HOST": host(), **(env or {})})


def is_ours() -> bool:
    return host() == _DEFAULT_HOST and processes.alive(_DAEMON)


def _theirs() -> bool:
    """Whether to use an engine that is not the testbed's."""
    if host() == _DEFAULT_HOST:
        return not is_ours() and web.listens(_SOCKET)
    if not answers("version"):
        raise TestbedError(f"The Docker engine that the environment names, {host()}, is not there.")
    return True


def _client_package() -> str:
    """Debian has had the client apart since 13."""
    release = platform.freedesktop_os_release().get("VERSION_ID", "")
    return "docker.io" if release == "12" else "docker-cli"


def _settings() -> dict[str, object]:
    return {
        "hosts": [_DEFAULT_HOST],
        "data-root": str(_data_root()),
        "exec-root": str(layout.state_dir("engine") / "exec"),
        "pidfile": str(_pid_file()),
        "mtu": network.outside_mtu(),
        "registry-mirrors": [mirror.url()],
        "log-opts": _SIZES,
    }


def _data_root() -> Path:
    """Images outlive `down`, which is what makes the next `up` quick."""
    return layout.cache_dir() / "engine"


def _pid_file() -> Path:
    return layout.state_dir("engine") / "dockerd.pid"


def _remove_containers_and_networks() -> None:
    """Of the testbed's own engine, whatever engine the environment names by now."""
    ours = {"DOCKER_HOST": _DEFAULT_HOST}
    if containers := docker("ps", "--all", "--quiet", env=ours).split():
        docker("rm", "--force", "--volumes", *containers, env=ours)
    docker("network", "prune", "--force", env=ours)
