"""`scripts/testbed up | down | status | env`: the local cloud's front door."""

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from testbed import layout, machine
from testbed.part import TestbedError
from testbed.parts import EVERY, USUAL, Entry, chosen
from testbed.progress import Progress
from testbed.up import BringUp


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/testbed", description=__doc__)
    parser.add_argument("command", choices=_COMMANDS)
    parser.add_argument("--only", metavar="NAME,…", default="", help="these and what they need")
    parser.add_argument(
        "--with", dest="added", metavar="NAME,…", default="", help="the usual ones and these"
    )
    arguments = parser.parse_args(argv)
    usual = USUAL if arguments.command in ("up", "status") else EVERY
    names = (*(_names(arguments.only) or usual), *_names(arguments.added))
    try:
        return _COMMANDS[arguments.command](chosen(names))
    except TestbedError as error:
        sys.stderr.write(f"testbed: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("testbed: interrupted; `up` goes on from here, `down` clears up\n")
        return 130


def _names(given: str) -> tuple[str, ...]:
    return tuple(name for name in given.split(",") if name)


def up(entries: tuple[Entry, ...]) -> int:
    machine.check()
    progress = Progress()
    with _alone(progress), progress.heartbeat():
        faults = BringUp(entries, progress).run()
    return _verdict(progress, faults, "ready")


def down(entries: tuple[Entry, ...]) -> int:
    """Each part as far as possible, the last started first; what failed is told at the end."""
    progress = Progress()
    faults: dict[str, str] = {}
    with _alone(progress), progress.heartbeat():
        for entry in reversed(entries):
            try:
                with progress.phase(entry.name, "stop"):
                    entry.make().stop()
            except TestbedError as error:
                faults[entry.name] = str(error)
    return _verdict(progress, faults, "down")


def status(entries: tuple[Entry, ...]) -> int:
    """Exit status 1 unless all of them run."""
    running = {entry.name: entry.make().running() for entry in entries}
    for name, answers in running.items():
        sys.stdout.write(f"{name:12} {'up' if answers else 'down'}\n")
    return 0 if all(running.values()) else 1


def env(entries: tuple[Entry, ...]) -> int:
    """The variables of the parts that run."""
    machine.check()
    variables: dict[str, str] = {}
    for part in [entry.make() for entry in entries]:
        if part.running():
            variables.update(part.env())
    if not variables:
        raise TestbedError("nothing is up; run `scripts/testbed up` first.")
    for name, value in variables.items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
    return 0


def _alone(progress: Progress) -> AbstractContextManager[int]:
    """One `up` or `down` at a time."""
    return layout.locked("testbed", lambda: progress.line("waiting for another up or down"))


def _verdict(progress: Progress, faults: dict[str, str], good: str) -> int:
    for name, fault in faults.items():
        progress.line(f"{name}: {fault}")
    progress.line(f"failed: {', '.join(faults)}" if faults else good)
    return 1 if faults else 0


_COMMANDS: dict[str, Callable[[tuple[Entry, ...]], int]] = {
    "up": up,
    "down": down,
    "status": status,
    "env": env,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
