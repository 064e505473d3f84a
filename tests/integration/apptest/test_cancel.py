"""Cancelled at any moment: exit within five seconds, and nothing of the run is left."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

SOON_S = 5.0
SLEEPER = "import time\n\ndef test_sleep():\n    print('asleep')\n    time.sleep(60)\n"


@pytest.fixture
def drive(ferry, tmp_path) -> Callable[..., subprocess.Popen[str]]:
    def start(**told: object) -> subprocess.Popen[str]:
        file = tmp_path / "drive.json"
        file.write_text(
            json.dumps(
                {
                    "image": ferry.image.engine_id,
                    "workspace": str(ferry.workspace),
                    "temp": str(ferry.temp),
                    "run_label": ferry.run_label,
                }
                | told
            )
        )
        return subprocess.Popen(
            [sys.executable, Path(__file__).with_name("drive.py"), file],
            stdout=subprocess.PIPE,
            text=True,
        )

    return start


def cancelled(child: subprocess.Popen[str], number: signal.Signals) -> str:
    """What it said at its end, which must come soon."""
    sent = time.monotonic()
    child.send_signal(number)
    rest, _ = child.communicate(timeout=30)
    assert time.monotonic() - sent < SOON_S
    print(rest)
    return json.loads(rest.splitlines()[-1])["end"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("told", "moment"),
    [
        ({"unit_tests": "echo at '''w'''ork; sleep 60"}, "at work"),
        ({"mode": "deaf", "start_timeout_s": 60}, "the app runs in"),
        ({"integration_tests": "echo at '''w'''ork; sleep 60"}, "at work"),
        ({"integration_tests": "tests"}, "collected 1 item"),
    ],
)
def test_at_a_moment(drive, ferry, told, moment, number):
    ferry.write("tests/test_sleep.py", SLEEPER)
    with drive(**told) as child:
        assert any(moment in line for line in child.stdout)
        assert cancelled(child, number) == f"Cancelled: cancelled by {number.name}"
    assert ferry.left() == []


@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 1.2, 1.6])
def test_at_any_time_after_the_start(drive, ferry, after_s):
    """Between the request that makes something and its answer is the moment to get wrong."""
    with drive(unit_tests="echo tested", integration_tests="true") as child:
        assert child.stdout.readline()  # its first word: the handlers are in place
        time.sleep(after_s)
        assert cancelled(child, signal.SIGINT).startswith(("Cancelled", "passed"))
    assert ferry.left() == []
