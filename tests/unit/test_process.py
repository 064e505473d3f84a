from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from modelferry.process import ProgramMissingError, run


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_output_comes_line_by_line_from_both_streams() -> None:
    lines: list[str] = []
    done = run(
        python("import sys; print('a', flush=True); print('b', file=sys.stderr)"),
        on_line=lines.append,
    )
    assert (done.status, lines, done.last_lines) == (0, ["a", "b"], ("a", "b"))


def test_a_status_is_returned_not_raised() -> None:
    assert run(python("raise SystemExit(7)")).status == 7


def test_bytes_that_are_no_text_do_no_harm() -> None:
    assert run(python(r"import os; os.write(1, b'\xff\n')")).last_lines == (
        "\N{REPLACEMENT CHARACTER}",
    )


def test_only_the_last_lines_are_kept() -> None:
    done = run(python("[print(n) for n in range(1000)]"), on_line=lambda _: None)
    assert len(done.last_lines) == 200
    assert done.last_lines[-1] == "999"


def test_stdin_and_environment_carry_what_argv_must_not() -> None:
    done = run(
        python("import os, sys; print(sys.stdin.read() + os.environ['WORD'])"),
        stdin=b"from stdin, ",
        env={**os.environ, "WORD": "from env"},
    )
    assert done.last_lines == ("from stdin, from env",)


def test_a_child_that_does_not_read_its_input_is_no_error() -> None:
    assert run(python("pass"), stdin=b"x" * 1_000_000).status == 0


def test_a_missing_program_is_named() -> None:
    with pytest.raises(ProgramMissingError, match="no-such-program"):
        run(["no-such-program"])


def test_time_ends_the_child_and_its_children() -> None:
    started = time.monotonic()
    done = run(["bash", "-c", "sleep 60 & echo $!; wait"], timeout_s=0.5)
    assert done.timed_out
    assert time.monotonic() - started < 30
    with pytest.raises(ProcessLookupError):
        _gone(int(done.last_lines[0]))


def test_an_exception_in_the_main_thread_ends_the_child(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"

    class Stop(Exception):
        pass

    def stop(*_: object) -> None:
        raise Stop

    before = signal.signal(signal.SIGUSR1, stop)
    try:
        timer = threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        with pytest.raises(Stop):
            run(["bash", "-c", f"echo $$ > {pid_file}; sleep 60"])
    finally:
        signal.signal(signal.SIGUSR1, before)
    with pytest.raises(ProcessLookupError):
        _gone(int(pid_file.read_text()))


def _gone(pid: int) -> None:
    for _ in range(50):
        os.kill(pid, 0)
        time.sleep(0.05)
