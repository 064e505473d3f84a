"""A way to the API server that can fail as networks do: bytes pass as they are, TLS and all."""

import random
import selectors
import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_RESET_AT_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: no goodbye, the peer gets an RST
_CHUNK = 64 * 1024
_POLL_S = 0.02


@dataclass(eq=False, slots=True)
class _Pair:
    """A client's connection and ours to the server. Dead ones stay open and carry nothing."""

    client: socket.socket
    server: socket.socket
    is_dead: threading.Event = field(default_factory=threading.Event)

    def close(self, *, reset: bool = False) -> None:
        for end in (self.client, self.server):
            with suppress(OSError):
                if reset:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
                end.shutdown(socket.SHUT_RDWR)
            with suppress(OSError):
                end.close()


class Passage:
    """Listens on a loopback port of its own; use it in a `with`."""

    def __init__(self, server_url: str) -> None:
        parts = urlsplit(server_url)
        self._target = (parts.hostname or "", parts.port or 443)
        self._pairs: set[_Pair] = set()
        self._silent = threading.Event()
        self._closed = threading.Event()
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._listener.close()
        self._drop_all()

    # What may happen

    def reset(self) -> None:
        """Every connection ends at once, without a goodbye."""
        self._drop_all(reset=True)

    def half_open(self) -> None:
        """The other end of every connection is gone, and nobody says so: no bytes, no FIN."""
        for pair in tuple(self._pairs):
            pair.is_dead.set()

    def silence(self, seconds: float) -> None:
        """Nothing passes, old connections or new; then all that was held back comes."""
        self._silent.set()
        time.sleep(seconds)
        self._silent.clear()

    def close(self, seconds: float) -> None:
        """As a server that restarts: connections end, and new ones are refused."""
        self._closed.set()
        self._listener.close()
        self._drop_all()
        time.sleep(seconds)
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._closed.clear()

    # How it passes bytes on

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                time.sleep(_POLL_S)  # closed for a while, or for good
                continue
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._target, timeout=10)
        except OSError:
            client.close()
            return
        pair = _Pair(client=client, server=server)
        self._pairs.add(pair)
        if self._closed.is_set():
            pair.close()
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(client, selectors.EVENT_READ, server)
                selector.register(server, selectors.EVENT_READ, client)
                self._pump(pair, selector)
        except (OSError, ValueError):  # an end was closed
            pass
        finally:
            pair.close()
            self._pairs.discard(pair)

    def _pump(self, pair: _Pair, selector: selectors.BaseSelector) -> None:
        while not self._ended.is_set():
            if self._silent.is_set() or pair.is_dead.is_set():
                time.sleep(_POLL_S)
                continue
            for key, _ in selector.select(timeout=0.2):
                source: socket.socket = key.fileobj  # pyright: ignore[reportAssignmentType]
                content = source.recv(_CHUNK)
                if not content:
                    return
                while self._silent.is_set() and not pair.is_dead.is_set():
                    time.sleep(_POLL_S)
                if not pair.is_dead.is_set():
                    key.data.sendall(content)

    def _drop_all(self, *, reset: bool = False) -> None:
        for pair in tuple(self._pairs):
            pair.close(reset=reset)


def trouble(passage: Passage, rng: random.Random, kind: str, until: threading.Event) -> None:
    """Plays one kind of trouble, beginning at a random moment, until the rollout is over."""
    until.wait(rng.uniform(0.3, 3))
    match kind:
        case "resets":
            while not until.wait(rng.uniform(0.2, 1.5)):
                passage.reset()
        case "half-open":
            passage.half_open()
        case "silence":
            passage.silence(30)
        case "away":
            passage.close(rng.uniform(5, 12))
        case _:
            raise ValueError(kind)
