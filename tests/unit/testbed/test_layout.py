import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from testbed import layout


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELFERRY_CACHE", str(tmp_path))


def test_ports_and_secrets_are_kept() -> None:
    assert layout.port("a") == layout.port("a") != layout.port("b")
    assert layout.secret("a") == layout.secret("a") != layout.secret("b")


def test_a_port_taken_meanwhile_is_chosen_anew() -> None:
    kept = layout.port("a")
    with socket.socket() as taker:
        taker.bind(("127.0.0.1", kept))
        taker.listen()
        claimed = layout.claim_port("a")
        assert claimed != kept
    assert layout.port("a") == layout.claim_port("a") == claimed


def test_secrets_are_the_owners_alone(tmp_path: Path) -> None:
    layout.secret("a")
    mode = (tmp_path / "state" / "kept" / "secrets.json").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_a_draft_becomes_whole_or_nothing(tmp_path: Path) -> None:
    target = tmp_path / "tools" / "x"
    with pytest.raises(FileNotFoundError), layout.drafted(target) as draft:
        (draft.parent / "input").read_text()
    assert list(target.parent.iterdir()) == []
    with layout.drafted(target) as draft:
        draft.write_text("whole")
    assert [path.name for path in target.parent.iterdir()] == ["x"]


def test_what_a_killed_attempt_left_goes(tmp_path: Path) -> None:
    left = tmp_path / ".x.1.2"
    left.mkdir()
    (left / "half").touch()
    with layout.drafted(tmp_path / "x") as draft:
        draft.mkdir()
    assert not left.exists()


def test_a_child_that_inherits_the_lock_keeps_it() -> None:
    with layout.locked("apt") as lock:
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=(lock,))
    waited: list[int] = []
    with layout.locked("apt", lambda: waited.append(child.communicate()[0] or 0)):
        assert waited
    assert child.returncode == 0


def test_a_dead_process_holds_no_lock() -> None:
    code = "import os\nfrom testbed import layout\nwith layout.locked('a'): os._exit(9)"
    root = Path(layout.__file__).parent.parent
    dead = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(root)}, check=False
    )
    assert dead.returncode == 9
    with layout.locked("a", lambda: pytest.fail("had to wait")):
        pass
