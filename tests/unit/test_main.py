"""A whole run on one storage that needs no network, and what stays of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from modelferry.plan import REPORT

ROOT = Path(__file__).parents[2]
NOT_UTF8 = os.fsdecode(b"\xff-bad")


def run(workspace: Path, model: str) -> tuple[int, dict[str, Any]]:
    summary = workspace / "summary.md"
    environ = {
        "PYTHONIOENCODING": "utf-8:strict",  # as a runner's
        "GITHUB_WORKSPACE": str(workspace),
        "GITHUB_OUTPUT": str(workspace / "output"),
        "GITHUB_STEP_SUMMARY": str(summary),
        "INPUT_STAGES": "fetch",
        "INPUT_MODEL": model,
    }
    done = subprocess.run([sys.executable, "entrypoint.py"], cwd=ROOT, env=environ, check=False)
    assert summary.read_text(encoding="utf-8")
    return done.returncode, json.loads((workspace / REPORT).read_text(encoding="utf-8"))


def test_a_name_that_is_not_utf8_is_refused_and_shown(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / NOT_UTF8).write_text("x")
    status, report = run(tmp_path, "file:m/")
    assert status == report["exit-status"] == 4
    assert "udcff-bad" in str(report["error"])


def test_such_a_name_that_is_passed_over_can_be_written_down(tmp_path: Path) -> None:
    for version in ("v1", NOT_UTF8):
        (tmp_path / "m" / version).mkdir(parents=True)
        (tmp_path / "m" / version / "a").write_text("x")
    status, report = run(tmp_path, "file:m/{latest}/")
    assert status == 0
    assert NOT_UTF8 in report["model"]["chosen"][0]
