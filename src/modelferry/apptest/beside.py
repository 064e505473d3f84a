"""A Bench in a container of Modelferry's own image beside the app: neither the engine's socket nor
anything of our environment is in it, only a copy of the workspace."""

from __future__ import annotations

import logging
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING

from modelferry.apptest.containers import (
    asking_docker,
    killed_after,
    logged,
    read_file,
)
from modelferry.apptest.integration import Ground
from modelferry.apptest.network import RunNetwork
from modelferry.apptest.workspace import tar_stream, workspace_files
from modelferry.process import Completed

if TYPE_CHECKING:
    from docker import APIClient
    from docker.models.containers import Container

log = logging.getLogger("modelferry.test")

SCRATCH = PurePosixPath("/modelferry")
CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT")
_WAITS = "import signal; signal.pause()"


@dataclass(frozen=True, slots=True, kw_only=True)
class BesideBench:
    ground: Ground
    container: Container
    api: APIClient

    def run(self, argv: tuple[str, ...], env: Mapping[str, str], timeout_s: float) -> Completed:
        log.info("+ %s", shlex.join(argv))
        with (
            asking_docker("run the tests in their container"),
            killed_after(self.container, timeout_s) as expired,
        ):
            made = self.api.exec_create(
                self.container.id, argv, environment=dict(env), workdir=str(self.ground.workspace)
            )
            output = self.api.exec_start(made["Id"], stream=True)
            # The SDK leaves closing it to us, and gives no other way to do it.
            with closing(output._response):  # noqa: SLF001  # pyright: ignore[reportAttributeAccessIssue]
                lines = logged(output)
            status = _exec_status(self.api, made["Id"])
        return Completed(status=status, last_lines=lines, timed_out=expired.is_set())

    def read(self, path: PurePath) -> bytes | None:
        return read_file(self.container, path)


def _exec_status(api: APIClient, exec_id: str) -> int:
    """The stream's end and the process's are two events: the status may take a moment."""
    for _ in range(50):
        status = api.exec_inspect(exec_id)["ExitCode"]
        if status is not None:
            return status
        time.sleep(0.1)
    return -1


@contextmanager
def beside_bench(
    network: RunNetwork,
    own_image: str,
    model_api_url: str,
    workspace: Path,
    environ: Mapping[str, str],
) -> Iterator[BesideBench]:
    """The container goes with the run's network."""
    with asking_docker("start a container for the integration tests"):
        container = network.create(
            own_image,
            entrypoint=[sys.executable, "-c", _WAITS],
            command=[],
            security_opt=["no-new-privileges"],
        )
        container.put_archive("/", tar_stream(_contents(workspace, environ)))
        network.start(container)
    yield BesideBench(
        ground=Ground(
            workspace=PurePosixPath(workspace.absolute()),
            scratch=SCRATCH,
            python=sys.executable,  # the same image
            model_api_url=model_api_url,
        ),
        container=container,
        api=network.client.api,
    )


def _contents(workspace: Path, environ: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    yield from workspace_files(workspace)
    yield workspace, str(SCRATCH).lstrip("/")  # a folder; only its mode is taken over
    for name in CERTIFICATES:
        file = Path(environ.get(name) or "/nowhere")
        if file.is_file():
            yield file.resolve(), str(file).lstrip("/")
