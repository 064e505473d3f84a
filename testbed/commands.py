"""Runs a command to its end; a failure shows the command and the last lines it wrote."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from testbed.part import TestbedError


def run(
    *argv: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str = "",
    outliving: int | None = None,
) -> str:
    """Standard output. Raises TestbedError when the command is missing or fails.

    `env` is added to this process's environment. The command ends when this process is killed; one
    that must not be cut short gets the descriptor of a lock in `outliving`, which it then holds.
    """
    command = [str(part) for part in argv]
    if not shutil.which(command[0]):
        raise TestbedError(f"{command[0]} is not installed (needed for the testbed).")
    tie = [] if outliving else ["setpriv", "--pdeathsig", "TERM", "--"]
    done = subprocess.run(
        [*tie, *command],
        env={**os.environ, **(env or {})},
        cwd=cwd,
        pass_fds=(outliving,) if outliving else (),
        input=stdin,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        words = "\n".join(f"  {line}" for line in (done.stdout + done.stderr).splitlines()[-15:])
        raise TestbedError(f"{shlex.join(command)} failed ({done.returncode}):\n{words}")
    return done.stdout


def succeeds(*argv: str | Path, env: Mapping[str, str] | None = None) -> bool:
    """Whether the command runs and exits 0; for questions like "does it answer?"."""
    try:
        run(*argv, env=env)
    except TestbedError:
        return False
    return True
