"""Kinds that have a controller of their own: ready is what that says of this very change."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from modelferry.artifacts import PushedImage, Rollout
from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import Resource
from modelferry.errors import RolloutError

Deploy = Callable[..., Rollout]
Images = tuple[PushedImage, PushedImage]

SPEAKS_AFTER_S = 2.0
MANIFEST = """\
apiVersion: v1
kind: Pod
metadata: {name: lone}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: score, image: $IMAGE, readinessProbe: {tcpSocket: {port: 8000}}}]
---
apiVersion: GROUP/v1
kind: Service
metadata: {name: score}
spec: {model: VERSION}
"""


@dataclass
class Controller:
    """Speaks of each generation of `score`, some time after it came."""

    cluster: Cluster
    resource: Resource
    namespace: str
    counts: Callable[[int], dict[str, object]]  # how it tells which generation it means
    ready: str = "True"
    over: threading.Event = field(default_factory=threading.Event)

    def work(self) -> None:
        told = 0
        while not self.over.wait(0.1):
            live = self.cluster.get(self.resource, "score", self.namespace)
            generation = live["metadata"]["generation"] if live else told
            if generation != told:
                self.over.wait(SPEAKS_AFTER_S)
                self._tell(generation)
                told = generation

    def _tell(self, generation: int) -> None:
        said = {"type": "Ready", "status": self.ready, "message": f"generation {generation}"}
        self.cluster._transport.json(
            "PATCH",
            self.resource.path(self.namespace, "score", "status"),
            body={"status": {"conditions": [said], **self.counts(generation)}},
            content_type="application/merge-patch+json",
        )


@pytest.fixture
def kind(cluster: Cluster, unique: str) -> Iterator[Resource]:
    """Called as one of the core's own, as Knative's is."""
    group = f"{unique}.example.org"
    body = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"services.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "services", "kind": "Service"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "x-kubernetes-preserve-unknown-fields": True,
                        }
                    },
                }
            ],
        },
    }
    definitions = cluster.resource("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    assert definitions
    made = cluster.apply(definitions, body, None)
    until = time.monotonic() + 20
    while not (found := cluster.resource(f"{group}/v1", "Service", fresh=True)):
        assert time.monotonic() < until
        time.sleep(0.2)
    yield found
    cluster.delete(definitions, f"services.{group}", None, uid=made["metadata"]["uid"])


@pytest.fixture
def controller(cluster: Cluster, kind: Resource, namespace: str) -> Iterator[Controller]:
    found = Controller(cluster, kind, namespace, lambda _: {})
    thread = threading.Thread(target=found.work)
    thread.start()
    yield found
    found.over.set()
    thread.join()


@pytest.mark.parametrize(
    "counts",
    [
        lambda _: {},
        lambda generation: {"observedGeneration": generation},
        lambda generation: {"observedGeneration": str(generation)},
    ],
    ids=["uncounted", "counted", "counted in words"],
)
def test_its_controller_is_waited_for(
    deploy: Deploy, images: Images, controller: Controller, counts: Callable
) -> None:
    controller.counts = counts
    for generation in (1, 2):
        manifest = MANIFEST.replace("GROUP/v1", controller.resource.api_version)
        deploy(manifest.replace("VERSION", str(generation)), images[0])
        live = controller.cluster.get(controller.resource, "score", controller.namespace)
        assert live
        assert live["status"]["conditions"][0]["message"] == f"generation {generation}"


def test_what_its_controller_finds_wrong_is_told(
    deploy: Deploy, images: Images, controller: Controller
) -> None:
    controller.ready = "False"
    manifest = MANIFEST.replace("GROUP/v1", controller.resource.api_version)
    with pytest.raises(RolloutError, match="Ready is False: generation 1"):
        deploy(manifest.replace("VERSION", "1"), images[0], timeout_s=12)


def test_one_that_nobody_minds_is_ready_in_the_end(
    deploy: Deploy, images: Images, kind: Resource
) -> None:
    manifest = MANIFEST.replace("GROUP/v1", kind.api_version).replace("VERSION", "1")
    began = time.monotonic()
    deploy(manifest, images[0])
    ended = time.monotonic()
    deploy(manifest, images[0])  # nothing of it changed: nothing is waited for
    assert time.monotonic() - ended < (ended - began) / 2
