"""Where the testbed keeps its things, and the ports and secrets it chose once and keeps."""

import fcntl
import json
import os
import secrets
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_PORTS = range(20_000, 30_000)  # below the kernel's ephemeral ports and Kubernetes' node ports
_thread_lock = threading.RLock()


def cache_dir() -> Path:
    """Everything of ours lives below; survives `down`, so that the next `up` is quick."""
    chosen = os.environ.get("MODELFERRY_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "modelferry"


def state_dir(part: str) -> Path:
    """Pid files, settings and logs of a running part."""
    return _made(cache_dir() / "state" / part)


def data_dir(part: str) -> Path:
    """What a running part stores for its users (blobs, images); `down` empties it."""
    return _made(cache_dir() / "data" / part)


def tool_path(name: str, version: str) -> Path:
    return cache_dir() / "tools" / f"{name}-{version}" / name


@contextmanager
def locked(name: str, on_wait: Callable[[], None] = lambda: None) -> Iterator[int]:
    """One at a time, across threads and processes; the kernel frees it when a process dies.

    `on_wait` is called when somebody else has it. Yields the lock's descriptor: a child that
    inherits it keeps the lock for as long as it lives.
    """
    with (_made(cache_dir() / "locks") / name).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


@contextmanager
def drafted(path: Path) -> Iterator[Path]:
    """A name to make something under that becomes `path` once it is whole.

    What killed attempts left goes first; the name is new, since such an attempt's orphan may still
    be writing to its own.
    """
    _made(path.parent)
    for old in path.parent.glob(f".{path.name}.*"):
        remove(old)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        yield draft
        draft.replace(path)
    finally:
        remove(draft)


def remove(path: Path) -> None:
    """A file or a folder with all it holds; nothing happens when it is gone."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def port(name: str) -> int:
    """The port kept under this name, chosen at first use."""
    return int(_kept("ports.json", name, lambda taken: str(_free_port(set(taken)))))


def claim_port(name: str) -> int:
    """Like `port`, for a part about to listen: chooses anew when someone else took it meanwhile."""
    kept = port(name)
    if _is_free(kept):
        return kept
    with _thread_lock, locked("ports.json"):
        path = state_dir("kept") / "ports.json"
        values = _read(path)
        values[name] = str(_free_port(set(values.values())))
        _write(path, values)
    return int(values[name])


def secret(name: str, make: Callable[[], str] = lambda: secrets.token_urlsafe(24)) -> str:
    """The secret kept under this name, made at first use."""
    return _kept("secrets.json", name, lambda _: make())


def write_private(path: Path, text: str) -> Path:
    """Write whole or not at all, readable for the owner only."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.replace(path)
    return path


def _kept(file: str, name: str, make: Callable[[list[str]], str]) -> str:
    with _thread_lock, locked(file):
        path = state_dir("kept") / file
        values = _read(path)
        if name not in values:
            values[name] = make(list(values.values()))
            _write(path, values)
        return values[name]


def _read(path: Path) -> dict[str, str]:
    return json.loads(path.read_text()) if path.exists() else {}


def _write(path: Path, values: dict[str, str]) -> None:
    write_private(path, json.dumps(values, indent=1))


def _free_port(taken: set[str]) -> int:
    while True:
        candidate = secrets.choice(_PORTS)
        if str(candidate) not in taken and _is_free(candidate):
            return candidate


def _is_free(number: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except OSError:
            return False
    return True


def _made(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
