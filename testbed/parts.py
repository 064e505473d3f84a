"""All parts of the local cloud, each after those it needs."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from testbed import registry
from testbed.base_images import BaseImages
from testbed.blob import Blob
from testbed.buildkit import BuildKit
from testbed.buildx import Buildx
from testbed.engine import Engine
from testbed.gotools import Tool
from testbed.kubernetes import Kubernetes
from testbed.mirror import Mirror
from testbed.newer_engines import NewerEngines
from testbed.part import Part, TestbedError
from testbed.registry import Registry
from testbed.s3 import S3
from testbed.toxiproxy import Toxiproxy


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    name: str
    make: Callable[[], Part]
    needs: tuple[str, ...] = ()  # running before this part's `start`; `prepare` never waits
    optional: bool = False  # comes up only when named


PARTS = (
    Entry(name="mirror", make=Mirror),
    Entry(name="registry", make=Registry),
    Entry(name="blob", make=Blob),
    Entry(name="s3", make=S3),
    Entry(name="toxiproxy", make=Toxiproxy),
    Entry(name="engine", make=Engine, needs=("mirror",)),
    Entry(name="buildx", make=Buildx, needs=("engine",)),
    Entry(name="base-images", make=BaseImages, needs=("engine", "mirror")),
    Entry(name="buildkit", make=BuildKit, needs=("mirror", "registry")),
    Entry(name="kubernetes", make=lambda: Kubernetes(registry.access()), needs=("registry",)),
    Entry(name="act", make=lambda: Tool("act"), needs=("engine",)),
    Entry(name="helm", make=lambda: Tool("helm"), optional=True),
    Entry(name="newer-engines", make=NewerEngines, needs=("base-images",), optional=True),
    # Here come: a proxy in a network of its own, Entra, Azure Resource Manager and GitHub's OIDC
    # issuer.
)

EVERY = tuple(entry.name for entry in PARTS)
USUAL = tuple(entry.name for entry in PARTS if not entry.optional)


def chosen(names: Iterable[str]) -> tuple[Entry, ...]:
    """The named parts and what they need, in order."""
    by_name = {entry.name: entry for entry in PARTS}
    wanted: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in by_name:
            raise TestbedError(f"No part is called {name!r}; there are: {', '.join(by_name)}.")
        wanted.add(name)
        waiting += by_name[name].needs
    return tuple(entry for entry in PARTS if entry.name in wanted)
