"""The node's container runtime: an own containerd, and the images and pods it holds."""

import json
import time
from pathlib import Path

from testbed import layout, network, processes
from testbed.commands import run, succeeds
from testbed.kubernetes import pause, settings
from testbed.kubernetes.components import KUBE
from testbed.part import TestbedError
from testbed.registry import RegistryAccess

NAME = "kube-containerd"
_CNI_PLUGINS = "/usr/lib/cni"
_PODS_S = 30.0


def start(registry: RegistryAccess) -> None:
    _write_registry(registry)
    _write_network()
    layout.write_private(settings.config("containerd.toml"), _configuration(registry))
    _run_daemon()
    run(*_ctr("images", "import", pause.write_archive()))


def stop() -> None:
    """Removes the pods with their network namespaces first: they outlive containerd."""
    try:
        if settings.data("containerd").exists() and settings.config("containerd.toml").exists():
            _run_daemon()  # also after a crash: only containerd knows what it left behind
            _remove_pods()
    finally:
        processes.stop(NAME)


def _run_daemon() -> None:
    settings.RUN.mkdir(parents=True, exist_ok=True)
    command = ["containerd", "--config", settings.config("containerd.toml")]
    processes.start(NAME, command, ready=_answers, timeout_s=30)


def _remove_pods() -> None:
    """Asked again while it is refused: the part that knows pods starts after the daemon answers."""
    deadline = time.monotonic() + _PODS_S
    while True:
        try:
            run(KUBE.path(), "remove-pods", f"unix://{settings.CONTAINERD_SOCKET}")
        except TestbedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return


def _answers() -> bool:
    return settings.CONTAINERD_SOCKET.is_socket() and succeeds(*_ctr("images", "list", "--quiet"))


def _ctr(*arguments: str | Path) -> list[str | Path]:
    address = settings.CONTAINERD_SOCKET
    return ["ctr", "--address", address, "--namespace", "k8s.io", *arguments]


def _configuration(registry: RegistryAccess) -> str:
    # restrict_oom_score_adj: without CAP_SYS_RESOURCE a score cannot be lowered, and runc dies.
    return f"""\
version = 2
root = {_toml(settings.data("containerd"))}
state = {_toml(settings.RUN / "containerd")}
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = {_toml(settings.CONTAINERD_SOCKET)}
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = {_toml(pause.IMAGE)}
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = {_toml(_CNI_PLUGINS)}
    conf_dir = {_toml(settings.config("cni"))}
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = {_toml(settings.config("registries"))}
  [plugins."io.containerd.grpc.v1.cri".registry.configs.{_toml(registry.host)}.auth]
    username = {_toml(registry.username)}
    password = {_toml(registry.password)}
"""


def _write_registry(registry: RegistryAccess) -> None:
    folder = settings.config("registries") / registry.host
    folder.mkdir(parents=True, exist_ok=True)
    url = _toml(f"http://{registry.host}")
    hosts = f'server = {url}\n[host.{url}]\n  capabilities = ["pull", "resolve"]\n'
    (folder / "hosts.toml").write_text(hosts)


def _write_network() -> None:
    """A route for each pod and no bridge: all traffic passes the rules of kube-proxy."""
    addresses = {
        "type": "host-local",
        "dataDir": str(settings.RUN / "pod-addresses"),
        "ranges": [[{"subnet": str(settings.PODS)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    plugins = [
        {"type": "ptp", "ipam": addresses, "mtu": network.outside_mtu()},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    folder = settings.config("cni")
    folder.mkdir(exist_ok=True)
    content = {"cniVersion": "0.4.0", "name": settings.POD_NETWORK, "plugins": plugins}
    (folder / f"{settings.POD_NETWORK}.conflist").write_text(json.dumps(content, indent=1))


def _toml(value: object) -> str:
    return json.dumps(str(value))  # a JSON string is a TOML string
