"""What the machine must bring before the testbed can do the rest."""

import os
import platform
import re
import shutil

from testbed.commands import run
from testbed.part import TestbedError

_MIN_DEBIAN, _MIN_NODE, _MIN_GO = 12, 20, (1, 26)
_OWN = ("MODELFERRY_TESTBED_DOCKER_HOST", "MODELFERRY_TESTBED_KUBECONFIG")


def check() -> None:
    """Raises TestbedError with everything that is missing."""
    found = (_system(), _root(), _node(), _go())
    faults = [fault for fault in found if fault]
    if faults:
        raise TestbedError(
            f"The testbed needs {', '.join(faults)}; an engine and a cluster of your own, which "
            f"spare it being root, are used when {' and '.join(_OWN)} name them."
        )


def _system() -> str | None:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    version = release.get("VERSION_ID", "0" if release.get("ID") != "debian" else "99")
    if release.get("ID") == "debian" and int(version) >= _MIN_DEBIAN:
        return None
    return (
        f"Debian {_MIN_DEBIAN} or newer (this is {release.get('PRETTY_NAME', platform.system())})"
    )


def _root() -> str | None:
    """Engine and cluster need it; the other parts only for installing packages."""
    return None if os.geteuid() == 0 or all(map(os.environ.get, _OWN)) else "root"


def _node() -> str | None:
    found = _version("node", "--version")
    return None if found >= (_MIN_NODE,) else f"Node {_MIN_NODE} or newer"


def _go() -> str | None:
    return None if _version("go", "version") >= _MIN_GO else "Go 1.26 or newer"


def _version(*argv: str) -> tuple[int, ...]:
    """The first version that the command prints; empty when the machine does not have it."""
    if not shutil.which(argv[0]):
        return ()
    text = run(*argv)
    match = re.search(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else ()
