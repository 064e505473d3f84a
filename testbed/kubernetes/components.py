"""How the components of the kube binary are started and asked for their health."""

import urllib.request
from collections.abc import Callable, Mapping

from testbed import processes
from testbed.kubernetes import settings

_START_TIMEOUT_S = 60
_ANSWER_TIMEOUT_S = 5
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def start(name: str, flags: Mapping[str, object], *, ready: Callable[[], bool]) -> None:
    arguments = [f"--{flag}={value}" for flag, value in flags.items()]
    command = [settings.kube(), name, *arguments]
    processes.start(name, command, ready=ready, timeout_s=_START_TIMEOUT_S)


def healthy(url: str) -> bool:
    """True only for success: these servers say 503 while they are not ready."""
    try:
        _DIRECT.open(url, timeout=_ANSWER_TIMEOUT_S).close()
    except OSError:  # HTTPError is one
        return False
    return True
