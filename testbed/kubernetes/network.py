"""The node's address on this machine, the routes to pods and services, and their removal.

Dockerd sets the FORWARD policy to DROP, so traffic of pods is let through by rules of our own.
"""

import json
import re
import subprocess
from pathlib import Path

from testbed.commands import run, succeeds
from testbed.kubernetes import settings
from testbed.network import remove_link
from testbed.part import TestbedError

_COMMENT = ("-m", "comment", "--comment", "modelferry testbed")
_PODS = str(settings.PODS)
_RULES = (
    ("filter", "FORWARD", ("-s", _PODS, *_COMMENT, "-j", "ACCEPT")),
    ("filter", "FORWARD", ("-d", _PODS, *_COMMENT, "-j", "ACCEPT")),
    ("nat", "POSTROUTING", ("-s", _PODS, "!", "-d", _PODS, *_COMMENT, "-j", "MASQUERADE")),
)
_KUBE = r"KUBE-[\w-]+"  # of kube-proxy and the kubelet
_KUBE_AND_CNI = r"(?:KUBE|CNI-DN|CNI-HOSTPORT)-[\w-]+"  # the CNI plugin leads host ports to pods
_OTHER_CNI_NETWORK = rf'dnat name: \\"(?!{settings.POD_NETWORK}\\")'


def require_free() -> None:
    """Two kube-proxies on one machine undo each other's rules."""
    kube_proxy = succeeds("iptables", "-w", "-t", "nat", "-S", "KUBE-SERVICES")
    if kube_proxy or Path(f"/sys/class/net/{settings.BRIDGE}").exists():
        raise TestbedError(
            f"This machine's network already has a Kubernetes (interface {settings.BRIDGE} or "
            "iptables chain KUBE-SERVICES): another one, or a testbed with another "
            "MODELFERRY_CACHE. Take it down, or use it: MODELFERRY_TESTBED_KUBECONFIG names its "
            "kubeconfig. If none runs, a reboot removes what one left."
        )


def remove_abandoned_pods() -> None:
    """What a killed runtime forgot; only while no pod starts. A route to one would take what is
    sent to a new pod of the same address: the CNI plugin accepts a route that it finds."""
    for route in json.loads(run("ip", "-json", "route", "show", "root", _PODS)):
        remove_if_abandoned(route["dev"])


def remove_if_abandoned(device: str) -> None:
    """With the route through it, when no process is left at its other end."""
    (link,) = json.loads(run("ip", "-json", "link", "show", device))
    spaces = run("lsns", "--noheadings", "--type", "net", "--output", "NETNSID,NPROCS")
    lived_in = {
        number for number, processes in map(str.split, spaces.splitlines()) if int(processes)
    }
    if "link_netnsid" in link and str(link["link_netnsid"]) not in lived_in:
        run("ip", "link", "delete", device)


def up() -> None:
    bridge = settings.BRIDGE
    run("ip", "link", "add", bridge, "type", "bridge")
    run("ip", "address", "add", f"{settings.NODE_IP}/32", "dev", bridge)
    run("ip", "link", "set", bridge, "up")
    # Kube-proxy rewrites the destination after the route is looked up, so one must be there,
    # also on a machine without a default route. What it does not know ends here.
    for subnet in (settings.SERVICES, settings.LOAD_BALANCERS):
        run("ip", "route", "add", str(subnet), "dev", bridge)
    for table, chain, rule in _RULES:
        run("iptables", "-w", "-t", table, "-I", chain, *rule)


def down() -> None:
    remove_link(settings.BRIDGE)
    for table, chain, rule in _RULES:
        while succeeds("iptables", "-w", "-t", table, "-D", chain, *rule):
            pass
    for family in ("iptables", "ip6tables"):
        _remove_chains(family)


def _remove_chains(family: str) -> None:
    """All at once: a chain can only go when nothing jumps to it any more."""
    for table in ("filter", "nat", "mangle"):
        saved = subprocess.run(
            [f"{family}-save", "-t", table], capture_output=True, text=True, check=False
        ).stdout
        if changes := removal(saved):
            text = "\n".join([f"*{table}", *changes, "COMMIT", ""])
            run(f"{family}-restore", "-w", "--noflush", stdin=text)


def removal(saved: str) -> list[str]:
    """Lines for iptables-restore that take our chains out of what iptables-save printed."""
    ours = _KUBE if re.search(_OTHER_CNI_NETWORK, saved) else _KUBE_AND_CNI
    chains = re.findall(rf"^:({ours}) ", saved, re.MULTILINE)
    jumps = re.findall(rf"^-A ((?!{ours} ).* -j {ours}.*)$", saved, re.MULTILINE)
    return [
        *(f"-D {jump}" for jump in jumps),
        *(f"-F {chain}" for chain in chains),
        *(f"-X {chain}" for chain in chains),
    ]
