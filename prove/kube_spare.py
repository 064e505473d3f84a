"""A second API server of the testbed's cluster, which may be killed without a word to anybody."""

import random
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from ssl import create_default_context
from types import TracebackType
from typing import Self

from testbed.kubernetes import components, control_plane, settings

_START_S = 90.0
_POLL_S = 0.2


class SpareApiServer:
    """Use it in a `with`."""

    def __init__(self) -> None:
        with socket.create_server((str(settings.NODE_IP), 0)) as free:
            self._port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"https://{settings.NODE_IP}:{self._port}"

    def __enter__(self) -> Self:
        self.start()
        self._wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def start(self) -> None:
        flags = control_plane.api_server_flags(self._port)
        flags["endpoint-reconciler-type"] = "none"  # pods go on finding the first one
        arguments = [f"--{name}={value}" for name, value in flags.items()]
        self._process = subprocess.Popen(
            [components.KUBE.path(), "kube-apiserver", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        if self._process:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def _wait(self) -> None:
        context = create_default_context(cafile=settings.config("ca.crt"))
        handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
        opener = urllib.request.build_opener(*handlers)
        until = time.monotonic() + _START_S
        while time.monotonic() < until:
            try:
                opener.open(f"{self.url}/readyz", timeout=5).close()
            except OSError:
                time.sleep(_POLL_S)
            else:
                return
        raise TimeoutError(f"the second API server is not ready after {_START_S:g} s")


def killed(server: SpareApiServer, rng: random.Random, until: threading.Event) -> None:
    """In the middle of the watch; it comes back at once, and takes its time to be ready."""
    until.wait(rng.uniform(0.5, 3))
    server.kill()
    until.wait(rng.uniform(0, 3))
    server.start()
