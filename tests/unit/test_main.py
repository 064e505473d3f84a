"""A whole run on one storage that needs no network, and what stays of it."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import modelferry.__main__ as entry
from modelferry.plan import REPORT
from modelferry.recorder import Recorder

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


def test_a_bug_in_mid_deploy_is_no_rollout_that_was_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(_: str, __: object, recorder: Recorder, ___: object) -> None:
        with recorder.stage("deploy"):
            raise KeyError("spec")

    monkeypatch.setattr(entry, "_act", act)
    (tmp_path / "m").write_text("x")
    output = tmp_path / "output"
    output.touch()
    monkeypatch.setenv("GITHUB_OUTPUT", str(output))
    environ = {
        "GITHUB_OUTPUT": str(output),
        "GITHUB_WORKSPACE": str(tmp_path),
        "INPUT_STAGES": "fetch",
        "INPUT_MODEL": "file:m",
    }
    assert entry.main(environ, io.StringIO()) == 70
    told = output.read_text(encoding="utf-8")
    assert re.search(r"^rollout<<\S+\nfailed$", told, re.MULTILINE)
    assert re.search(r"^failed-stage<<\S+\ndeploy$", told, re.MULTILINE)
