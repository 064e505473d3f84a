"""The machine and the versions that figures belong to."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.product import ROOT

_PACKAGES = ("azure-storage-blob", "boto3", "obstore", "isal")


def machine() -> dict[str, str]:
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    return {
        "when": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{int(memory[1]) / 1024**2:.0f} GiB" if memory else "unknown",
        "system": f"{platform.freedesktop_os_release()['PRETTY_NAME']}, Linux {platform.release()}",
        "load before": " ".join(f"{part:.2f}" for part in os.getloadavg()),
        "network": "loopback, in a namespace of its own; page cache warm",
    }


def versions(buildkitd: str) -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "dockerd": _said("docker", "version", "--format", "{{.Server.Version}}"),
        "docker": _said("docker", "version", "--format", "{{.Client.Version}}"),
        "buildkitd": buildkitd,
        "containerd": _said("containerd", "--version"),
        "registry": _said("docker-registry", "--version"),
        **{name: version(name) for name in _PACKAGES},
        "modelferry": _commit(),
    }


def _commit() -> str:
    said = ("git", "-C", str(ROOT), "describe", "--always", "--dirty")
    return _said(*said) if (ROOT / ".git").exists() else "a checkout without git"


def _processor() -> str:
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def _said(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[0].strip()
