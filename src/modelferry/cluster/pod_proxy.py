"""A local address whose requests the API server passes on to a pod: where port-forward is not
allowed, or a proxy on the way lets no WebSocket through."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from modelferry.cluster.resources import PODS
from modelferry.cluster.transport import Transport
from modelferry.cluster.tunnel import TunnelError

_READ_S = 60.0
_PASSED_ON = ("content-type", "accept", "user-agent")


def _handler(
    pass_on: Callable[[BaseHTTPRequestHandler], None],
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            """Whatever the method."""
            self.close_connection = True
            self.raw_requestline = self.rfile.readline(65537)
            if self.raw_requestline and self.parse_request():
                pass_on(self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            """The checks' own lines say it better."""

    return Handler


class PodProxy:
    def __init__(self, transport: Transport, path: str, listen_on: str) -> None:
        self._transport, self._path = transport, path
        self.last_error = ""  # as a Tunnel has it; here every error is an answer
        self._server = ThreadingHTTPServer((listen_on, 0), _handler(self.pass_on))
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        address, port = self._server.socket.getsockname()
        return f"http://{address}:{port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def pass_on(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        status, headers, body = self._transport.exchange(
            handler.command,
            self._path + handler.path,
            headers={
                name: value for name, value in handler.headers.items() if name.lower() in _PASSED_ON
            },
            body=handler.rfile.read(length) if length else None,
            read_s=_READ_S,
        )
        handler.send_response(status)
        handler.send_header("Content-Type", headers.get("Content-Type", "text/plain"))
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)


def _require(transport: Transport, path: str, after: TunnelError) -> None:
    """Tells a refusal of the API server from the app's own answer."""
    status, _, body = transport.exchange("GET", f"{path}/", headers={}, body=None, read_s=_READ_S)
    if status not in (401, 403) or b'"kind":"Status"' not in body.replace(b" ", b""):
        return
    message = json.loads(body).get("message", "")
    raise TunnelError(
        "there is no way to the new pods, which `checks` and `smoke-tests` ask",
        seen=f"{after}\nthe pod proxy: {message}",
        do="Allow the user `create` and `get` on pods/portforward, or `get` and `create` on"
        " pods/proxy (docs/kubernetes-role.md).",
    ) from after


def open_pod_proxy(
    transport: Transport,
    pod: str,
    namespace: str,
    port: int,
    listen_on: str,
    *,
    after: TunnelError,
) -> PodProxy:
    """`after` is why port-forward did not do; raises TunnelError when this way is closed, too."""
    path = PODS.path(namespace, f"{pod}:{port}", "proxy")
    _require(transport, path, after)
    return PodProxy(transport, path, listen_on)
