"""Where `smoke-tests` run, and where we must listen so that they reach the way to a pod: beside
us in a container where Modelferry's own image is at hand, else in a child process."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modelferry.apptest.beside import beside_bench
from modelferry.apptest.child import child_bench
from modelferry.apptest.containers import asking_docker
from modelferry.apptest.integration import Bench, run_integration_tests
from modelferry.apptest.network import RunNetwork, run_network
from modelferry.apptest.where import find_place, in_a_container
from modelferry.errors import BuildError

if TYPE_CHECKING:
    from modelferry.apptest.where import Place
    from modelferry.engine import Engine

log = logging.getLogger("modelferry.test")


@dataclass(frozen=True, slots=True, kw_only=True)
class SmokeGround:
    network: RunNetwork | None  # None: a child process
    listen_on: str  # our address, as the tests see it
    workspace: Path
    temp: Path
    environ: Mapping[str, str]

    def run(self, command: str, url: str, *, requirements: Path | None) -> None:
        """Raises TestsFailed."""
        with self._bench(url) as bench:
            run_integration_tests(
                command,
                bench,
                workspace=self.workspace,
                requirements=requirements,
                environ=self.environ,
                kind="smoke",
            )

    def _bench(self, url: str) -> AbstractContextManager[Bench]:
        if self.network is None or self.network.place.own_image is None:
            return child_bench(self.workspace, self.temp, url)
        own_image = self.network.place.own_image
        return beside_bench(self.network, own_image, url, self.workspace, self.environ)


@contextmanager
def smoke_ground(
    *, workspace: Path, temp: Path, run_label: str, environ: Mapping[str, str]
) -> Iterator[SmokeGround]:
    """What it makes in the engine is gone afterwards."""
    own = _own_container()
    if own is None:
        yield SmokeGround(
            network=None,
            listen_on="127.0.0.1",
            workspace=workspace,
            temp=temp,
            environ=environ,
        )
        return
    engine, place = own
    with run_network(engine.client, place, run_label) as network:
        yield SmokeGround(
            network=network,
            listen_on=_our_address(network),
            workspace=workspace,
            temp=temp,
            environ=environ,
        )


def _own_container() -> tuple[Engine, Place] | None:
    """The engine that runs us from our own image; None on a host, and where it has no socket."""
    from modelferry import engine as engines

    if not in_a_container():
        return None
    try:
        engine = engines.connect()
    except BuildError as error:
        log.warning("%s: the smoke tests run in a child process", error.what)
        return None
    with asking_docker("say which of its containers we are in"):
        place = find_place(engine)
    return (engine, place) if place.own_image else None


def _our_address(network: RunNetwork) -> str:
    """On the run's network: of the container that we are, or of the host whose network we share."""
    with asking_docker("say our address on the run's network"):
        found = network.client.networks.get(network.name).attrs
    if network.place.attach is None:
        return str(found["IPAM"]["Config"][0]["Gateway"])
    return str(found["Containers"][network.place.attach]["IPv4Address"]).partition("/")[0]
