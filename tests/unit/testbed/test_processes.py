import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from testbed import processes
from testbed.part import TestbedError

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELFERRY_CACHE", str(tmp_path))


@pytest.fixture
def daemon(tmp_path: Path) -> str:
    """A daemon with a child that ignores SIGTERM, as a container runtime's children may."""
    script = "(trap '' TERM; echo $BASHPID > child; sleep 300) & echo ready > ready; wait"
    processes.start(
        "probe",
        ["bash", "-c", f"cd {tmp_path}; {script}"],
        ready=lambda: (tmp_path / "ready").exists() and (tmp_path / "child").exists(),
        timeout_s=10,
    )
    return "probe"


def _runs(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def _pid(tmp_path: Path) -> int:
    return int((tmp_path / "state" / "pids" / "probe").read_text().split()[1])


def test_a_daemon_has_a_session_of_its_own(daemon: str, tmp_path: Path) -> None:
    assert processes.alive(daemon)
    assert os.getsid(_pid(tmp_path)) == _pid(tmp_path) != os.getsid(0)
    processes.stop(daemon)


def test_starting_twice_starts_one(daemon: str, tmp_path: Path) -> None:
    before = _pid(tmp_path)
    processes.start(daemon, ["false"], ready=lambda: True, timeout_s=1)
    assert _pid(tmp_path) == before
    processes.stop(daemon)


def test_stop_ends_children_that_ignore_being_asked(daemon: str, tmp_path: Path) -> None:
    child = int((tmp_path / "child").read_text())
    assert _runs(child)
    processes.stop(daemon)
    assert not processes.alive(daemon)
    assert not _runs(child)


def test_stop_finds_the_children_of_a_killed_daemon(daemon: str, tmp_path: Path) -> None:
    child = int((tmp_path / "child").read_text())
    os.kill(_pid(tmp_path), signal.SIGKILL)
    processes.stop(daemon)
    assert not _runs(child)


def test_a_recycled_pid_is_nobody_of_ours(tmp_path: Path) -> None:
    stranger = subprocess.Popen(["sleep", "300"], start_new_session=True)
    try:
        fields = Path(f"/proc/{stranger.pid}/stat").read_text().split()
        fields[21] = str(int(fields[21]) - 1)  # recorded: the same pid, started earlier
        record = tmp_path / "state" / "pids" / "probe"
        record.parent.mkdir(parents=True)
        record.write_text(f"{_BOOT_ID.read_text().strip()} {' '.join(fields)}\n")
        assert not processes.alive("probe")
        processes.stop("probe")
        time.sleep(0.2)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("record", ["", "{boot}", "{boot} 1", "{boot} 1 (init) S 0 1", "-"])
def test_a_half_written_record_is_no_daemon(tmp_path: Path, record: str) -> None:
    path = tmp_path / "state" / "pids" / "probe"
    path.parent.mkdir(parents=True)
    path.write_text(record.format(boot=_BOOT_ID.read_text().strip()))
    assert not processes.alive("probe")
    processes.stop("probe")


def test_a_record_of_an_earlier_boot_is_no_daemon(daemon: str, tmp_path: Path) -> None:
    record = tmp_path / "state" / "pids" / "probe"
    text = record.read_text()
    record.write_text(f"{'0' * 8}{text[8:]}")
    assert not processes.alive(daemon)
    record.write_text(text)
    processes.stop(daemon)


def test_a_failed_start_shows_the_last_words() -> None:
    with pytest.raises(TestbedError, match=r"ended while starting(.|\n)*no such mirror"):
        processes.start(
            "probe", ["sh", "-c", "echo no such mirror; exit 3"], ready=lambda: False, timeout_s=10
        )


def test_a_daemon_that_never_answers_is_told_apart() -> None:
    with pytest.raises(TestbedError, match=r"did not answer in 0\.3 s"):
        processes.start("probe", ["sleep", "300"], ready=lambda: False, timeout_s=0.3)
    processes.stop("probe")
