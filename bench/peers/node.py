"""A Kubernetes node's containerd, alone: pulls an image and unpacks it."""

from __future__ import annotations

import json
import shutil
import time

from bench.cloud import Cloud
from testbed import layout, processes, web
from testbed.commands import run, succeeds
from testbed.registry import access

_DAEMON = "node"


class Node:
    def __init__(self, cloud: Cloud) -> None:
        self._folder = cloud.folder / "node"
        self._socket = self._folder / "containerd.sock"

    def start(self) -> None:
        """With nothing pulled."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        settings = layout.write_private(self._folder / "config.toml", self._settings())
        processes.start(
            _DAEMON,
            ["containerd", "--config", settings],
            ready=lambda: web.listens(self._socket) and succeeds(*self._ctr("version")),
            timeout_s=30,
        )

    def stop(self) -> None:
        processes.stop(_DAEMON)

    def pull(self, image: str) -> float:
        """Seconds until it is unpacked."""
        login = f"{access().username}:{access().password}"
        began = time.monotonic()
        run(*self._ctr("images", "pull", "--plain-http", "--user", login, image))
        return time.monotonic() - began

    def _ctr(self, *words: str) -> tuple[str, ...]:
        return ("ctr", "--address", str(self._socket), "--namespace", "k8s.io", *words)

    def _settings(self) -> str:
        return (
            f"version = 2\nroot = {json.dumps(str(self._folder / 'root'))}\n"
            f"state = {json.dumps(str(self._folder / 'state'))}\n"
            'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
            f"[grpc]\naddress = {json.dumps(str(self._socket))}\n"
        )
