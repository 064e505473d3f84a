"""Debian packages: installs what is missing, without starting the services they bring."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from testbed import layout
from testbed.commands import run
from testbed.part import TestbedError

_POLICY = Path("/usr/sbin/policy-rc.d")
_OURS = "#!/bin/sh\n# modelferry testbed: packages must not start services\nexit 101\n"


def ensure(*names: str) -> None:
    """Install the packages that are missing. Raises TestbedError with apt's own words."""
    if not missing(names):
        return
    # apt inherits the lock: should `up` be killed, the next one waits for the orphan to end.
    with layout.locked("apt") as lock:
        if wanted := missing(names):
            _install(wanted, lock)


def missing(names: Sequence[str]) -> list[str]:
    return [name for name in names if not _installed(name)]


def _install(wanted: list[str], lock: int) -> None:
    if os.geteuid() != 0:
        raise TestbedError(f"As root: apt-get install {' '.join(wanted)}")
    # A policy of the machine's owner stays; one of ours may be left from a killed attempt.
    ours = not _POLICY.exists() or _POLICY.read_text() == _OURS
    if ours:
        _POLICY.write_text(_OURS)
        _POLICY.chmod(0o755)
    try:
        run("dpkg", "--configure", "-a", outliving=lock)  # mends an attempt killed half-way
        _apt(lock, "update")
        _apt(lock, "install", "--yes", "--no-install-recommends", *wanted)
    finally:
        if ours:
            _POLICY.unlink()
    for name in wanted:
        _disable_services(name)


def _disable_services(name: str) -> None:
    """The testbed starts its own daemons; the packages' must not appear at the next boot."""
    files = run("dpkg-query", "--listfiles", name).splitlines()
    units = [Path(f).name for f in files if "/systemd/system/" in f and f.endswith(".service")]
    for unit in units:
        # the name is what tells it that no stranger calls; it acts for a maintainer script
        run("deb-systemd-helper", "disable", unit, env={"DPKG_MAINTSCRIPT_PACKAGE": name})


def _apt(lock: int, *arguments: str) -> None:
    command = ["apt-get", "--quiet", "-o", "DPkg::Lock::Timeout=300", *arguments]
    run(*command, env={"DEBIAN_FRONTEND": "noninteractive"}, outliving=lock)


def _installed(name: str) -> bool:
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", name]
    answer = subprocess.run(query, capture_output=True, text=True, env=os.environ, check=False)
    return answer.returncode == 0 and answer.stdout == "installed"
