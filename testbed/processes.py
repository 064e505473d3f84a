"""Daemons that outlive the command which started them, and can be found and ended again."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from testbed import layout
from testbed.part import TestbedError

# The daemon's shell writes down the boot and its own /proc stat line (pid, start time), and then
# becomes the daemon: it never runs without anybody knowing, even if `up` is killed right here.
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_RECORD_AND_BECOME = f"""\
read -r boot < {_BOOT_ID} && read -r stat < /proc/$$/stat && echo "$boot $stat" > "$0" && exec "$@"
"""
_POLL_S = 0.1


def start(
    name: str,
    argv: Sequence[str | Path],
    *,
    ready: Callable[[], bool],
    timeout_s: float,
    env: Mapping[str, str] | None = None,
) -> None:
    """Start `argv` as a daemon unless `name` is alive, and wait until `ready`.

    `env` is added to this process's environment. Raises TestbedError with the last log lines.
    """
    if not alive(name):
        stop(name)  # children that survived a crashed daemon
        _spawn(name, argv, env or {})
    deadline = time.monotonic() + timeout_s
    while not ready():
        if not alive(name):
            raise TestbedError(f"{name} ended while starting.\n{log_tail(name)}")
        if time.monotonic() > deadline:
            raise TestbedError(f"{name} did not answer in {timeout_s:g} s.\n{log_tail(name)}")
        time.sleep(_POLL_S)


def stop(name: str, *, timeout_s: float = 20) -> None:
    """End the daemon and what is left of its session; nothing happens to a recycled pid."""
    recorded = _recorded(name)
    if recorded is None:
        return
    pid, started = recorded
    if _start_time(pid) == started:
        os.kill(pid, signal.SIGTERM)
        _wait_gone(pid, started, timeout_s)
    # While a session has members its id is not given away, so these are ours.
    if _start_time(pid) in (started, None):
        _kill_session(pid)
    _pid_file(name).unlink(missing_ok=True)


def kill_users_of(folder: Path, program: str) -> None:
    """End the processes of `program` that were given paths below `folder`, and all they started."""
    while found := [pid for pid in _pids() if _uses(pid, folder, program)]:
        _kill([*found, *_descendants(set(found))])


def alive(name: str) -> bool:
    recorded = _recorded(name)
    return recorded is not None and _start_time(recorded[0]) == recorded[1]


def log_path(name: str) -> Path:
    return layout.state_dir("logs") / f"{name}.log"


def log_tail(name: str, lines: int = 15) -> str:
    path = log_path(name)
    text = path.read_text(errors="replace") if path.exists() else ""
    shown = "\n".join(f"  {line}" for line in text.splitlines()[-lines:])
    return f"Last lines of {path}:\n{shown or '  (empty)'}"


def _spawn(name: str, argv: Sequence[str | Path], env: Mapping[str, str]) -> None:
    pid_file = _pid_file(name)
    pid_file.unlink(missing_ok=True)
    command = ["/bin/sh", "-c", _RECORD_AND_BECOME, pid_file, *argv]
    with log_path(name).open("wb") as log:
        child = subprocess.Popen(
            [str(part) for part in command],
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )
    while _recorded(name) is None and child.poll() is None:
        time.sleep(0.01)
    child.returncode = 0  # a daemon: nobody waits for it, and Python must not warn about that


def _pid_file(name: str) -> Path:
    return layout.state_dir("pids") / name


def _recorded(name: str) -> tuple[int, str] | None:
    """Pid and start time; None also when the record is of an earlier boot or half written."""
    try:
        boot, _, stat = _pid_file(name).read_text().partition(" ")
    except FileNotFoundError:
        return None
    if boot != _BOOT_ID.read_text().strip() or not stat.endswith("\n"):
        return None
    return int(stat.split(" ", 1)[0]), _field(stat, 22)


def _start_time(pid: int) -> str | None:
    """In clock ticks after boot; None when no such process runs (a zombie does not)."""
    line = _stat(pid)
    return None if line is None or _field(line, 3) == "Z" else _field(line, 22)


def _stat(pid: int) -> str | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _field(stat_line: str, number: int) -> str:
    """Field `number` of proc(5)'s stat, counted from 1; the name in field 2 may hold anything."""
    return stat_line.rpartition(")")[2].split()[number - 3]


def _wait_gone(pid: int, started: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while _start_time(pid) == started and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def _kill_session(session: int) -> None:
    while members := [pid for pid in _pids() if _session_of(pid) == session]:
        _kill(members)


def _kill(pids: list[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    time.sleep(_POLL_S)


def _uses(pid: int, folder: Path, program: str) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return False
    paths = [Path(word) for word in words[1:] if word.startswith("/")]
    return Path(words[0]).name.startswith(program) and any(p.is_relative_to(folder) for p in paths)


def _descendants(pids: set[int]) -> set[int]:
    stats = {pid: _stat(pid) for pid in _pids()}
    children = {pid for pid, line in stats.items() if line and int(_field(line, 4)) in pids}
    return children | _descendants(children) if children else set()


def _session_of(pid: int) -> int | None:
    line = _stat(pid)
    return None if line is None or _field(line, 3) == "Z" else int(_field(line, 6))


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
