"""A live Ingress, Gateway, route or Service → its address, or None while it has none. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from modelferry.rollout.objects.fields import at, mappings

Object = Mapping[str, Any]
Pair = tuple[str, str]  # what a person opens; what the path of a check is put behind

_REWRITES = re.compile(
    r"rewrite-target|rewrite-path|backend-path-prefix|strip-?prefix", re.IGNORECASE
)
_PLAIN_PATH = re.compile(r"(?:/[\w.~%-]*)*")  # an Ingress class may take patterns


def of_service(service: Object) -> Pair | None:
    host = _balancer(service)
    ports = [
        port
        for _, port in mappings(at(service, ("spec", "ports")))
        if port.get("protocol", "TCP") == "TCP"
    ]
    if host is None or not ports:
        return None
    port = next((p for p in ports if p["port"] in (80, 443)), ports[0])
    secured = port["port"] == 443 or "https" in (port.get("name"), port.get("appProtocol"))
    origin = _origin(host, port["port"], secured=secured)
    return origin, origin


def of_ingress(ingress: Object) -> Pair | None:
    """By its first host, else by its controller's address."""
    tls = [entry for _, entry in mappings(at(ingress, ("spec", "tls")))]
    secured = {host for entry in tls for host in entry.get("hosts") or ()}
    paths = list(ingress_paths(ingress))
    named = [entry for entry in paths if entry[0] and not entry[0].startswith("*")]
    host, _, path = (named or paths or [("", "", {})])[0]
    if not host or host.startswith("*"):
        host, is_secured = _balancer(ingress), bool(tls)
    else:
        wildcard = f"*.{host.partition('.')[2]}"
        is_secured = bool({host, wildcard} & secured) or (bool(tls) and not secured)
    if not host:
        return None
    origin = _origin(host, 443 if is_secured else 80, secured=is_secured)
    url = origin + _prefix(path.get("path"))
    rewritten = any(map(_REWRITES.search, ingress["metadata"].get("annotations") or {}))
    return url, url if rewritten else origin


def ingress_paths(ingress: Object) -> Iterator[tuple[str, int, Object]]:
    """Host, number of the rule, path; a rule without paths counts as one for all."""
    for number, rule in mappings(at(ingress, ("spec", "rules"))):
        paths = [path for _, path in mappings(at(rule, ("http", "paths")))]
        for path in paths or [{}]:
            yield str(rule.get("host") or ""), number, path


def of_route(route: Object, gateway: Object | None) -> Pair | None:
    names = [name for name in at(route, ("spec", "hostnames")) or () if not name.startswith("*")]
    host = names[0] if names else None
    pair = of_gateway(gateway, host) if gateway else None
    if pair is None and host:  # the gateway is out of sight: most are secured
        pair = (f"https://{host}", f"https://{host}")
    if pair is None:
        return None
    rule = next((rule for _, rule in mappings(at(route, ("spec", "rules")))), {})
    matches = [at(match, ("path", "value")) for _, match in mappings(rule.get("matches"))]
    url = pair[0] + _prefix(matches[0] if matches else None)
    kinds = [entry.get("type") for _, entry in mappings(rule.get("filters"))]
    return url, url if "URLRewrite" in kinds else pair[0]


def of_gateway(gateway: Object, host: str | None = None) -> Pair | None:
    listeners = [entry for _, entry in mappings(at(gateway, ("spec", "listeners")))]
    fit = [entry for entry in listeners if entry.get("protocol") in ("HTTPS", "HTTP")]
    fit.sort(key=lambda entry: entry["protocol"], reverse=True)  # HTTPS first
    if not fit:
        return None
    named = [n for entry in fit if (n := entry.get("hostname")) and not n.startswith("*")]
    given = [entry.get("value") for _, entry in mappings(at(gateway, ("status", "addresses")))]
    found = host or next(iter([*named, *given]), None)
    if not found:
        return None
    origin = _origin(found, fit[0]["port"], secured=fit[0]["protocol"] == "HTTPS")
    return origin, origin


def _balancer(live: Object) -> str | None:
    for _, entry in mappings(at(live, ("status", "loadBalancer", "ingress"))):
        if address := entry.get("hostname") or entry.get("ip"):
            return str(address)
    return None


def _prefix(path: str | None) -> str:
    """What of it is plain: `/score` of `/score(/|$)(.*)`."""
    plain = _PLAIN_PATH.match(path or "")
    return plain[0].rstrip("/") if plain else ""


def _origin(host: str, port: int, *, secured: bool) -> str:
    shown = f"[{host}]" if ":" in host else host
    scheme, usual = ("https", 443) if secured else ("http", 80)
    return f"{scheme}://{shown}" + ("" if port == usual else f":{port}")
