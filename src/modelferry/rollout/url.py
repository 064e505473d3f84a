"""Where users reach what was applied: an Ingress host, or a load balancer's address."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from modelferry.cluster.client import Cluster
from modelferry.progress import heartbeat
from modelferry.rollout.board import Applied

Object = Mapping[str, Any]

WAIT_S = 20.0
_POLL_S = 0.5


def find(
    cluster: Cluster,
    applied: Sequence[Applied],
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> str | None:
    """Waits shortly for a load balancer that has no address yet; none is no failure."""
    for target in applied:
        if target.resource.kind == "Ingress" and (url := of_ingress(target.body)):
            return url
    for target in applied:
        if target.resource.kind == "Service" and target.body["spec"].get("type") == "LoadBalancer":
            return _load_balancer(cluster, target, sleep, clock)
    return None


def _load_balancer(
    cluster: Cluster,
    target: Applied,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> str | None:
    until = clock() + WAIT_S
    name = target.body["metadata"]["name"]
    with heartbeat(lambda: f"waiting for the address of {target.label}"):
        while True:
            live = cluster.get(target.resource, name, target.namespace)
            if live is None or of_service(live) or clock() > until:
                return of_service(live) if live else None
            sleep(_POLL_S)


def of_service(service: Object) -> str | None:
    balancer = service.get("status", {}).get("loadBalancer") or {}
    for entry in balancer.get("ingress") or ():
        if address := entry.get("hostname") or entry.get("ip"):
            port = service["spec"]["ports"][0]["port"]
            return _address(address, port)
    return None


def of_ingress(ingress: Object) -> str | None:
    spec = ingress.get("spec", {})
    secured = {host for entry in spec.get("tls") or () for host in entry.get("hosts") or ()}
    for rule in spec.get("rules") or ():
        if host := rule.get("host"):
            scheme = "https" if host in secured else "http"
            paths = (rule.get("http") or {}).get("paths") or ()
            path = paths[0].get("path", "/") if paths else "/"
            return f"{scheme}://{host}{path if path != '/' else ''}"
    return None


def _address(host: str, port: int) -> str:
    shown = f"[{host}]" if ":" in host else host
    if port == 443:
        return f"https://{shown}"
    return f"http://{shown}" + ("" if port == 80 else f":{port}")
