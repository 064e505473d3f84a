"""The kubelet, which runs the pods, and kube-proxy, which leads services to them."""

import json
import os
from contextlib import suppress
from pathlib import Path

from testbed import layout, processes
from testbed.kubernetes import api, components, credentials, settings

NAMES = ("kubelet", "kube-proxy")
_PORTS = ("kubelet", "kube-proxy", "kube-proxy-metrics")
_CGROUPS = Path("/sys/fs/cgroup")
_CONTAINER_LOGS = Path("/var/log/containers")  # fixed in the kubelet


def claim_ports() -> None:
    for name in _PORTS:
        layout.claim_port(name)


def start() -> None:
    _start_kubelet()
    _start_proxy()


def stop() -> None:
    """Only the daemons: pods are the runtime's."""
    for name in NAMES:
        processes.stop(name, timeout_s=3)


def clean() -> None:
    """Log links and control groups that the kubelet leaves for its next start."""
    for link in _CONTAINER_LOGS.glob("*"):
        if link.is_symlink() and link.readlink().is_relative_to(settings.data("pod-logs")):
            link.unlink()
    for folder in (_CGROUPS / "kubepods", *_CGROUPS.glob("*/kubepods")):  # version 2 and 1
        _remove_empty_groups(folder)


def _start_kubelet() -> None:
    client = api.Client()
    layout.write_private(settings.config("kubelet.json"), json.dumps(_kubelet(), indent=1))
    flags = {
        "config": settings.config("kubelet.json"),
        "hostname-override": settings.NODE_NAME,
        "kubeconfig": settings.config(credentials.KUBELET),
        "node-ip": settings.NODE_IP,
        "root-dir": settings.data("kubelet"),
    }
    components.start("kubelet", flags, ready=lambda: api.node_ready(client))


def _start_proxy() -> None:
    layout.write_private(settings.config("proxy.json"), json.dumps(_proxy(), indent=1))
    flags = {"config": settings.config("proxy.json")}
    health = f"http://{_loopback('kube-proxy')}/healthz"  # once all its rules are in place
    components.start("kube-proxy", flags, ready=lambda: components.healthy(health))


def _kubelet() -> dict[str, object]:
    absolute = "200Mi"  # shares of the disk would evict pods on a well-filled machine
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": str(settings.NODE_IP),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(settings.config("ca.crt"))},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "clusterDNS": [str(settings.DNS_SERVICE_IP)],
        "clusterDomain": settings.DOMAIN,
        "containerRuntimeEndpoint": f"unix://{settings.CONTAINERD_SOCKET}",
        # 0 would be no limit by the API's page, but is the client's default of 5: minutes late.
        "eventRecordQPS": 1000,
        "eventBurst": 1000,
        "evictionHard": {
            "imagefs.available": absolute,
            "memory.available": "100Mi",
            "nodefs.available": absolute,
        },
        "failCgroupV1": False,
        "failSwapOn": False,
        "healthzPort": 0,
        "imageGCHighThresholdPercent": 100,  # the disk's fill is the machine's affair
        "imageGCLowThresholdPercent": 99,
        "podLogsDir": str(settings.data("pod-logs")),
        "port": layout.port("kubelet"),
        "registryPullQPS": 0,
        "serializeImagePulls": False,
        "tlsCertFile": str(settings.config("kubelet.crt")),
        "tlsPrivateKeyFile": str(settings.config("kubelet.key")),
        "volumePluginDir": str(settings.data("volume-plugins")),
    }


def _proxy() -> dict[str, object]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(settings.config(credentials.PROXY))},
        "clusterCIDR": str(settings.PODS),
        # The machine's own connection tracking limits stay as they are.
        "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "hostnameOverride": settings.NODE_NAME,
        "iptables": {"localhostNodePorts": False, "minSyncPeriod": "100ms"},
        "healthzBindAddress": _loopback("kube-proxy"),
        "metricsBindAddress": _loopback("kube-proxy-metrics"),
        "mode": "iptables",
        "nodePortAddresses": [f"{settings.NODE_IP}/32"],
    }


def _loopback(port_name: str) -> str:
    return f"127.0.0.1:{layout.port(port_name)}"


def _remove_empty_groups(folder: Path) -> None:
    for group, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):  # the kernel refuses when a process is in it: then it is not ours
            Path(group).rmdir()
