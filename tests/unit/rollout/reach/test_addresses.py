from __future__ import annotations

from typing import Any

import pytest

from modelferry.rollout.reach.addresses import of_gateway, of_ingress, of_route, of_service


def service(address: dict[str, str], *ports: dict[str, Any]) -> dict[str, Any]:
    return {
        "spec": {"ports": list(ports)},
        "status": {"loadBalancer": {"ingress": [address] if address else []}},
    }


@pytest.mark.parametrize(
    ("address", "ports", "expected"),
    [
        ({"ip": "10.0.0.1"}, [{"port": 80}], "http://10.0.0.1"),
        ({"ip": "10.0.0.1"}, [{"port": 8080}], "http://10.0.0.1:8080"),
        ({"hostname": "lb.example.org"}, [{"port": 443}], "https://lb.example.org"),
        ({"ip": "10.0.0.1"}, [{"port": 8443, "name": "https"}], "https://10.0.0.1:8443"),
        ({"ip": "10.0.0.1"}, [{"port": 9090}, {"port": 80}], "http://10.0.0.1"),
        ({"ip": "10.0.0.1"}, [{"port": 53, "protocol": "UDP"}, {"port": 88}], "http://10.0.0.1:88"),
        ({"ip": "fd00::1"}, [{"port": 80}], "http://[fd00::1]"),
        ({}, [{"port": 80}], None),
        ({"ip": "10.0.0.1"}, [{"port": 53, "protocol": "UDP"}], None),
    ],
)
def test_load_balancer(address: dict, ports: list, expected: str | None) -> None:
    found = of_service(service(address, *ports))
    assert found == (expected and (expected, expected))


def test_a_service_without_status() -> None:
    assert of_service({"spec": {"ports": [{"port": 80}]}}) is None


def ingress(*rules: dict, annotations: dict | None = None, **more: Any) -> dict[str, Any]:
    status = more.pop("status", {})
    spec = {"rules": list(rules)} | more
    return {"metadata": {"annotations": annotations}, "spec": spec, "status": status}


def rule(host: str | None, *paths: str) -> dict[str, Any]:
    found: dict[str, Any] = {"http": {"paths": [{"path": path} for path in paths]}}
    return found | ({"host": host} if host else {})


HOST = "score.example.org"
REWRITE = {"nginx.ingress.kubernetes.io/rewrite-target": "/$2"}
ADDRESS = {"loadBalancer": {"ingress": [{"ip": "10.0.0.9"}]}}


@pytest.mark.parametrize(
    ("live", "url", "base"),
    [
        (ingress(rule(HOST, "/")), f"http://{HOST}", f"http://{HOST}"),
        (ingress(rule(HOST, "/score")), f"http://{HOST}/score", f"http://{HOST}"),
        (
            ingress(rule(HOST, "/score(/|$)(.*)"), annotations=REWRITE),
            f"http://{HOST}/score",
            f"http://{HOST}/score",
        ),
        (ingress({"host": HOST}), f"http://{HOST}", f"http://{HOST}"),
        (ingress(rule(None, "/x"), rule(HOST, "/y")), f"http://{HOST}/y", f"http://{HOST}"),
        (ingress(rule("*.example.org", "/"), rule(HOST)), f"http://{HOST}", f"http://{HOST}"),
        (ingress(rule(HOST), tls=[{"hosts": [HOST]}]), f"https://{HOST}", f"https://{HOST}"),
        (
            ingress(rule(HOST), tls=[{"hosts": ["*.example.org"]}]),
            f"https://{HOST}",
            f"https://{HOST}",
        ),
        (ingress(rule(HOST), tls=[{"hosts": ["x.org"]}]), f"http://{HOST}", f"http://{HOST}"),
        (ingress(rule(HOST), tls=[{"secretName": "x"}]), f"https://{HOST}", f"https://{HOST}"),
        (ingress(rule(None, "/x"), status=ADDRESS), "http://10.0.0.9/x", "http://10.0.0.9"),
        (ingress(rule("*.x.org"), status=ADDRESS), "http://10.0.0.9", "http://10.0.0.9"),
        (ingress(defaultBackend={}, status=ADDRESS), "http://10.0.0.9", "http://10.0.0.9"),
    ],
)
def test_ingress(live: dict, url: str, base: str) -> None:
    assert of_ingress(live) == (url, base)


@pytest.mark.parametrize("live", [ingress(), ingress(rule(None, "/")), ingress(rule("*.x.org"))])
def test_an_ingress_without_host_and_address(live: dict) -> None:
    assert of_ingress(live) is None


def gateway(*listeners: dict, addresses: tuple[str, ...] = ()) -> dict[str, Any]:
    status = {"addresses": [{"type": "IPAddress", "value": value} for value in addresses]}
    return {"spec": {"listeners": list(listeners)}, "status": status}


HTTP = {"protocol": "HTTP", "port": 80}
HTTPS = {"protocol": "HTTPS", "port": 443, "hostname": HOST}


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        (gateway(HTTP, addresses=("10.0.0.7",)), "http://10.0.0.7"),
        (gateway(HTTP, HTTPS, addresses=("10.0.0.7",)), f"https://{HOST}"),
        (gateway({**HTTPS, "hostname": "*.x.org"}, addresses=("10.0.0.7",)), "https://10.0.0.7"),
        (gateway({**HTTP, "port": 8080}, addresses=("10.0.0.7",)), "http://10.0.0.7:8080"),
        (gateway(HTTP), None),
        (gateway({"protocol": "TCP", "port": 5432}, addresses=("10.0.0.7",)), None),
    ],
)
def test_gateway(live: dict, expected: str | None) -> None:
    assert of_gateway(live) == (expected and (expected, expected))


def route(*hosts: str, path: str = "/", filters: tuple[str, ...] = ()) -> dict[str, Any]:
    matches = [{"path": {"type": "PathPrefix", "value": path}}]
    found = {"matches": matches, "filters": [{"type": name} for name in filters]}
    return {"spec": {"hostnames": list(hosts), "rules": [found]}}


@pytest.mark.parametrize(
    ("live", "parent", "expected"),
    [
        (route(HOST), gateway(HTTP), (f"http://{HOST}", f"http://{HOST}")),
        (route(HOST), None, (f"https://{HOST}", f"https://{HOST}")),
        (route(), None, None),
        (route(), gateway(HTTP), None),
        (
            route(path="/score"),
            gateway(HTTP, addresses=("10.0.0.7",)),
            ("http://10.0.0.7/score", "http://10.0.0.7"),
        ),
        (
            route(HOST, path="/score", filters=("URLRewrite",)),
            gateway(HTTPS),
            (f"https://{HOST}/score", f"https://{HOST}/score"),
        ),
        (route("*.example.org"), gateway(HTTPS), (f"https://{HOST}", f"https://{HOST}")),
    ],
)
def test_route(live: dict, parent: dict | None, expected: object) -> None:
    assert of_route(live, parent) == expected
