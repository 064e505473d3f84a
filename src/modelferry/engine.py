"""The Docker engine that images are loaded into and tested on: how to reach it, what it is."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from modelferry.errors import BuildError

if TYPE_CHECKING:
    import docker
    from requests import Response

log = logging.getLogger("modelferry.engine")

Store = Literal["classic", "containerd"]

_ANSWER_S = 60.0
_STEP = 1 << 20
_DEFAULT_ADDRESS = "unix:///var/run/docker.sock"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    version: str
    store: Store  # decides what an image ID is the digest of
    driver: str
    platform: str  # os/arch, as OCI writes it
    data_root: Path


class EngineLostError(BuildError):
    """The engine does not answer, or no longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    address: str
    client: docker.DockerClient
    facts: EngineFacts

    def request(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        data: Any = None,  # bytes, or an iterator of them
        stream: bool = False,
        answer_s: float | None = _ANSWER_S,
    ) -> Response:
        """An API call that the SDK has no method for, or not with streams and our time limit."""
        api = self.client.api
        with self._reached():
            return api.request(
                method,
                f"{api.base_url}/v{api.api_version}{path}",
                params=params,
                data=data,
                headers={"Accept-Encoding": "identity"},  # archives are read as they come
                stream=stream,
                timeout=(_ANSWER_S, answer_s),
            )

    def body(self, response: Response) -> Iterator[bytes]:
        """Of a streamed answer, as it comes."""
        with self._reached():
            yield from response.iter_content(_STEP)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        from requests import RequestException

        try:
            yield
        except RequestException as error:
            raise EngineLostError(
                f"Docker at {self.address} did not answer to the end",
                seen=str(error),
                do="Look at the engine's log: was it restarted? Then run again.",
            ) from error

    def free_bytes(self) -> int | None:
        """Where its images are; None if that is not seen from here: a folder of that name on this
        machine says nothing of an engine elsewhere."""
        here = self.address.startswith("unix://") and self.facts.data_root.is_dir()
        return shutil.disk_usage(self.facts.data_root).free if here else None

    def find_image(self, name: str) -> dict[str, Any] | None:
        """As the engine describes it (Engine API, ImageInspect); None where it has none."""
        response = self.request("GET", f"/images/{name}/json")
        if response.status_code == 404:
            return None
        self.check(response, f"look at image {name}")
        return response.json()

    def check(self, response: Response, doing: str) -> None:
        if response.status_code < 400:
            return
        raise BuildError(
            f"Docker could not {doing}: HTTP {response.status_code}", seen=_message(response)
        )


def connect() -> Engine:
    """DOCKER_HOST, else the Docker client's current context, else the usual socket."""
    import docker
    from docker.errors import DockerException
    from requests import RequestException

    address, tls = _address()
    try:
        client = docker.DockerClient(
            base_url=address, tls=tls, version="auto", timeout=int(_ANSWER_S)
        )
        info = client.info()
    except (DockerException, RequestException) as error:
        raise BuildError(
            f"Docker does not answer at {address}", seen=str(error), do=_advice(error)
        ) from error
    return Engine(address=address, client=client, facts=read_facts(info))


def read_facts(info: dict[str, Any]) -> EngineFacts:
    """From the answer of GET /info."""
    details = {tuple(pair) for pair in info.get("DriverStatus") or ()}
    on_containerd = ("driver-type", "io.containerd.snapshotter.v1") in details
    machine = info["Architecture"]
    return EngineFacts(
        version=info["ServerVersion"],
        store="containerd" if on_containerd else "classic",
        driver=info["Driver"],
        platform=f"{info['OSType']}/{_ARCHITECTURES.get(machine, machine)}",
        data_root=Path(info["DockerRootDir"]),
    )


_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm/v7", "i686": "386"}


def _address() -> tuple[str, Any]:
    from docker.context import ContextAPI
    from docker.utils import kwargs_from_env

    if os.environ.get("DOCKER_HOST"):
        named = kwargs_from_env()
        return named.get("base_url", _DEFAULT_ADDRESS), named.get("tls", False)
    context = ContextAPI.get_current_context()
    if context is None or not context.Host:
        return _DEFAULT_ADDRESS, False
    return context.Host, context.TLSConfig or False


def _advice(error: Exception) -> str:
    if "PermissionError" in str(error) or "Permission denied" in str(error):
        return "Let this user use the socket (group `docker`), or run as root."
    return (
        "Start Docker, or set DOCKER_HOST to where it listens. "
        "In a container, mount the socket: -v /var/run/docker.sock:/var/run/docker.sock."
    )


def _message(response: Response) -> str:
    try:
        return str(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        return response.text[:500]
