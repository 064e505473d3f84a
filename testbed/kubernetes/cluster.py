"""The part of the testbed that is Kubernetes: what it needs, its order, and what it leaves."""

import shutil
from pathlib import Path

from testbed import layout, packages, processes
from testbed.kubernetes import (
    api,
    containerd,
    control_plane,
    credentials,
    load_balancer,
    name_server,
    named,
    network,
    node,
    pause,
    settings,
    sysctls,
)
from testbed.kubernetes.components import KUBE
from testbed.network import unmount_below
from testbed.part import TestbedError
from testbed.registry import RegistryAccess

_PACKAGES = (
    "containerd",
    "containernetworking-plugins",
    "etcd-server",
    "iproute2",
    "iptables",
    "runc",
)
_PROGRAMS = (KUBE, name_server.PROGRAM, pause.PROGRAM)
_DAEMONS = (
    containerd.NAME,
    *control_plane.NAMES,
    *node.NAMES,
    name_server.NAME,
    load_balancer.NAME,
)


class Kubernetes:
    name = "kubernetes"

    def __init__(self, registry: RegistryAccess) -> None:
        self._registry = registry

    def prepare(self) -> None:
        if named.kubeconfig():
            return
        packages.ensure(*_PACKAGES)
        for program in _PROGRAMS:
            program.build()

    def start(self) -> None:
        if theirs := named.kubeconfig():
            named.require(theirs)
        elif not self.running():
            _clear()  # a cluster of which only some parts run: it starts whole or not at all
            _start(self._registry)

    def stop(self) -> None:
        if not named.kubeconfig():
            _clear()

    def running(self) -> bool:
        if theirs := named.kubeconfig():
            return named.answers(theirs)
        whole = _mark().exists() and all(map(processes.alive, _DAEMONS))
        return whole and api.node_ready(api.Client())

    def env(self) -> dict[str, str]:
        return {"KUBECONFIG": str(named.kubeconfig() or settings.config(credentials.ADMIN))}


def _start(registry: RegistryAccess) -> None:
    network.require_free()
    network.remove_abandoned_pods()
    _mark().touch()
    sysctls.remember()
    for module in (control_plane, name_server, node):
        module.claim_ports()
    credentials.write()
    network.up()
    containerd.start(registry)
    control_plane.start()
    name_server.start()
    load_balancer.start()
    node.start()
    for name in _DAEMONS:
        if not processes.alive(name):
            raise TestbedError(f"{name} ended while starting.\n{processes.log_tail(name)}")


def _clear() -> None:
    """Each step, whatever the others say: the next start must find nothing of this cluster.

    Pods go while their runtime still knows them, their mounts and rules after them.
    """
    if not _ours():
        return  # the rules and groups found may be another Kubernetes'
    steps = (
        load_balancer.stop,
        name_server.stop,
        node.stop,
        control_plane.stop,
        containerd.stop,
        network.remove_abandoned_pods,
        lambda: unmount_below(layout.data_dir("kubernetes"), settings.RUN),
        node.clean,
        network.down,
        sysctls.restore,
    )
    faults: list[str] = []
    for step in steps:
        try:
            step()
        except (OSError, TestbedError) as error:
            faults.append(str(error))
    shutil.rmtree(settings.RUN, ignore_errors=True)
    shutil.rmtree(layout.data_dir("kubernetes"))
    shutil.rmtree(layout.state_dir("kubernetes"))
    if faults:
        raise TestbedError("\n".join(faults))


def _ours() -> bool:
    """Whether a cluster was started here and not yet taken down to its end."""
    return _mark().exists() or any(map(processes.alive, _DAEMONS))


def _mark() -> Path:
    return settings.config("started")
