"""blob_server as a part of the cloud: Blob and S3 storage that is never what is waited for, near or
far."""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import urlsplit

from testbed import layout, processes, web
from testbed.commands import run

ACCOUNT = "fast"
LATENCY_MS, RATE_MB = 30, 60  # from afar: a second, on each connection
_SOURCE = Path(__file__).parent / "blob_server"
_DAEMON, _FAR = "fast-blob", "fast-blob-far"


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
            [
                *(binary(), "-listen", address, "-blocks", self._blocks),
                *("-far", f"127.0.0.1:{layout.claim_port(_FAR)}"),
                *("-latency", f"{LATENCY_MS}ms", "-rate", str(RATE_MB * 1_000_000)),
            ],
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
        return f"{self.s3_endpoint}/{ACCOUNT}"

    @property
    def s3_endpoint(self) -> str:
        return f"http://127.0.0.1:{layout.port(_DAEMON)}"

    def from_afar(self, endpoint: str) -> str:
        """The same storage: answers begin late, and the kernel paces each connection."""
        return urlsplit(endpoint)._replace(netloc=f"127.0.0.1:{layout.port(_FAR)}").geturl()


def binary() -> Path:
    """Named by its source; go needs nothing from a network for it."""
    digest = hashlib.sha256((_SOURCE / "main.go").read_bytes()).hexdigest()[:12]
    binary = layout.tool_path("blob_server", digest)
    if not binary.exists():
        with layout.locked("go"), layout.drafted(binary) as draft:
            run("go", "build", "-trimpath", "-o", draft, ".", cwd=_SOURCE)
    return binary
