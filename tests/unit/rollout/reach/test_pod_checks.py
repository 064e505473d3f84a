from __future__ import annotations

from typing import Any

import pytest

from modelferry.errors import InputError
from modelferry.rollout.manifests.load import ManifestObject
from modelferry.rollout.reach.pod_checks import is_refused, ports


def workload(name: str, *, image: str = "built", kind: str = "Deployment", **container: Any):
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": image, **container}]},
    }
    return _object(kind, name, {"template": template}, "batch/v1" if kind == "Job" else "apps/v1")


def service(selector: dict[str, str], **port: Any) -> ManifestObject:
    return _object("Service", "s", {"selector": selector, "ports": [port]}, "v1")


def _object(kind: str, name: str, spec: dict[str, Any], api_version: str) -> ManifestObject:
    body = {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec}
    return ManifestObject(body=body, file="a.yaml", line=1, lines={})


def found(*objects: ManifestObject, port: int | None = None) -> list[tuple[str, int]]:
    return [(chosen.name, number) for chosen, number in ports(objects, "built", port)]


WEB = workload("web", ports=[{"containerPort": 8000}])
WORKER = workload("worker")


def test_the_container_port_is_asked_and_workers_are_not() -> None:
    assert found(WEB, WORKER, workload("other", image="nginx", ports=[{"containerPort": 80}])) == [
        ("web", 8000)
    ]


def test_a_service_may_say_the_port() -> None:
    assert found(WORKER, service({"app": "worker"}, port=80, targetPort=9000)) == [("worker", 9000)]
    assert found(WORKER, service({"app": "worker"}, port=80)) == [("worker", 80)]
    with pytest.raises(InputError):
        found(WORKER, service({"app": "else"}, port=80))


def test_the_input_wins() -> None:
    assert found(WEB, WORKER, port=8000) == [("web", 8000)]
    assert found(WEB, WORKER, port=7000) == [("web", 7000), ("worker", 7000)]


def test_no_port_and_no_pod_are_told_apart() -> None:
    with pytest.raises(InputError, match="names no containerPort"):
        found(WORKER)
    with pytest.raises(InputError, match="no manifest runs built in a workload that stays"):
        found(workload("rescore", kind="Job"))


def test_of_several_ports_the_one_that_a_service_leads_to() -> None:
    metrics, http = {"containerPort": 9090}, {"name": "http", "containerPort": 8000}
    both = workload("web", ports=[metrics, http])
    assert found(both) == [("web", 9090)]
    assert found(both, service({"app": "web"}, port=80, targetPort="http")) == [("web", 8000)]
    assert found(both, service({"app": "web"}, port=80, targetPort=8000)) == [("web", 8000)]
    assert found(both, service({"app": "web"}, port=8000)) == [("web", 8000)]
    assert found(both, service({"app": "web"}, port=80, targetPort=7)) == [("web", 9090)]
    assert found(both, service({}, port=8000)) == [("web", 9090)]


def test_udp_is_no_port_for_checks() -> None:
    with pytest.raises(InputError):
        found(workload("dns", ports=[{"containerPort": 53, "protocol": "UDP"}]))


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        (
            "forwarding 88 -> 88: dial tcp4 127.0.0.1:88: connect: connection refused",
            True,
        ),
        ("E connect(5, AF=2 127.0.0.1:88, 16): Connection refused", True),
        # the node itself is away
        ("error dialing backend: dial tcp 10.0.0.5:10250: connect: connection refused", False),
        ("lost connection to pod", False),
        ("", False),
    ],
)
def test_a_port_that_the_pod_refuses_is_no_fault_of_the_way(said: str, *, refused: bool) -> None:
    assert is_refused(said, 88) is refused
