"""The app under test: a container of the image, reachable from here, waited for, and asked what it
had to say when it fails."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import urllib3

from modelferry.apptest.containers import asking_docker, lines_of
from modelferry.apptest.network import RunNetwork
from modelferry.errors import TestsFailed
from modelferry.progress import heartbeat
from modelferry.values import format_duration, uncoloured

if TYPE_CHECKING:
    from docker.models.containers import Container

log = logging.getLogger("modelferry.test")

ALIAS = "app"  # the app's host name on the run's network
SHOWN_LINES = 50
SHOWN_WIDTH = 500
POLL_EVERY_S = 0.2
POLL_CONNECT_S = 2.0
POLL_READ_S = 10.0
DEFAULT_HEALTH_PATH = "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningApp:
    container: Container
    port: int
    base_url: str  # from here

    @property
    def url_on_network(self) -> str:
        """For containers on the run's network."""
        return f"http://{ALIAS}:{self.port}"

    def last_words(self) -> str:
        """How it ended, if it has, and the end of its log, bounded. Never raises: it goes with an
        error."""
        try:
            end = self._end()
            with asking_docker("read the app's log"):
                text = self.container.logs(tail=SHOWN_LINES)
        except TestsFailed as error:
            return str(error)
        lines = [uncoloured(line)[:SHOWN_WIDTH] for line in lines_of([text])]
        heading = f"The app's last log lines{f' (it {end})' if end else ''}:"
        return "\n".join((heading, *(lines or ["(it logged nothing)"])))

    def see_it_runs(self) -> None:
        """Raises TestsFailed when the container has ended."""
        if end := self._end():
            raise TestsFailed(
                f"the app {end}", do="What it needs from its environment goes into `test-env`."
            )

    def _end(self) -> str | None:
        with asking_docker("look after the app's container"):
            self.container.reload()
        state = self.container.attrs["State"]
        if state["Status"] in ("running", "created"):
            return None
        memory = ", out of memory" if state["OOMKilled"] else ""
        return f"ended by itself: exit code {state['ExitCode']}{memory}"


def start_app(
    network: RunNetwork, image_id: str, *, port: int, env: tuple[tuple[str, str], ...]
) -> RunningApp:
    place = network.place
    publish = {} if place.attach else {f"{port}/tcp": (place.publish_on, None)}
    with asking_docker("start the app's container"):
        container = network.create(image_id, alias=ALIAS, environment=dict(env), ports=publish)
        network.start(container)
        container.reload()
        base_url = _base_url(container, port, network)
    log.info("the app runs in %s, its port %d is at %s", container.short_id, port, base_url)
    return RunningApp(container=container, port=port, base_url=base_url)


def _base_url(container: Container, port: int, network: RunNetwork) -> str:
    """Addresses, not names: a container that joined a network later may not resolve them. An app
    that ended at once has none; the wait that follows says why it ended."""
    settings = container.attrs["NetworkSettings"]
    if network.place.attach:
        return f"http://{settings['Networks'][network.name]['IPAddress']}:{port}"
    published = (settings["Ports"] or {}).get(f"{port}/tcp") or [{"HostPort": "0"}]
    return f"http://{network.place.reach_at}:{published[0]['HostPort']}"


def wait_until_up(
    app: RunningApp,
    health_path: str,
    timeout_s: float,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Polls `health_path` until it says healthy (`is_up`), the container ends or time is up."""
    started = clock()
    seen = "no answer yet"
    with (
        urllib3.PoolManager(retries=False) as pool,
        heartbeat(lambda: f"waiting for {app.base_url}{health_path}: {seen}"),
    ):
        while (left_s := started + timeout_s - clock()) > 0:
            status, seen = _ask(pool, app.base_url + health_path, min(POLL_READ_S, left_s))
            if status is not None and is_up(health_path, status):
                log.info("the app is up after %s: %s", format_duration(clock() - started), seen)
                return
            app.see_it_runs()
            sleep(POLL_EVERY_S)
    app.see_it_runs()
    raise TestsFailed(
        f"the app never got healthy: GET {health_path} on port {app.port}, last seen in"
        f" {format_duration(timeout_s)}: {seen}",
        do="See that it listens on 0.0.0.0 and on this `port`; set `health-path` to a path that"
        " answers 2xx or 3xx, or raise `start-timeout`.",
    )


def is_up(health_path: str, status: int) -> bool:
    """2xx or 3xx. On `/`, the default that nobody may have asked for, 4xx will do as well: an app
    that serves nothing there is up all the same."""
    return 200 <= status < (500 if health_path == DEFAULT_HEALTH_PATH else 400)


def _ask(pool: urllib3.PoolManager, url: str, read_s: float) -> tuple[int | None, str]:
    try:
        response = pool.request(
            "GET",
            url,
            headers={"User-Agent": "modelferry"},
            timeout=urllib3.Timeout(connect=min(POLL_CONNECT_S, read_s), read=read_s),
            redirect=False,
            preload_content=False,
        )
    except urllib3.exceptions.HTTPError as error:
        return None, f"no answer ({type(error).__name__})"
    response.close()
    return response.status, f"status {response.status}"
