"""The machine's network as it was before the engine, and the way back to it."""

import json
import re
import subprocess
from pathlib import Path

from testbed import layout
from testbed.commands import run, succeeds

_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_TABLES = ("filter", "nat")
_DOCKERS = re.compile(r"\bDOCKER\b|\bDOCKER-|\bdocker0\b|-i br-[0-9a-f]{12}|-o br-[0-9a-f]{12}")


def outside_mtu() -> int:
    """Of the interface that leads outside: containers with a greater one lose large packets."""
    routes = json.loads(run("ip", "-json", "route", "show", "default"))
    if not routes:
        return 1500
    link = json.loads(run("ip", "-json", "link", "show", routes[0]["dev"]))
    return int(link[0]["mtu"])


def open_for_containers(path: Path) -> None:
    """Turn forwarding on, keeping in `path` what was, unless an earlier attempt already did.

    An engine that has to turn it on itself also drops everything else that is forwarded, pods'
    traffic included.
    """
    if not path.exists():
        _remember(path)
    _FORWARDING.write_text("1")


def _remember(path: Path) -> None:
    policy = "ACCEPT"
    if succeeds("iptables", "--version"):
        policy = run("iptables", "-S", "FORWARD").split()[2]
    before = {"ip_forward": _FORWARDING.read_text().strip(), "forward_policy": policy}
    layout.write_private(path, json.dumps(before))


def restore(path: Path) -> None:
    before = json.loads(path.read_text())
    run("iptables", "-P", "FORWARD", before["forward_policy"])
    _FORWARDING.write_text(before["ip_forward"])
    path.unlink()


def remove_docker_rules() -> None:
    """Rules first, then the chains that nothing refers to any more."""
    for command in ("iptables", "ip6tables"):
        for table in _TABLES:
            if succeeds(command, "-t", table, "-S"):
                _clean_table(command, table)


def _clean_table(command: str, table: str) -> None:
    lines = run(command, "-t", table, "-S").splitlines()
    for line in lines:
        if line.startswith("-A ") and is_dockers(line):
            run(command, "-t", table, "-D", *_words(line)[1:])
    for line in lines:
        if re.match(r"-N DOCKER(-|$)", line):
            run(command, "-t", table, "-X", line.split()[1])


def is_dockers(rule: str) -> bool:
    return _DOCKERS.search(rule) is not None


def _words(rule: str) -> list[str]:
    return [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', rule)]


def remove_link(name: str) -> None:
    if Path(f"/sys/class/net/{name}").exists():
        run("ip", "link", "delete", name)


def unmount_below(*folders: Path) -> None:
    """What a killed daemon left mounted, innermost first."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted(mounts, reverse=True):
        if any(Path(mount).is_relative_to(folder) for folder in folders):
            subprocess.run(["umount", "--lazy", mount], check=False)
