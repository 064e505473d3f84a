"""The action as a process, as a runner starts it."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_ENTRYPOINT = Path(__file__).parent.parent / "entrypoint.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    status: int
    log: str

    @property
    def error(self) -> str:
        """The run's one ::error, as it stands in the log."""
        found = [line for line in self.log.splitlines() if line.startswith("::error")]
        return found[0] if found else ""


def run_action(
    folder: Path, workspace: Path, inputs: Mapping[str, str], environment: Mapping[str, str]
) -> Run:
    """`folder`: for what the runner keeps; `environment` is added to this process's own."""
    run_id = str(time.time_ns())
    for name in ("output", "summary"):
        (folder / name).touch()
    env = {
        **{n: v for n, v in os.environ.items() if not n.startswith(("GITHUB_", "INPUT_"))},
        **{f"INPUT_{name.upper()}": value for name, value in inputs.items()},
        "GITHUB_ACTIONS": "true",
        "GITHUB_WORKSPACE": str(workspace),
        "GITHUB_REPOSITORY": "example/app",
        "GITHUB_SHA": f"{int(run_id):040x}",
        "GITHUB_REF_NAME": "main",
        "GITHUB_RUN_ID": run_id,
        "GITHUB_RUN_ATTEMPT": "1",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_OUTPUT": str(folder / "output"),
        "GITHUB_STEP_SUMMARY": str(folder / "summary"),
        "RUNNER_TEMP": str(folder),
        **environment,
    }
    done = subprocess.run(
        [sys.executable, _ENTRYPOINT],
        cwd=workspace,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    return Run(status=done.returncode, log=done.stdout)
