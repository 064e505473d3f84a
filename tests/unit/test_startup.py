"""Starting is cheap: no SDK is imported before a stage needs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ENTRYPOINT = Path(__file__).parents[2] / "entrypoint.py"

SLOW = (
    "docker",
    "kubernetes",
    "azure",
    "boto3",
    "botocore",
    "obstore",
    "actions_toolkit",
    "rich",
    "requests",
    "urllib3",
    "yaml",
    "subprocess",
)
# of ours, what a run may do without
LATE = (
    "modelferry.last_release",
    "modelferry.image.released",
    "modelferry.registry.client",
    "modelferry.rollout.manifests",
    "modelferry.stages.build",
    "modelferry.stages.deploy",
)


def loaded_by(module: str) -> set[str]:
    code = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_starting_imports_no_sdk_and_no_stage() -> None:
    loaded = loaded_by("modelferry.__main__")
    names = {name.partition(".")[0] for name in loaded}
    assert names.isdisjoint(SLOW), sorted(names.intersection(SLOW))
    assert loaded.isdisjoint(LATE), sorted(loaded.intersection(LATE))


def test_a_comparison_with_the_last_release_imports_no_builder() -> None:
    loaded = loaded_by("modelferry.last_release.compare, modelferry.last_release.take")
    assert {"modelferry.stages.build", "modelferry.process", "tarfile"}.isdisjoint(loaded)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_cancel_while_modules_are_imported(number: signal.Signals, tmp_path: Path) -> None:
    reached = tmp_path / "reached"
    slow = f"import pathlib, time; pathlib.Path({str(reached)!r}).touch(); time.sleep(60)"
    (tmp_path / "traceback.py").write_text(slow)  # in the place of what __main__ imports
    process = subprocess.Popen(
        [sys.executable, ENTRYPOINT],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    while not reached.exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(number)
    said, _ = process.communicate(timeout=20)
    assert (process.returncode, said) == (130, b"")


def test_flags_are_no_way_to_give_inputs_to_the_action() -> None:
    done = subprocess.run(
        [sys.executable, ENTRYPOINT, "--push"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "takes no flags (--push): for these there is the command `modelferry`" in done.stderr


@pytest.mark.parametrize("status", [0, 8])
def test_a_run_that_has_said_all_is_gone_at_once(status: int, tmp_path: Path) -> None:
    """Not after what Python does at its end: wait for threads, take every module apart."""
    gone = tmp_path / "gone"
    code = (
        "import atexit, pathlib, threading, time; from modelferry.__main__ import leave;"
        f" atexit.register(pathlib.Path({str(gone)!r}).touch);"
        " threading.Thread(target=time.sleep, args=(60,)).start();"
        f" print('said'); leave({status})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (status, "said\n", "")
    assert gone.exists()
