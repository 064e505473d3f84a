from __future__ import annotations

import pytest

from modelferry.rollout.url import of_ingress, of_service


@pytest.mark.parametrize(
    ("address", "port", "expected"),
    [
        ({"ip": "10.0.0.1"}, 80, "http://10.0.0.1"),
        ({"ip": "10.0.0.1"}, 8080, "http://10.0.0.1:8080"),
        ({"hostname": "lb.example.org"}, 443, "https://lb.example.org"),
        ({"ip": "fd00::1"}, 80, "http://[fd00::1]"),
        ({}, 80, None),
    ],
)
def test_load_balancer(address: dict, port: int, expected: str | None) -> None:
    service = {
        "spec": {"ports": [{"port": port}]},
        "status": {"loadBalancer": {"ingress": [address]}},
    }
    assert of_service(service) == expected
    assert of_service({"spec": {"ports": [{"port": port}]}}) is None


def test_ingress() -> None:
    paths = {"paths": [{"path": "/score"}]}
    rules = [{"http": paths}, {"host": "score.example.org", "http": paths}]
    assert of_ingress({"spec": {"rules": rules}}) == "http://score.example.org/score"
    tls = [{"hosts": ["score.example.org"]}]
    assert of_ingress({"spec": {"rules": rules, "tls": tls}}) == "https://score.example.org/score"
    assert of_ingress({"spec": {}}) is None
