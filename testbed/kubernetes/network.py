"""The node's address on this machine, the routes to pods and services, and their removal.

Dockerd sets the FORWARD policy to DROP, so traffic of pods is let through by rules of our own.
"""

import re
import subprocess

from testbed.commands import run, succeeds
from testbed.kubernetes import settings

_COMMENT = ("-m", "comment", "--comment", "modelferry testbed")
_PODS = str(settings.PODS)
_RULES = (
    ("filter", "FORWARD", ("-s", _PODS, *_COMMENT, "-j", "ACCEPT")),
    ("filter", "FORWARD", ("-d", _PODS, *_COMMENT, "-j", "ACCEPT")),
    ("nat", "POSTROUTING", ("-s", _PODS, "!", "-d", _PODS, *_COMMENT, "-j", "MASQUERADE")),
)
# Chains of kube-proxy, the kubelet and the CNI plugin for host ports; the last one is shared.
_OURS = r"(?:KUBE|CNI-DN|CNI-HOSTPORT)-[\w-]+"


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
    if succeeds("ip", "link", "show", settings.BRIDGE):
        run("ip", "link", "delete", settings.BRIDGE)
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
    chains = re.findall(rf"^:({_OURS}) ", saved, re.MULTILINE)
    jumps = re.findall(rf"^-A ((?!{_OURS} ).* -j {_OURS}.*)$", saved, re.MULTILINE)
    return [
        *(f"-D {jump}" for jump in jumps),
        *(f"-F {chain}" for chain in chains),
        *(f"-X {chain}" for chain in chains),
    ]
