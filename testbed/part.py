"""What every part of the local cloud can do; `testbed/parts.py` lists them with their order."""

from typing import Protocol


class TestbedError(Exception):
    """Something the person at the keyboard must know; its text is shown without a traceback."""

    __test__ = False  # the name starts like a test class: pytest must not collect it


class Part(Protocol):
    name: str

    def prepare(self) -> None:
        """Install and build what is missing. Idempotent; a half-finished attempt does no harm."""

    def start(self) -> None:
        """Start unless running; returns once the part really answers."""

    def stop(self) -> None:
        """Leave no process, mount, interface, namespace or container of its own."""

    def running(self) -> bool: ...

    def env(self) -> dict[str, str]:
        """Variables for `scripts/testbed env`; known without the part running."""
        ...
