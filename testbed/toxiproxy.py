"""A proxy for bad lines: latency, little bandwidth, resets, silence, on any TCP connection."""

import json
import threading
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from testbed import gotools, layout, processes, web

_DAEMON = "bad-lines"


class Toxiproxy:
    name = "toxiproxy"

    def prepare(self) -> None:
        gotools.ensure("toxiproxy")

    def start(self) -> None:
        if self.running():
            return
        port = layout.claim_port(_DAEMON)
        processes.start(
            _DAEMON,
            [
                gotools.ensure("toxiproxy"),
                "-host",
                "127.0.0.1",
                "-port",
                str(port),
                "-proxy-metrics",
            ],
            ready=lambda: web.answers(f"{_url()}/version"),
            timeout_s=30,
        )

    def stop(self) -> None:
        processes.stop(_DAEMON)

    def running(self) -> bool:
        return processes.alive(_DAEMON) and web.answers(f"{_url()}/version")

    def env(self) -> dict[str, str]:
        return {"TESTBED_TOXIPROXY": _url()}


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """A way to `upstream` (host:port) that is good until a toxic is put on it."""

    api: str
    name: str
    host: str

    def add(self, kind: str, *, upstream: bool = False, **attributes: int) -> None:
        """Toxiproxy's own kinds: latency, bandwidth (rate in KB/s), reset_peer, timeout,
        limit_data. `upstream`: on what the client sends, else on what it gets."""
        toxic = {
            "name": kind,
            "type": kind,
            "stream": "upstream" if upstream else "downstream",
            "attributes": attributes,
        }
        _ask("POST", f"{self.api}/proxies/{self.name}/toxics", toxic)

    def cut(self) -> None:
        """Nothing listens any more, and what was connected is not."""
        _ask("POST", f"{self.api}/proxies/{self.name}", {"enabled": False})

    def mend(self) -> None:
        """Good again, as at first."""
        known = _ask("POST", f"{self.api}/proxies/{self.name}", {"enabled": True})
        for toxic in known["toxics"]:
            _ask("DELETE", f"{self.api}/proxies/{self.name}/toxics/{toxic['name']}")

    def mend_after(self, seconds: float) -> None:
        threading.Timer(seconds, self.mend).start()


@contextmanager
def bad_line(api: str, upstream: str) -> Iterator[BadLine]:
    """`api`: TESTBED_TOXIPROXY."""
    name = f"line-{uuid.uuid4().hex[:12]}"
    given = {"name": name, "listen": "127.0.0.1:0", "upstream": upstream, "enabled": True}
    made = _ask("POST", f"{api}/proxies", given)
    try:
        yield BadLine(api=api, name=name, host=str(made["listen"]))
    finally:
        _ask("DELETE", f"{api}/proxies/{name}")


def _ask(method: str, url: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
    data = json.dumps(body).encode() if body is not None else None
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    with web.opened(request) as answer:
        return json.loads(answer.read() or b"{}")


def _url() -> str:
    return f"http://127.0.0.1:{layout.port(_DAEMON)}"
