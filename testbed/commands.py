"""Runs a command to its end; a failure shows the command and the last lines it wrote."""

import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

from testbed.part import TestbedError


def run(
    *argv: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str = "",
    inherited: tuple[int, ...] = (),
) -> str:
    """Standard output. Raises TestbedError when the command is missing or fails.

    `env` is added to this process's environment; the child gets the descriptors in `inherited`.
    """
    command = [str(part) for part in argv]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            pass_fds=inherited,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError as error:
        raise TestbedError(f"{command[0]} is not installed (needed for the testbed).") from error
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
