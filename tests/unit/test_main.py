"""A whole run on one storage that needs no network, and what stays of it."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from modelferry.__main__ import main
from modelferry.plan import REPORT

NOT_UTF8 = os.fsdecode(b"\xff-bad")


def run(workspace: Path, model: str) -> tuple[int, dict[str, Any]]:
    summary = workspace / "summary.md"
    environ = {
        "GITHUB_WORKSPACE": str(workspace),
        "GITHUB_OUTPUT": str(workspace / "output"),
        "GITHUB_STEP_SUMMARY": str(summary),
        "INPUT_STAGES": "fetch",
        "INPUT_MODEL": model,
    }
    log = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")  # as strict as a runner's
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GITHUB_OUTPUT", environ["GITHUB_OUTPUT"])  # actions-toolkit reads it there
        status = main(environ, log)
    assert summary.read_text(encoding="utf-8")
    return status, json.loads((workspace / REPORT).read_text(encoding="utf-8"))


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
