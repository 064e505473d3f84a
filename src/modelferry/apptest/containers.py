"""Containers followed to their end: their output logged, their time limited, files taken out."""

from __future__ import annotations

import io
import logging
import tarfile
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import PurePath
from typing import TYPE_CHECKING

from modelferry.errors import TestsFailed
from modelferry.process import KEPT_LINES, Completed

if TYPE_CHECKING:
    from docker.models.containers import Container

log = logging.getLogger("modelferry.test")

LONGEST_LINE = 16 * 1024  # and as much as came with its last piece
LONGEST_RESULTS = 32 * 1024 * 1024


@contextmanager
def asking_docker(to_do: str) -> Iterator[None]:
    """The engine's refusals leave here as TestsFailed; `to_do` completes "Docker could not …"."""
    import docker.errors
    import requests.exceptions

    try:
        yield
    except docker.errors.APIError as error:
        seen = str(error.explanation or error)
        raise TestsFailed(f"Docker could not {to_do}", seen=seen) from error
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise TestsFailed(
            f"Docker could not {to_do}",
            seen=f"{type(error).__name__}: {error}",
            do="See that the Docker engine still runs: docker version.",
        ) from error


def follow(container: Container, *, timeout_s: float) -> Completed:
    """Log what it says, from its start until it exits or is killed when the time is up."""
    with killed_after(container, timeout_s) as expired:
        last_lines = logged(container.logs(stream=True, follow=True))
        status = container.wait()["StatusCode"]
    container.reload()
    if container.attrs["State"]["OOMKilled"]:
        last_lines = (*last_lines, "(killed by the kernel: out of memory)")
    return Completed(status=status, last_lines=last_lines, timed_out=expired.is_set())


@contextmanager
def killed_after(container: Container, timeout_s: float) -> Iterator[threading.Event]:
    """Kills the container when the block takes longer; the event then says so."""
    import docker.errors

    expired = threading.Event()

    def expire() -> None:
        expired.set()
        with suppress(docker.errors.APIError):  # it ended by itself just now
            container.kill()

    timer = threading.Timer(timeout_s, expire)
    timer.daemon = True
    timer.start()
    try:
        yield expired
    finally:
        timer.cancel()


def logged(chunks: Iterable[bytes]) -> tuple[str, ...]:
    """Log each line as it comes; the last ones."""
    kept: deque[str] = deque(maxlen=KEPT_LINES)
    for line in lines_of(chunks):
        log.info(line)
        kept.append(line)
    return tuple(kept)


def lines_of(chunks: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (_text(line) for line in whole)
        if len(rest) > LONGEST_LINE:
            yield _text(rest)
            rest = b""
    if rest:
        yield _text(rest)


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\r")


def read_file(container: Container, path: PurePath) -> bytes | None:
    """None where it is missing or too large to be a test's results."""
    import docker.errors

    with asking_docker(f"fetch {path} from the tests' container"):
        try:
            stream, facts = container.get_archive(str(path))
        except docker.errors.NotFound:
            return None
        if facts is None or facts["size"] > LONGEST_RESULTS:
            return None
        content = b"".join(stream)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        entry = archive.next()
        file = archive.extractfile(entry) if entry and entry.isreg() else None
        return file.read() if file else None
