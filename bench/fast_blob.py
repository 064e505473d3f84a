"""blob_server as a part of the cloud: Blob storage that is never what is waited for."""

from __future__ import annotations

import hashlib
from pathlib import Path

from testbed import layout, processes, web
from testbed.commands import run

ACCOUNT = "fast"
_SOURCE = Path(__file__).parent / "blob_server"
_DAEMON = "fast-blob"


class FastBlob:
    name = "fast-blob"

    def __init__(self, blocks: Path) -> None:
        self._blocks = blocks

    def prepare(self) -> None:
        binary()

    def start(self) -> None:
        address = f"127.0.0.1:{layout.claim_port(_DAEMON)}"
        processes.start(
            _DAEMON,
            [binary(), "-listen", address, "-blocks", self._blocks],
            ready=lambda: web.answers(f"http://{address}/"),
            timeout_s=30,
        )

    def stop(self) -> None:
        processes.stop(_DAEMON)

    def running(self) -> bool:
        return processes.alive(_DAEMON)

    def env(self) -> dict[str, str]:
        return {}

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{layout.port(_DAEMON)}/{ACCOUNT}"


def binary() -> Path:
    """Named by its source; go needs nothing from a network for it."""
    digest = hashlib.sha256((_SOURCE / "main.go").read_bytes()).hexdigest()[:12]
    binary = layout.tool_path("blob_server", digest)
    if not binary.exists():
        with layout.locked("go"), layout.drafted(binary) as draft:
            run("go", "build", "-trimpath", "-o", draft, ".", cwd=_SOURCE)
    return binary
