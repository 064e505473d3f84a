"""The binary with all of Kubernetes, and how its components are started and asked for health."""

import urllib.request
from collections.abc import Callable, Mapping

from testbed import processes
from testbed.kubernetes.programs import Program

VERSION = "v1.36.3"  # as in kube/go.mod
_MAJOR, _MINOR, _ = VERSION.removeprefix("v").split(".")
_REPORTED = {"gitVersion": VERSION, "gitMajor": _MAJOR, "gitMinor": _MINOR}
_VARIABLES = (f"-X k8s.io/component-base/version.{name}={v}" for name, v in _REPORTED.items())
KUBE = Program(name="kube", linker_flags=" ".join(("-s -w", *_VARIABLES)))

_START_TIMEOUT_S = 60
_ANSWER_TIMEOUT_S = 5
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def start(name: str, flags: Mapping[str, object], *, ready: Callable[[], bool]) -> None:
    arguments = [f"--{flag}={value}" for flag, value in flags.items()]
    command = [KUBE.path(), name, *arguments]
    processes.start(name, command, ready=ready, timeout_s=_START_TIMEOUT_S)


def healthy(url: str) -> bool:
    """True only for success: these servers say 503 while they are not ready."""
    try:
        _DIRECT.open(url, timeout=_ANSWER_TIMEOUT_S).close()
    except OSError:  # HTTPError is one
        return False
    return True
