"""Starts one component of the kube binary."""

from collections.abc import Callable, Mapping

from testbed import processes
from testbed.kubernetes import settings

_TIMEOUT_S = 60


def start(name: str, flags: Mapping[str, object], *, ready: Callable[[], bool]) -> None:
    arguments = [f"--{flag}={value}" for flag, value in flags.items()]
    processes.start(name, [settings.kube(), name, *arguments], ready=ready, timeout_s=_TIMEOUT_S)
