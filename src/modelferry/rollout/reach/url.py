"""Where users reach what was applied: by an Ingress, a Gateway or a load balancer's address."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelferry.cluster.client import Cluster
from modelferry.cluster.transport import Refused
from modelferry.errors import FerryError
from modelferry.progress import heartbeat
from modelferry.rollout.manifests.load import ManifestObject
from modelferry.rollout.objects.fields import at, mappings
from modelferry.rollout.objects.podspec import containers, pod_labels
from modelferry.rollout.reach import addresses
from modelferry.rollout.watching.findings import Applied

log = logging.getLogger("modelferry.rollout")

Object = Mapping[str, Any]

WAIT_S = 20.0
_POLL_S = 0.5
_GATEWAYS = "gateway.networking.k8s.io"
_KINDS = (("networking.k8s.io", "Ingress"), (_GATEWAYS, "HTTPRoute"), (_GATEWAYS, "Gateway"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    url: str  # what a person opens
    base: str  # what the path of a check is put behind: the prefix only where it is cut off again
    target: Applied


def may_have(objects: Sequence[ManifestObject]) -> bool:
    """Can anything of these give an address? Pure."""
    return any(_gives_address(found.body) for found in objects)


def find(cluster: Cluster, applied: Sequence[Applied], image: str = "") -> str | None:
    """For the output: waits shortly for a load balancer that is new; none is no failure, and one
    that cannot be asked for is none either."""
    waits = any(entry.resource.kind == "Service" for entry in candidates(applied, image))
    try:
        found = find_address(cluster, applied, image, wait_s=WAIT_S if waits else 0.0)
    except FerryError as error:
        log.warning("the output `url` stays empty: %s", error.what)
        return None
    return found.url if found else None


def find_address(
    cluster: Cluster,
    applied: Sequence[Applied],
    image: str,
    *,
    wait_s: float,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Address | None:
    """Of what leads to the workloads that run `image`, where something does."""
    giving = candidates(applied, image)
    until = clock() + wait_s
    told = ", ".join(entry.label for entry in giving)
    with heartbeat(lambda: f"waiting for the address of {told}"):
        while giving:
            for target in giving:
                if found := _address(cluster, target):
                    return found
            if clock() > until:
                break
            sleep(_POLL_S)
    return None


def candidates(applied: Sequence[Applied], image: str = "") -> Sequence[Applied]:
    giving = [entry for entry in applied if _gives_address(entry.body)]
    labels = [
        pod_labels(entry.body)
        for entry in applied
        if any(container.image == image for container in containers(entry.body))
    ]
    services = {
        entry.body["metadata"]["name"]
        for entry in applied
        if entry.resource.kind == "Service"
        and (selector := at(entry.body, ("spec", "selector")))
        and any(selector.items() <= found.items() for found in labels)
    }
    chosen = [entry for entry in giving if services.intersection(_led_to(entry.body))] or giving
    order = [kind for _, kind in _KINDS]
    return sorted(chosen, key=lambda e: order.index(k) if (k := e.resource.kind) in order else 9)


def _gives_address(body: Object) -> bool:
    group = str(body["apiVersion"]).rpartition("/")[0]
    is_service = (group, body["kind"]) == ("", "Service")
    balanced = is_service and at(body, ("spec", "type")) == "LoadBalancer"
    return balanced or (group, body["kind"]) in _KINDS


def _led_to(body: Object) -> Iterator[str]:
    """Names of Services."""
    match body["kind"]:
        case "Service":
            yield body["metadata"]["name"]
        case "Ingress":
            yield str(at(body, ("spec", "defaultBackend", "service", "name")))
            for _, _, path in addresses.ingress_paths(body):
                yield str(at(path, ("backend", "service", "name")))
        case _:
            for _, rule in mappings(at(body, ("spec", "rules"))):
                for _, backend in mappings(rule.get("backendRefs")):
                    yield str(backend.get("name"))


def _address(cluster: Cluster, target: Applied) -> Address | None:
    live = cluster.get(target.resource, target.body["metadata"]["name"], target.namespace)
    match live and live["kind"]:
        case "Ingress":
            pair = addresses.of_ingress(live or {})
        case "HTTPRoute":
            pair = addresses.of_route(live or {}, _gateway(cluster, live or {}))
        case "Gateway":
            pair = addresses.of_gateway(live or {})
        case "Service":
            pair = addresses.of_service(live or {})
        case _:
            return None
    return Address(url=pair[0], base=pair[1], target=target) if pair else None


def _gateway(cluster: Cluster, route: Object) -> Object | None:
    """The first parent; one of another team may be out of sight."""
    resource = cluster.resource(route["apiVersion"], "Gateway")
    for _, parent in mappings(at(route, ("spec", "parentRefs"))):
        if resource and parent.get("kind", "Gateway") == "Gateway":
            namespace = parent.get("namespace", route["metadata"]["namespace"])
            try:
                return cluster.get(resource, parent["name"], namespace)
            except Refused as refused:
                if refused.code != 403:
                    raise
    return None
