"""A plain-http way to the API server that can refuse as busy and restarting API servers do."""

import json
import random
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import urllib3
from kubernetes.config import new_client_from_config

_REASONS = {
    403: ("Forbidden", "pods is forbidden: User cannot list resource"),
    410: ("Expired", "too old resource version"),
    429: ("TooManyRequests", "storage is (re)initializing"),
    500: ("InternalError", "etcdserver: leader changed"),
}


class Gate:
    """Passes reading requests on with the testbed's own credential; use it in a `with`.

    `refuses` is asked of each: a status, or None to let it through. 410 comes as servers say it
    to a watch: as an event within it, after those that were let through.
    """

    def __init__(self, kubeconfig: str) -> None:
        client = new_client_from_config(kubeconfig)
        self._pool: urllib3.PoolManager = client.rest_client.pool_manager
        self._server = str(client.configuration.host)
        self.refuses: Callable[[bool], int | None] = lambda _: None
        self.refused: list[int] = []
        self._listener = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._listener.daemon_threads = True
        threading.Thread(target=self._listener.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.server_address[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown()
        self._listener.server_close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        is_watch = "watch" in parse_qs(urlsplit(handler.path).query)
        status = self.refuses(is_watch)
        if status is not None:
            self.refused.append(status)
        if status is not None and not (is_watch and status == 410):
            _refuse(handler, status)
            return
        response = self._pool.request(
            "GET", f"{self._server}{handler.path}", preload_content=False, timeout=60
        )
        try:
            _pass_on(handler, response, is_gone=status == 410)
        finally:
            response.close()


def _pass_on(
    handler: BaseHTTPRequestHandler, response: urllib3.BaseHTTPResponse, *, is_gone: bool
) -> None:
    handler.send_response(response.status)
    handler.send_header("Content-Type", response.headers.get("Content-Type", ""))
    handler.send_header("Connection", "close")
    handler.end_headers()
    if is_gone:
        line = {"type": "ERROR", "object": _status(410)}
        handler.wfile.write(json.dumps(line).encode() + b"\n")
        return
    for chunk in response.stream(decode_content=True):
        handler.wfile.write(chunk)
        handler.wfile.flush()


def _handler(gate: Gate) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.close_connection = True
            try:
                gate.answer(self)
            except (OSError, urllib3.exceptions.HTTPError):
                return  # the client has gone, as a watch does

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            pass

    return Handler


def _refuse(handler: BaseHTTPRequestHandler, status: int) -> None:
    body = json.dumps(_status(status)).encode()
    handler.send_response(status)
    if status == 429:
        handler.send_header("Retry-After", "2")
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def _status(code: int) -> dict[str, Any]:
    reason, message = _REASONS[code]
    return {"kind": "Status", "code": code, "reason": reason, "message": message}


def refusing(gate: Gate, rng: random.Random, kind: str, until: threading.Event) -> None:
    """Plays one kind of refusal, beginning at a random moment, for some seconds."""
    until.wait(rng.uniform(0.0, 2))
    match kind:
        case "410":
            gate.refuses = lambda is_watch: 410 if is_watch and rng.random() < 0.8 else None
            until.wait()
        case "429":
            gate.refuses = lambda _: 429 if rng.random() < 0.7 else None
            until.wait(15)
        case "starting":  # an API server whose caches are not filled: refuses what it will grant
            gate.refuses = lambda _: rng.choice((403, 500))
            until.wait(8)
        case _:
            raise ValueError(kind)
    gate.refuses = lambda _: None
