"""What the user said about testing the image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modelferry.checks import Check


@dataclass(frozen=True, slots=True, kw_only=True)
class AppTests:
    unit_tests: str | None  # shell command inside a container of the image
    port: int | None  # None: the first EXPOSEd
    health_path: str
    start_timeout_s: float
    env: tuple[tuple[str, str], ...]
    checks: tuple[Check, ...]
    integration_tests: str | None  # pytest path, or a command
    test_requirements: Path | None
    test_target: str | None  # Dockerfile stage whose container runs the integration tests
