"""The run's own network: its containers are made on it with the run's label, we are on it too, and
at the end all that carries the label is gone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelferry.apptest.containers import asking_docker
from modelferry.apptest.where import Place

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container
    from docker.models.networks import Network

log = logging.getLogger("modelferry.test")

RUN_LABEL = "modelferry.run"
LOG_FILES = {"max-size": "32m", "max-file": "2"}  # an app that floods its log fills no disk


@dataclass(frozen=True, slots=True, kw_only=True)
class RunNetwork:
    client: DockerClient
    name: str
    place: Place
    run_label: str
    making: ThreadPoolExecutor

    def create(self, image_id: str, *, alias: str | None = None, **options: Any) -> Container:
        """A container with Docker's own default privileges and nothing of our environment."""
        from docker.types import EndpointConfig, LogConfig

        endpoint = EndpointConfig(self.client.api.api_version, aliases=[alias] if alias else None)
        return self.making.submit(
            self.client.containers.create,
            image_id,
            labels={RUN_LABEL: self.run_label},
            network=self.name,
            networking_config={self.name: endpoint},
            use_config_proxy=False,
            log_config=LogConfig(type=LogConfig.types.JSON, config=LOG_FILES),
            **options,
        ).result()

    def start(self, container: Container) -> None:
        self.making.submit(container.start).result()


@contextmanager
def run_network(client: DockerClient, place: Place, run_label: str) -> Iterator[RunNetwork]:
    """What is made is made by one thread, and removed by the same: a cancel interrupts the waiting
    for a container, never its making, and the removal comes after it.

    The name sorts last: of several networks Docker takes the default route from the first by name,
    and our open connections (an upload under way) must keep theirs.
    """
    name = f"zz-modelferry-{run_label}"
    with ThreadPoolExecutor(1, thread_name_prefix="docker") as making:
        making.submit(int).result()  # the thread runs before there is anything to lose
        try:
            with asking_docker(f"make the network {name}"):
                making.submit(_make, client, name, place, run_label).result()
            yield RunNetwork(
                client=client, name=name, place=place, run_label=run_label, making=making
            )
        finally:
            making.submit(remove_run, client, run_label).result()


def _make(client: DockerClient, name: str, place: Place, run_label: str) -> None:
    network = client.networks.create(name, driver="bridge", labels={RUN_LABEL: run_label})
    if place.attach is not None:
        network.connect(place.attach)


def remove_run(client: DockerClient, run_label: str) -> None:
    """Remove what carries this run's label and nothing else; killed, not stopped: a cancelled run
    has five seconds. What resists is named in a warning, so that the first error stays the error.
    """
    chosen: dict[str, Any] = {"label": f"{RUN_LABEL}={run_label}"}

    def remove_all() -> None:
        for container in client.containers.list(all=True, filters=chosen, sparse=True):
            _attempt(f"container {container.id}", lambda c=container: c.remove(force=True, v=True))
        for network in client.networks.list(filters=chosen):
            _attempt(f"network {network.name}", lambda n=network: _remove_network(n))
        for volume in client.volumes.list(filters=chosen):
            _attempt(f"volume {volume.name}", lambda v=volume: v.remove(force=True))

    _attempt(f"what is labelled {chosen['label']}", remove_all)


def _attempt(what: str, remove: Callable[[], object]) -> None:
    import docker.errors
    import requests.exceptions

    try:
        remove()
    except docker.errors.NotFound:
        pass  # gone already
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        log.warning("left behind: %s (%s)", what, error)


def _remove_network(network: Network) -> None:
    """Whoever still hangs on it, we ourselves above all, is taken off first."""
    network.reload()
    for container_id in network.attrs.get("Containers") or ():
        network.disconnect(container_id, force=True)
    network.remove()
