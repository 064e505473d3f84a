"""Child processes: echoed, redacted, line by line, with a time limit, and gone when we go."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger("modelferry.process")

KEPT_LINES = 200


class ProgramMissingError(Exception):
    """The program is not on PATH; the caller says which input or package brings it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    status: int  # negative: ended by that signal, as in subprocess
    last_lines: tuple[str, ...]  # stdout and stderr as they came, the last KEPT_LINES
    timed_out: bool = False


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bytes | None = None,
    timeout_s: float | None = None,
    on_line: Callable[[str], None] = log.info,
) -> Completed:
    """Run to the end, handing on each output line. Never raises for a non-zero status.

    The child leads its own process group, and the group is ended when the time is up or when an
    exception (a cancel, too) passes through here. Secrets go by `env` or `stdin`, never in argv.
    """
    program = shutil.which(argv[0], path=(env or os.environ).get("PATH"))
    if program is None:
        raise ProgramMissingError(argv[0])
    log.info("+ %s", shlex.join(argv))
    child = subprocess.Popen(
        [program, *argv[1:]],
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        _end_group(child)

    timer = threading.Timer(timeout_s, expire) if timeout_s is not None else None
    try:
        if timer:
            timer.start()
        lines = _drain(child, stdin, on_line)
        return Completed(status=child.wait(), last_lines=lines, timed_out=expired.is_set())
    except BaseException:
        _end_group(child)
        raise
    finally:
        if timer:
            timer.cancel()


def _drain(
    child: subprocess.Popen[bytes], stdin: bytes | None, on_line: Callable[[str], None]
) -> tuple[str, ...]:
    if child.stdin is not None:
        with (
            suppress(BrokenPipeError),
            child.stdin,
        ):  # a child that did not wait tells by its status
            child.stdin.write(stdin or b"")
    kept: deque[str] = deque(maxlen=KEPT_LINES)
    assert child.stdout is not None  # noqa: S101 - opened with PIPE above
    with child.stdout:
        for raw in child.stdout:
            line = raw.decode(errors="replace").rstrip("\r\n")
            kept.append(line)
            on_line(line)
    return tuple(kept)


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """TERM, then KILL two seconds later: a cancelled run has five seconds in all."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
            child.wait(timeout=2)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
        return
