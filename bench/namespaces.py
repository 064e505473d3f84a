"""Network, mount and process namespaces of the benchmark's own: nobody else's traffic, daemons or
image stores, and nothing is left running when it ends, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_MARK = "MODELFERRY_BENCH_INSIDE"
_ROOT = Path(__file__).parent.parent


def inside() -> bool:
    return os.environ.get(_MARK) == "1"


def enter(arguments: Sequence[str], cache: Path) -> int:
    """Run `python -m bench` once more, inside; its exit status."""
    if os.geteuid() != 0:
        sys.stderr.write("bench: namespaces and an engine of its own need root\n")
        return 1
    # All within dies with unshare, and unshare with this process.
    unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    tied = ["setpriv", "--pdeathsig", "KILL", "--", *unshare]
    command = [*tied, sys.executable, "-m", "bench", *arguments]
    env = {**os.environ, _MARK: "1", "MODELFERRY_CACHE": str(cache)}
    for name in ("DOCKER_HOST", "DOCKER_CONFIG", "KUBECONFIG"):
        env.pop(name, None)
    with subprocess.Popen(command, cwd=_ROOT, env=env) as child:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal tells the child as well
        return child.wait()


def settle() -> None:
    """First thing inside. /run is where engines keep the sockets that everybody finds."""
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # process 1 would not hear it
