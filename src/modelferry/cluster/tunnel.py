"""A local address that leads to a port of a pod, by the API server's port-forward.

The wire is v4.channel.k8s.io: one WebSocket per connection, each frame led by its channel (0 the
data, 1 the error text), the first frame of a channel holding the port number.
"""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

from kubernetes.stream.ws_client import create_websocket
from websocket import (
    ABNF,
    WebSocket,
    WebSocketBadStatusException,
    WebSocketException,
    WebSocketTimeoutException,
)

from modelferry.cluster.resources import PODS
from modelferry.cluster.transport import Transport
from modelferry.errors import RolloutError
from modelferry.retry import retry

_DATA, _ERROR = 0, 1
_CHUNK = 64 * 1024
_SPARE_S = 0.1  # for as long it is as good as one dialled anew; a port may open any moment


class TunnelError(RolloutError):
    """There is no way to the pod; says nothing about what runs in it."""


class Tunnel:
    """Listens on a free port; each connection gets a WebSocket of its own."""

    def __init__(
        self, transport: Transport, pod: str, namespace: str, port: int, listen_on: str
    ) -> None:
        self._transport, self._port = transport, port
        self._path = f"{PODS.path(namespace, pod, 'portforward')}?ports={port}"
        self._listener = socket.create_server((listen_on, 0))
        self._open: set[WebSocket] = set()
        self._spare: list[WebSocket] = []
        self.last_error = ""  # what the node said when the port could not be reached
        threading.Thread(target=self._accept, name=f"tunnel to {pod}", daemon=True).start()

    @property
    def url(self) -> str:
        address, port = self._listener.getsockname()
        return f"http://{address}:{port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):  # wakes accept(), which a close alone does not
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._end_spare()
        for channel in tuple(self._open):
            _end(channel)

    def prove(self) -> None:
        """Raises TunnelError when there is no way. The connection that showed it is for who comes
        first: closed unused, the node keeps it for a second, and one of the app's workers with it.
        """
        self._spare.append(retry(self.dial))
        timer = threading.Timer(_SPARE_S, self._end_spare)
        timer.daemon = True
        timer.start()

    def _end_spare(self) -> None:
        with suppress(IndexError):
            _end(self._spare.pop())

    def dial(self) -> WebSocket:
        """One connection to the pod's port, as frames."""
        transport = self._transport
        headers = {name.lower(): value for name, value in transport.headers().items()}
        headers["sec-websocket-protocol"] = "v4.channel.k8s.io"
        address = "ws" + transport.server.removeprefix("http") + self._path
        try:
            channel = create_websocket(transport.configuration, address, headers)
        except (WebSocketException, OSError) as error:
            raise TunnelError(
                f"port-forward through {transport.server} is not possible: "
                + " ".join(str(error).split())[:300],
                do="Allow the user `create` and `get` on pods/portforward"
                " (docs/kubernetes-role.md); a proxy in between must pass WebSockets.",
                temporary=_may_heal(error),
            ) from error
        channel.settimeout(None)
        return channel

    def _accept(self) -> None:
        while True:
            try:
                local, _ = self._listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._carry, args=(local,), daemon=True).start()

    def _carry(self, local: socket.socket) -> None:
        with local:
            try:
                channel = self._spare_or_new()
            except TunnelError as error:
                self.last_error = str(error)
                return
            self._open.add(channel)
            upward = threading.Thread(target=_send, args=(local, channel), daemon=True)
            upward.start()
            self._receive(channel, local)
            with suppress(OSError):  # tells the client at once: a close alone waits for _send
                local.shutdown(socket.SHUT_RDWR)
            self._open.discard(channel)
            _end(channel)

    def _spare_or_new(self) -> WebSocket:
        with suppress(IndexError):
            return self._spare.pop()
        return self.dial()

    def _receive(self, channel: WebSocket, local: socket.socket) -> None:
        greeted: set[int] = set()
        with suppress(WebSocketException, OSError):
            while True:
                opcode, frame = channel.recv_data()
                if opcode == ABNF.OPCODE_CLOSE:
                    return
                kind, content = frame[0], frame[1:]
                if kind not in greeted:
                    greeted.add(kind)  # the port number
                elif kind == _ERROR:
                    self.last_error = content.decode(errors="replace").strip()
                    return
                else:
                    local.sendall(content)


def _send(local: socket.socket, channel: WebSocket) -> None:
    with suppress(WebSocketException, OSError):
        while content := local.recv(_CHUNK):
            channel.send_binary(bytes([_DATA]) + content)
    _end(channel)  # the client has gone; nobody reads what may still come


def _may_heal(error: Exception) -> bool:
    """The server is away, or refuses for a moment: no verdict on our rights."""
    if isinstance(error, WebSocketBadStatusException):
        return error.status_code >= 500
    return isinstance(error, OSError)


def _end(channel: WebSocket) -> None:
    with suppress(WebSocketException, WebSocketTimeoutException, OSError, ssl.SSLError):
        channel.close(timeout=1)
    channel.shutdown()  # the other end said goodbye first: then `close` leaves the socket open


def open_tunnel(
    transport: Transport, pod: str, namespace: str, port: int, listen_on: str
) -> Tunnel:
    """Raises TunnelError when the API server does not let us through."""
    tunnel = Tunnel(transport, pod, namespace, port, listen_on)
    try:
        tunnel.prove()
    except BaseException:
        tunnel.__exit__(None, None, None)
        raise
    return tunnel
