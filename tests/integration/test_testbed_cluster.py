"""What the product's users have in a cluster and so the testbed's must have: names, addresses."""

from __future__ import annotations

import base64
import json
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config

from testbed.kubernetes import network, settings

_WAIT_S = 60
_PORT = 8000
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture(scope="module")
def core(testbed: Mapping[str, str]) -> Iterator[client.CoreV1Api]:
    with config.new_client_from_config(testbed["KUBECONFIG"]) as connection:
        yield client.CoreV1Api(connection)


@pytest.fixture
def image(testbed: Mapping[str, str], unique: str, tmp_path: Path) -> Iterator[str]:
    """Python in the private registry; no pull secret exists in the cluster."""
    host = testbed["TESTBED_REGISTRY"]
    login = f"{testbed['TESTBED_REGISTRY_USERNAME']}:{testbed['TESTBED_REGISTRY_PASSWORD']}"
    auths = {host: {"auth": base64.b64encode(login.encode()).decode()}}
    (tmp_path / "config.json").write_text(json.dumps({"auths": auths}))
    docker = ("docker", "--config", tmp_path)
    reference = f"{host}/{unique}:1"
    subprocess.run([*docker, "tag", testbed["TESTBED_BASE_IMAGE"], reference], check=True)
    subprocess.run([*docker, "push", "--quiet", reference], check=True)
    yield reference
    subprocess.run([*docker, "rmi", reference], check=True)


@pytest.fixture
def namespace(core: client.CoreV1Api, unique: str) -> Iterator[str]:
    core.create_namespace({"metadata": {"name": unique}})
    yield unique
    core.delete_namespace(unique)


def test_a_service_answers_by_name_by_address_and_through_the_api_server(
    core: client.CoreV1Api, image: str, namespace: str
) -> None:
    core.create_namespaced_pod(namespace, _pod(image))
    core.create_namespaced_service(namespace, _service())
    _until(lambda: _ready(core, namespace))
    balancer = _until(
        lambda: core.read_namespaced_service("web", namespace).status.load_balancer.ingress
    )
    assert _get(f"http://{balancer[0].ip}/") == "hello"
    address = core.read_namespaced_service("web", namespace).spec.cluster_ip
    assert _get(f"http://{address}/") == "hello"

    assert core.connect_get_namespaced_pod_proxy(f"web:{_PORT}", namespace) == "hello"

    core.create_namespaced_pod(namespace, _caller(image, f"http://web.{namespace}/"))
    _until(lambda: core.read_namespaced_pod("caller", namespace).status.phase == "Succeeded")
    assert core.read_namespaced_pod_log("caller", namespace) == "hello"

    warnings = core.list_namespaced_event(namespace, field_selector="type=Warning").items
    assert [event.reason for event in warnings if event.reason == "MissingClusterDNS"] == []


def _pod(image: str) -> dict[str, Any]:
    serve = f"mkdir /w; printf hello > /w/index.html; exec python3 -m http.server -d /w {_PORT}"
    container = {
        "name": "web",
        "image": image,
        "command": ["sh", "-c", serve],
        "readinessProbe": {"httpGet": {"path": "/", "port": _PORT}, "periodSeconds": 1},
    }
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    return {"metadata": {"name": "web", "labels": {"app": "web"}}, "spec": spec}


def _caller(image: str, url: str) -> dict[str, Any]:
    fetch = f"import urllib.request as r; print(r.urlopen('{url}').read().decode(), end='')"
    container = {"name": "caller", "image": image, "command": ["python3", "-c", fetch]}
    spec = {"containers": [container], "restartPolicy": "Never"}
    return {"metadata": {"name": "caller"}, "spec": spec}


def _service() -> dict[str, Any]:
    ports = [{"port": 80, "targetPort": _PORT}]
    spec = {"type": "LoadBalancer", "selector": {"app": "web"}, "ports": ports}
    return {"metadata": {"name": "web"}, "spec": spec}


def _ready(core: client.CoreV1Api, namespace: str) -> bool:
    conditions = core.read_namespaced_pod("web", namespace).status.conditions or []
    return any(c.type == "Ready" and c.status == "True" for c in conditions)


def _get(url: str) -> str:
    def answer() -> str | None:
        try:
            with _DIRECT.open(url, timeout=5) as response:
                return response.read().decode()
        except OSError:  # kube-proxy's rules are a moment behind the API
            return None

    return _until(answer)


def _until(probe: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline:
        if seen := probe():
            return seen
        time.sleep(0.2)
    pytest.fail(f"not seen within {_WAIT_S} s")


@pytest.fixture
def pod_link(unique: str, tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """This machine's end of a link into a network namespace, and the one process in there. As a
    container runtime does, a mount keeps the namespace alive."""
    space, link = tmp_path / "space", f"t{unique[-12:]}"
    space.touch()
    subprocess.run(["unshare", f"--net={space}", "true"], check=True)
    try:
        with subprocess.Popen(["nsenter", f"--net={space}", "sleep", "60"]) as process:
            _until(lambda: Path(f"/proc/{process.pid}/comm").read_text() == "sleep\n")
            _ip("link", "add", link, "type", "veth", "peer", "eth0", "netns", str(process.pid))
            _ip("link", "set", link, "up")
            yield link, process
            process.kill()
    finally:
        subprocess.run(["umount", space], check=True)


def test_an_abandoned_pod_s_link_goes_with_its_route(
    pod_link: tuple[str, subprocess.Popen[bytes]],
) -> None:
    link, process = pod_link
    address = str(settings.PODS[-2])
    _ip("route", "add", address, "dev", link)
    network.remove_if_abandoned(link)
    assert link in _ip("route", "show", address)
    process.kill()
    process.wait()
    network.remove_if_abandoned(link)
    assert not _ip("route", "show", address)


def test_a_link_that_leads_into_no_namespace_is_left(unique: str) -> None:
    """A bridge of another network, say, in the range of our pods."""
    link = f"t{unique[-12:]}"
    _ip("link", "add", link, "type", "bridge")
    try:
        network.remove_if_abandoned(link)
        assert link in _ip("link", "show", link)
    finally:
        _ip("link", "delete", link)


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
    return done.stdout
