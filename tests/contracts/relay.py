"""A port of this machine, seen in the network namespace of an engine that has its own."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


@contextmanager
def relayed(engine_address: str, *ports: int) -> Iterator[None]:
    theirs = Path(f"/proc/{_pid(engine_address.removeprefix('unix://'))}/ns/net")
    if theirs.stat().st_ino == Path("/proc/self/ns/net").stat().st_ino:
        yield
        return
    listening = [_listen(theirs, port) for port in ports]
    for server, port in zip(listening, ports, strict=True):
        threading.Thread(target=_serve, args=(server, port), daemon=True).start()
    try:
        yield
    finally:
        for server in listening:
            server.shutdown(socket.SHUT_RDWR)  # or who waits for the next would keep the port
            server.close()


def _pid(path: str) -> int:
    """Of who listens there."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(path)
        told = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return struct.unpack("3i", told)[0]


def _listen(namespace: Path, port: int) -> socket.socket:
    """A socket stays in the namespace it was made in; its thread comes back."""
    with Path("/proc/thread-self/ns/net").open() as ours, namespace.open() as theirs:
        _enter(theirs.fileno())
        try:
            return socket.create_server(("127.0.0.1", port))
        finally:
            _enter(ours.fileno())


def _enter(descriptor: int) -> None:
    if _LIBC.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _serve(server: socket.socket, port: int) -> None:
    with suppress(OSError):
        while True:
            client, _ = server.accept()
            threading.Thread(target=_relay, args=(client, port), daemon=True).start()


def _relay(client: socket.socket, port: int) -> None:
    with client, suppress(OSError), socket.create_connection(("127.0.0.1", port)) as target:
        back = threading.Thread(target=_pump, args=(target, client), daemon=True)
        back.start()
        _pump(client, target)
        back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
