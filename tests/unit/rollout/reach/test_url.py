from __future__ import annotations

from typing import Any, cast

import pytest

from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import Resource
from modelferry.cluster.transport import Refused
from modelferry.errors import FerryError, RolloutError
from modelferry.rollout.changes.placed import Placed
from modelferry.rollout.manifests.load import ManifestObject
from modelferry.rollout.reach.url import candidates, find, find_address, may_have
from modelferry.rollout.watching.findings import Applied


def applied(kind: str, name: str, spec: dict[str, Any], api_version: str = "v1") -> Applied:
    metadata = {"name": name, "labels": {"app": name}}
    body = {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}
    manifest = ManifestObject(body=body, file="a.yaml", line=1, lines={})
    resource = Resource(api_version=api_version, kind=kind, plural=kind.lower(), namespaced=True)
    placed = Placed(manifest=manifest, resource=resource, namespace="n")
    return Applied(placed=placed, body=body)


def balancer(name: str, app: str | None) -> Applied:
    selector = {"selector": {"app": app}} if app else {}
    return applied("Service", name, {"type": "LoadBalancer", **selector})


def ingress(name: str, service: str) -> Applied:
    paths = [{"path": "/", "backend": {"service": {"name": service}}}]
    spec = {"rules": [{"host": "x.org", "http": {"paths": paths}}]}
    return applied("Ingress", name, spec, "networking.k8s.io/v1")


POD = applied("Pod", "score", {"containers": [{"name": "a", "image": "built"}]})
CACHE = applied("Pod", "cache", {"containers": [{"name": "a", "image": "redis"}]})


def chosen(*objects: Applied) -> list[str]:
    return [entry.label for entry in candidates(objects, "built")]


def test_what_leads_to_our_image_comes_alone() -> None:
    assert chosen(POD, CACHE, balancer("cache", "cache"), balancer("web", "score")) == [
        "service/web"
    ]


def test_an_ingress_that_leads_to_ours_comes_first() -> None:
    inner = applied("Service", "inner", {"selector": {"app": "score"}})
    set_ = (POD, balancer("web", "score"), inner, ingress("x", "inner"), ingress("y", "other"))
    assert chosen(*set_) == ["ingress/x", "service/web"]


def test_where_nothing_leads_to_ours_any_will_do() -> None:
    assert chosen(POD, balancer("cache", "cache"), ingress("y", "other")) == [
        "ingress/y",
        "service/cache",
    ]
    assert chosen(POD, applied("Service", "inner", {})) == []


def test_may_have() -> None:
    objects = [entry.placed.manifest for entry in (POD, balancer("w", None), ingress("x", "w"))]
    assert [may_have([found]) for found in objects] == [False, True, True]
    assert may_have([applied("HTTPRoute", "r", {}, "gateway.networking.k8s.io/v1").placed.manifest])
    assert not may_have([applied("Ingress", "r", {}, "traefik.io/v1").placed.manifest])


class Broken:
    """A cluster that answers every question with this."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def get(self, *_: object) -> None:
        raise self._error


@pytest.mark.parametrize(
    "error",
    [
        Refused("may not get gateways: 403", code=403, status={}),
        RolloutError("the cluster does not answer", temporary=True),
    ],
)
def test_an_address_that_cannot_be_asked_for_is_none_and_a_warning(
    error: FerryError, caplog: pytest.LogCaptureFixture
) -> None:
    """All is rolled out by then."""
    cluster = cast("Cluster", Broken(error))
    assert find(cluster, [POD, ingress("x", "web")], "built") is None
    assert [entry.levelname for entry in caplog.records] == ["WARNING"]
    assert caplog.messages == [f"the output `url` stays empty: {error.what}"]


def test_a_check_of_the_address_says_why_it_cannot_be_asked_for() -> None:
    cluster = cast("Cluster", Broken(RolloutError("the cluster does not answer")))
    with pytest.raises(RolloutError):
        find_address(cluster, [ingress("x", "web")], "", wait_s=0)
