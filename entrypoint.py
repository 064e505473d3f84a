#!/usr/bin/env python3
"""What every way in starts: the container, the composite action, and a person at a checkout."""

import os
import signal
import sys
from pathlib import Path

HOME = Path(__file__).resolve().parent
MINIMUM = (3, 11)
USAGE = 2
CANCELLED = 130


def dependencies_are_here() -> bool:
    from importlib.util import find_spec

    return all(find_spec(name) for name in ("actions_toolkit", "docker", "kubernetes", "obstore"))


def start_again_in_venv() -> None:
    """Returns only when there is no venv to start again in."""
    python = HOME / ".venv" / "bin" / "python"
    if python.exists() and Path(sys.prefix) != python.parent.parent:
        os.execv(python, [str(python), *sys.argv])  # noqa: S606 - our own interpreter


def end_when_cancelled() -> None:
    """Until the run has an answer of its own to a cancel; there is nothing to undo yet."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: os._exit(CANCELLED))


if __name__ == "__main__":
    end_when_cancelled()
    sys.path.insert(0, str(HOME / "src"))
    if sys.version_info < MINIMUM or not dependencies_are_here():
        start_again_in_venv()
        sys.exit(
            f"Modelferry's dependencies are not installed for {sys.executable}"
            f" (Python {sys.version_info.major}.{sys.version_info.minor}):"
            f" run {HOME / 'scripts' / 'setup'} once, which needs Python 3.11 or newer."
        )
    if sys.argv[1:]:
        sys.stderr.write(
            f"{Path(__file__).name} reads its inputs from INPUT_* variables, and takes no flags"
            f" ({sys.argv[1]}): for these there is the command `modelferry`.\n"
        )
        sys.exit(USAGE)
    from modelferry.__main__ import leave, main

    leave(main(os.environ, sys.stdout))
