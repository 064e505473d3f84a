"""Debian packages: installs what is missing, without starting the services they bring."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from testbed import layout
from testbed.commands import run

_POLICY = Path("/usr/sbin/policy-rc.d")
_OURS = "#!/bin/sh\n# modelferry testbed: packages must not start services\nexit 101\n"


def ensure(*names: str) -> None:
    """Install the packages that are missing. Raises TestbedError with apt's own words."""
    if not missing(names):
        return
    with layout.locked("apt"):
        wanted = missing(names)
        if not wanted:
            return
        _apt("update")
        _install(wanted)


def missing(names: Sequence[str]) -> list[str]:
    return [name for name in names if not _installed(name)]


def _install(wanted: list[str]) -> None:
    # A policy of the machine's owner stays; one of ours may be left from a killed attempt.
    ours = not _POLICY.exists() or _POLICY.read_text() == _OURS
    if ours:
        _POLICY.write_text(_OURS)
        _POLICY.chmod(0o755)
    try:
        run("dpkg", "--configure", "-a")  # mends an attempt killed half-way
        _apt("install", "--yes", "--no-install-recommends", *wanted)
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
        run("deb-systemd-helper", "disable", unit)


def _apt(*arguments: str) -> None:
    run(
        "apt-get",
        "--quiet",
        "-o",
        "DPkg::Lock::Timeout=300",
        *arguments,
        env={"DEBIAN_FRONTEND": "noninteractive"},
    )


def _installed(name: str) -> bool:
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", name]
    answer = subprocess.run(query, capture_output=True, text=True, env=os.environ, check=False)
    return answer.returncode == 0 and answer.stdout == "installed"
