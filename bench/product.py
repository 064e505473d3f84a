"""Modelferry as a user runs it: `python entrypoint.py` with INPUT_*, in a workspace of his own."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bench.cloud import Cloud
from bench.meters import PeakPss
from bench.storage import Place
from testbed.registry import access

log = logging.getLogger("bench")

# `--product` measures another checkout of it.
ROOT = Path(os.environ.get("MODELFERRY_BENCH_PRODUCT") or Path(__file__).parent.parent)
# Without PYTHONDONTWRITEBYTECODE: an installed package is compiled, as in the action's image.
_NOT_PASSED_ON = ("GITHUB_", "INPUT_", "PYTHONDONTWRITEBYTECODE")
_NONE: Mapping[str, str] = MappingProxyType({})
APP = Path(__file__).parent / "app"


class DeliveryFailed(Exception):
    """Its text is the end of the product's own log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    seconds: float
    first_line_s: float
    written_bytes: int  # by the process and the clients it waited for
    pss_bytes: int  # 0 unless it was watched
    report: dict[str, Any]
    log: str


class Workspace:
    """A checkout of the app. `deliver` is one run of the step in it."""

    def __init__(self, cloud: Cloud, name: str, place: Place | None, *, base: str = "") -> None:
        self._cloud, self.repository = cloud, f"bench/{name}"
        self.folder = cloud.folder / "work" / name
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(APP, self.folder)
        self._inputs = {
            "registry": cloud.registry,
            "repository": self.repository,
            "username": access().username,
            "password": access().password,
            "insecure-registry": "true",
            "build-args": f"BASE={base or cloud.base}",
            **(place.inputs() if place else {}),
        }
        self._runs = 0

    def commit(self) -> None:
        """One line of code changes."""
        self._runs += 1
        code = self.folder / "app.py"
        code.write_text(f"# commit {self._runs} of {time.time_ns()}\n{code.read_text()}")

    def deliver(
        self,
        stages: str,
        inputs: Mapping[str, str] = _NONE,
        *,
        watch_memory: bool = False,
        python: tuple[str, ...] = (),
    ) -> Delivery:
        """`inputs`: those that differ from the usual ones. Raises DeliveryFailed unless green."""
        given = self._inputs | {"stages": stages, **inputs}
        if "test" in stages.split():
            given.setdefault("checks", "GET / contains version")
        return _run(self.folder, given, watch_memory=watch_memory, python=python)


def _run(
    workspace: Path, inputs: Mapping[str, str], *, watch_memory: bool, python: tuple[str, ...]
) -> Delivery:
    temp = workspace.parent / f"{workspace.name}-temp"
    shutil.rmtree(temp, ignore_errors=True)
    temp.mkdir()
    command = [sys.executable, *python, str(ROOT / "entrypoint.py")]
    began = time.monotonic()
    child = subprocess.Popen(
        command,
        cwd=workspace,
        env=_environment(workspace, temp, inputs),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    peak = PeakPss(child.pid)
    with peak.watching() if watch_memory else nullcontext():
        lines = list(_timed(child, began))
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - began
    text = "".join(line for _, line in lines)
    if child.returncode:
        raise DeliveryFailed(f"exit status {child.returncode}:\n{text[-4000:]}")
    report = json.loads((workspace / "modelferry-report.json").read_text())
    spent = ", ".join(f"{stage['name']} {stage['seconds']:.1f}" for stage in report["stages"])
    log.info("    our stages in %.1f s: %s", seconds, spent)
    return Delivery(
        seconds=seconds,
        first_line_s=next(at for at, line in lines if not line.startswith("::add-mask::")),
        written_bytes=usage.ru_oublock * 512,
        pss_bytes=peak.bytes,
        report=report,
        log=text,
    )


def _timed(child: subprocess.Popen[str], began: float) -> Iterator[tuple[float, str]]:
    for line in child.stdout or ():
        yield time.monotonic() - began, line


def _environment(workspace: Path, temp: Path, inputs: Mapping[str, str]) -> dict[str, str]:
    (temp / "output").touch()
    (temp / "summary").touch()
    run_id, code = str(time.time_ns()), (workspace / "app.py").read_bytes()
    return {
        **{n: v for n, v in os.environ.items() if not n.startswith(_NOT_PASSED_ON)},
        **{f"INPUT_{name.upper()}": value for name, value in inputs.items()},
        "GITHUB_ACTIONS": "true",
        "GITHUB_WORKSPACE": str(workspace),
        "GITHUB_REPOSITORY": "example/app",
        "GITHUB_SHA": hashlib.sha1(code, usedforsecurity=False).hexdigest(),
        "GITHUB_REF_NAME": "main",
        "GITHUB_RUN_ID": run_id,
        "GITHUB_RUN_ATTEMPT": "1",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_OUTPUT": str(temp / "output"),
        "GITHUB_STEP_SUMMARY": str(temp / "summary"),
        "RUNNER_TEMP": str(temp),
    }
