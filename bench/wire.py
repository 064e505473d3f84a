"""Storage and registry behind toxiproxy, which counts what really passes. Figures of time go past
it: it takes more processor time than what is measured.
"""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from bench.cloud import Cloud
from bench.storage import Place
from testbed import web
from testbed.toxiproxy import BadLine, bad_line

_SETTLE_S = 0.5  # a connection's bytes are counted when it has ended
_COUNT = re.compile(r"^toxiproxy_proxy_received_bytes_total\{(.*)\} (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    from_source: int
    to_registry: int


class Wire:
    """Counting lines to both ends."""

    def __init__(self, api: str, source: BadLine, registry: BadLine) -> None:
        self._api, self._source, self._registry = api, source, registry
        self._mark = self._now()

    @property
    def registry(self) -> str:
        """Its address through here."""
        return self._registry.host

    def before(self, place: Place) -> Place:
        return _moved_to(place, self._source)

    def mark(self) -> None:
        self._mark = self._now()

    def since_mark(self) -> Moved:
        now = self._now()
        return Moved(
            from_source=now.from_source - self._mark.from_source,
            to_registry=now.to_registry - self._mark.to_registry,
        )

    def _now(self) -> Moved:
        time.sleep(_SETTLE_S)
        with web.opened(urllib.request.Request(f"{self._api}/metrics")) as answer:
            counts = _COUNT.findall(answer.read().decode())
        return Moved(
            from_source=_sum(counts, self._source, "downstream"),
            to_registry=_sum(counts, self._registry, "upstream"),
        )


@contextmanager
def counted(cloud: Cloud, source: str) -> Iterator[Wire]:
    """`source`: the address of the storage that the model is read from."""
    api = cloud.env["TESTBED_TOXIPROXY"]
    with bad_line(api, urlsplit(source).netloc) as storage, bad_line(api, cloud.registry) as ours:
        yield Wire(api, storage, ours)


def _moved_to(place: Place, line: BadLine) -> Place:
    return place.at(urlsplit(place.endpoint)._replace(netloc=line.host).geturl())


def _sum(counts: list[tuple[str, str]], line: BadLine, direction: str) -> int:
    wanted = (f'proxy="{line.name}"', f'direction="{direction}"')
    return sum(int(float(n)) for labels, n in counts if all(word in labels for word in wanted))
