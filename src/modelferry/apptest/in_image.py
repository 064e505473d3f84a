"""Tests that run as the main process of a container: of the image itself (`unit-tests`), or of a
Dockerfile stage that holds them (`test-target`). The image's working directory and environment
stay as they are."""

from __future__ import annotations

import logging
import shlex
from pathlib import Path, PurePosixPath
from typing import Any

from modelferry.apptest.app import RunningApp
from modelferry.apptest.containers import asking_docker, follow, read_file
from modelferry.apptest.integration import (
    LONGEST_TESTS_S,
    judge,
    junit_in,
    pytest_options,
    pytest_path,
    shell,
)
from modelferry.apptest.junit import Suite
from modelferry.apptest.network import RunNetwork
from modelferry.process import Completed

log = logging.getLogger("modelferry.test")

SCRATCH = PurePosixPath("/tmp/modelferry")  # noqa: S108 - in a container of its own


def run_unit_tests(
    network: RunNetwork, image_id: str, command: str, *, env: tuple[tuple[str, str], ...]
) -> Suite | None:
    done, junit = _run(network, image_id, shell(command), dict(env))
    return judge("unit", command, done, junit, by_pytest=False)


def run_test_target(
    network: RunNetwork, image_id: str, command: str | None, *, app: RunningApp, workspace: Path
) -> Suite | None:
    """Without a command what the stage's own ENTRYPOINT and CMD say is run."""
    by_pytest = command is not None and pytest_path(command, workspace)
    argv = None
    if command is not None:
        argv = shell(_pytest(command) if by_pytest else command)
    done, junit = _run(network, image_id, argv, {"MODEL_API_URL": app.url_on_network})
    told = command or "the test target's own command"
    return judge("integration", told, done, junit, by_pytest=by_pytest)


def _pytest(path: str) -> str:
    """Distributions name the interpreter differently."""
    return f'"$(command -v python || command -v python3)" -m pytest {shlex.quote(path)}'


def _run(
    network: RunNetwork, image_id: str, argv: tuple[str, ...] | None, env: dict[str, str]
) -> tuple[Completed, bytes | None]:
    override: dict[str, Any] = (
        {} if argv is None else {"entrypoint": [argv[0]], "command": list(argv[1:])}
    )
    with asking_docker(f"run {image_id[:19]}"):
        config = network.client.images.get(image_id).attrs["Config"]
        workdir = PurePosixPath(config.get("WorkingDir") or "/")
        has = dict(item.partition("=")[::2] for item in config.get("Env") or ()) | env
        options = f"{has.get('PYTEST_ADDOPTS', '')} {pytest_options(workdir, SCRATCH)}".strip()
        log.info("+ %s", "(the image's own command)" if argv is None else shlex.join(argv))
        container = network.create(
            image_id, environment=env | {"PYTEST_ADDOPTS": options}, **override
        )
        network.start(container)
        done = follow(container, timeout_s=LONGEST_TESTS_S)
    return done, read_file(container, junit_in(SCRATCH))
