"""The cluster adapter on real Kubernetes: who we are, what we may, and the ways to a pod."""

from __future__ import annotations

import base64
import json
import math
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

import pytest
import yaml
from kubernetes.client import Configuration

from modelferry.cluster import connect
from modelferry.cluster.access import ClusterAccess
from modelferry.cluster.client import Cluster
from modelferry.cluster.kubeconfig import Credentials
from modelferry.cluster.resources import NAMESPACES, PODS, SERVICES, Resource
from modelferry.cluster.transport import Refused, Transport
from modelferry.cluster.tunnel import TunnelError
from modelferry.errors import FerryError, IdentityError, InputError, RolloutError
from modelferry.plan.cluster import cluster_access
from prove.kube_yard import own_namespace
from tests.service_account import documented_rules, log_in

APP = """
import http.server, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201 if self.path == "/made" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_GET = do_POST
    def log_message(self, *a): pass
one_at_a_time = http.server.HTTPServer(("", 8002), Handler)
threading.Thread(target=one_at_a_time.serve_forever, daemon=True).start()
print("ready", flush=True)
http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""
DEPLOYMENTS = Resource(
    api_version="apps/v1", kind="Deployment", plural="deployments", namespaced=True
)
SECRETS = Resource(api_version="v1", kind="Secret", plural="secrets", namespaced=True)


def access(kubeconfig: str | None, context: str | None = None) -> ClusterAccess:
    return cluster_access(kubeconfig or "", context)


@pytest.fixture(scope="session")
def kubeconfig(testbed: Mapping[str, str]) -> str:
    return testbed["KUBECONFIG"]


@pytest.fixture(scope="session")
def cluster(kubeconfig: str) -> Cluster:
    return connect(access(kubeconfig))


@pytest.fixture
def namespace(cluster: Cluster, unique: str) -> Iterator[str]:
    with own_namespace(cluster, unique) as name:
        yield name


def content(kubeconfig: str, **user: Any) -> dict[str, Any]:
    """The testbed's kubeconfig, as somebody else."""
    document = yaml.safe_load(Path(kubeconfig).read_text())
    if user:
        document["users"][0]["user"] = user
    return document


# Finding the cluster


def test_a_kubeconfig_as_path_content_and_from_the_environment(kubeconfig: str) -> None:
    text = Path(kubeconfig).read_text()
    environ = {"KUBECONFIG": f"/no/such/file:{kubeconfig}"}
    found = [
        connect(access(kubeconfig)),
        connect(access(text)),
        connect(access(json.dumps(yaml.safe_load(text)))),
        connect(access(None), environ),
    ]
    assert len({cluster.server for cluster in found}) == 1
    assert found[0].version().startswith("v1.")


def test_certificates_may_be_files_beside_the_kubeconfig(kubeconfig: str, tmp_path: Path) -> None:
    document = content(kubeconfig)
    for section, inner in (("clusters", "cluster"), ("users", "user")):
        entry = document[section][0][inner]
        for name in [key for key in entry if key.endswith("-data")]:
            (tmp_path / name).write_bytes(base64.b64decode(entry.pop(name)))
            entry[name.removesuffix("-data")] = name
    (tmp_path / "config").write_text(yaml.safe_dump(document))
    assert connect(access(str(tmp_path / "config"))).version()


def test_context_gives_the_namespace(kubeconfig: str) -> None:
    document = content(kubeconfig)
    other = dict(document["contexts"][0]["context"], namespace="team")
    document["contexts"].append({"name": "other", "context": other})
    assert connect(access(json.dumps(document), "other")).namespace == "team"
    assert connect(access(json.dumps(document))).namespace == "default"


@pytest.mark.parametrize(
    ("given", "context", "message"),
    [
        ("/no/such/file", None, "kubeconfig: /no/such/file: there is no such file"),
        ("a: 1\nb: [\n", None, "kubeconfig: the content given as `kubeconfig` is no YAML"),
        ("- 1\n- 2\n", None, "kubeconfig: .* is no kubeconfig"),
        ("{}", None, "has no current-context; set `kube-context` to one of: none"),
        ("contexts: odd\nusers: 7\n", None, "has no current-context"),
        ("current-context: a\ncontexts: [{name: a}]\n", None, "kubeconfig: "),
        (None, None, "kubeconfig: is needed to deploy"),
        ("FILE", "prod", "kube-context is 'prod': .* has: modelferry-testbed"),
    ],
)
def test_kubeconfigs_that_are_no_use(
    kubeconfig: str, given: str | None, context: str | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        connect(access(kubeconfig if given == "FILE" else given, context), {})


def test_what_is_wrong_with_the_content_is_told_without_it() -> None:
    with pytest.raises(InputError) as raised:
        connect(access("users:\n- token: hunter2-very-secret\n  x: [\n"), {})
    assert "hunter2" not in str(raised.value)


def test_a_command_that_gives_no_credential(kubeconfig: str) -> None:
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/false"}
    with pytest.raises(IdentityError, match=r"command '/bin/false', which gave none"):
        connect(access(json.dumps(content(kubeconfig, exec=plugin))))


def test_a_token_that_is_refused(kubeconfig: str) -> None:
    with pytest.raises(IdentityError, match=r"refused the credential \(401\)") as raised:
        connect(access(json.dumps(content(kubeconfig, token="wrong"))))
    assert raised.value.status == 3


def test_a_server_that_is_not_there(kubeconfig: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    document = content(kubeconfig)
    document["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
    with pytest.raises(RolloutError, match=rf"https://127.0.0.1:{port} does not answer") as raised:
        connect(access(json.dumps(document)))
    assert "refused" in raised.value.seen


def test_a_certificate_of_somebody_else(kubeconfig: str) -> None:
    document = content(kubeconfig)
    del document["clusters"][0]["cluster"]["certificate-authority-data"]
    with pytest.raises(RolloutError, match="does not answer") as raised:
        connect(access(json.dumps(document)))
    assert "CERTIFICATE_VERIFY_FAILED" in raised.value.seen


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_a_server_of_another_name_and_one_that_is_not_verified(kubeconfig: str) -> None:
    document = content(kubeconfig)
    place = document["clusters"][0]["cluster"]
    place["tls-server-name"] = "nobody.example.org"
    with pytest.raises(RolloutError, match="does not answer"):
        connect(access(json.dumps(document)))
    place["tls-server-name"] = "kubernetes.default.svc"
    assert connect(access(json.dumps(document))).version()
    del place["certificate-authority-data"], place["tls-server-name"]
    place["insecure-skip-tls-verify"] = True
    assert connect(access(json.dumps(document))).version()


def test_many_threads_may_connect_at_once(kubeconfig: str) -> None:
    for _ in range(20):
        cluster = connect(access(kubeconfig))
        with ThreadPoolExecutor(16) as pool:
            listed = list(pool.map(cluster.list, [NAMESPACES] * 32, [None] * 32))
        assert len(listed) == 32


# What we may


@pytest.fixture
def limited(cluster: Cluster, namespace: str, kubeconfig: str) -> Callable[..., Cluster]:
    """A service account with the documented Role, less the rules that hold a given resource."""

    def who(*without: str) -> Cluster:
        rules = documented_rules(*without)
        return connect(access(log_in(cluster, namespace, rules, kubeconfig)))

    return who


def review(
    cluster: Cluster, namespace: str, *resources: Resource, asked: bool = False
) -> tuple[str, ...]:
    places = [(resource, namespace) for resource in resources]
    return cluster.check_apply(
        places, watched=lambda kind: kind not in (SECRETS, SERVICES), asked=asked
    )


def test_the_documented_role_is_enough(limited: Callable[..., Cluster], namespace: str) -> None:
    assert review(limited(), namespace, DEPLOYMENTS, PODS, SERVICES, asked=True) == ()


def test_checks_need_a_way_to_the_pods(limited: Callable[..., Cluster], namespace: str) -> None:
    walled = limited("pods/portforward", "pods/proxy")
    assert review(walled, namespace, DEPLOYMENTS) == ()
    with pytest.raises(RolloutError) as raised:
        review(walled, namespace, DEPLOYMENTS, asked=True)
    assert f"- missing: get pods/portforward in namespace {namespace}" in raised.value.seen


def test_missing_verbs_are_all_named(limited: Callable[..., Cluster], namespace: str) -> None:
    stranger = limited("replicasets", "secrets")
    with pytest.raises(RolloutError) as raised:
        review(stranger, namespace, DEPLOYMENTS, SECRETS)
    error = raised.value
    user = f"system:serviceaccount:{namespace}:ferry"
    assert error.what.startswith(f"user '{user}' may not get deployments.apps in {namespace}"[:60])
    assert f"- missing: watch replicasets.apps in namespace {namespace}" in error.seen
    assert f"- missing: patch secrets in namespace {namespace}" in error.seen
    assert "watch secrets" not in error.seen


def test_missing_evidence_is_a_warning(limited: Callable[..., Cluster], namespace: str) -> None:
    (warning,) = review(limited("pods/log", "events"), namespace, DEPLOYMENTS)
    assert "get pods/log" in warning
    assert "watch events" in warning


def test_a_forbidden_call_names_verb_resource_and_user(
    limited: Callable[..., Cluster], namespace: str
) -> None:
    with pytest.raises(Refused, match=r'cannot list resource "secrets"') as raised:
        limited().list(SECRETS, namespace)
    assert raised.value.code == 403
    assert "docs/kubernetes-role.md" in raised.value.do


def test_unknown_kinds_are_none(cluster: Cluster) -> None:
    assert cluster.resource("apps/v1", "Deployment") == DEPLOYMENTS
    assert cluster.resource("apps/v1", "Deploiment") is None
    assert cluster.resource("example.org/v1", "Wish") is None


# Watching


def test_a_watch_shows_changes_and_can_be_stopped(cluster: Cluster, namespace: str) -> None:
    _, version = cluster.list(SECRETS, namespace)
    watch = cluster.watch(SECRETS, namespace, version)
    seen: list[tuple[str, str]] = []
    reader = threading.Thread(
        target=lambda: seen.extend((kind, body["metadata"]["name"]) for kind, body in watch)
    )
    reader.start()
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "one"}}
    made = cluster.apply(SECRETS, body, namespace)
    cluster.delete(SECRETS, "one", namespace, uid=made["metadata"]["uid"])
    time.sleep(1)
    watch.stop()
    reader.join(2)
    assert not reader.is_alive()
    assert (seen[0], seen[-1]) == (("ADDED", "one"), ("DELETED", "one"))
    assert {name for _, name in seen} == {"one"}
    assert cluster._transport.away_at == -math.inf  # what it says is not doubted


class Script(BaseHTTPRequestHandler):
    """An API server that answers every request with the lines it was given."""

    lines: tuple[bytes, ...] = ()
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(b"".join(self.lines))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


@pytest.fixture
def scripted() -> Iterator[Callable[..., Cluster]]:
    servers: list[ThreadingHTTPServer] = []

    def serve(*lines: bytes, status: int = 200) -> Cluster:
        handler = type("Handler", (Script,), {"lines": lines, "status": status})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        configuration = Configuration()
        configuration.host = f"http://127.0.0.1:{server.server_address[1]}"
        credentials = Credentials(configuration=configuration, namespace="n", origin="a test")
        return Cluster(Transport(credentials), namespace="n")

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


SECRET = b'{"type": "ADDED", "object": {"metadata": {"name": "a", "resourceVersion": "7"}}}\n'


def test_a_watch_from_too_long_ago_says_so(scripted: Callable[..., Cluster]) -> None:
    gone = b'{"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}\n'
    watch = scripted(SECRET, gone).watch(SECRETS, "n", "1")
    events = iter(watch)
    assert next(events)[0] == "ADDED"
    with pytest.raises(Refused, match="too old") as raised:
        next(events)
    assert raised.value.code == 410


def test_a_watch_cut_off_within_a_line_goes_on_from_the_last_whole_one(
    scripted: Callable[..., Cluster],
) -> None:
    watch = scripted(SECRET, SECRET[:20]).watch(SECRETS, "n", "1")
    assert [kind for kind, _ in watch] == ["ADDED"]
    assert watch.version == "7"


@pytest.mark.parametrize(("status", "temporary"), [(429, True), (503, True), (404, False)])
def test_answers_that_may_change_are_temporary(
    scripted: Callable[..., Cluster], status: int, *, temporary: bool
) -> None:
    cluster = scripted(b"<html>a proxy says no</html>", status=status)
    with pytest.raises(Refused, match="a proxy says no") as raised:
        list(cluster.watch(SECRETS, "n", "1"))
    assert raised.value.temporary is temporary


@pytest.mark.parametrize("field", [{"replica": 2}, {"replicas": "two"}])
def test_what_is_wrong_with_a_manifest_is_not_tried_again(
    cluster: Cluster, namespace: str, field: Mapping[str, object]
) -> None:
    """The API server calls it an internal error."""
    deployments = cluster.resource("apps/v1", "Deployment")
    assert deployments
    identity = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}}
    with pytest.raises(Refused, match="failed to create typed patch object") as raised:
        cluster.apply(deployments, {**identity, "spec": field}, namespace, dry_run=True)
    assert raised.value.code == 500
    assert not raised.value.temporary


def test_only_the_very_object_is_deleted(cluster: Cluster, namespace: str) -> None:
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "one"}}
    cluster.apply(SECRETS, body, namespace)
    with pytest.raises(Refused) as raised:
        cluster.delete(SECRETS, "one", namespace, uid="another")
    assert raised.value.code == 409
    assert cluster.get(SECRETS, "one", namespace)


# The ways to a pod


@pytest.fixture(scope="session")
def base_image(testbed: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The base image where nodes can pull it."""
    registry = testbed["TESTBED_REGISTRY"]
    config = tmp_path_factory.mktemp("docker")
    login = f"{testbed['TESTBED_REGISTRY_USERNAME']}:{testbed['TESTBED_REGISTRY_PASSWORD']}"
    auths = {registry: {"auth": base64.b64encode(login.encode()).decode()}}
    (config / "config.json").write_text(json.dumps({"auths": auths}))
    name = f"{registry}/t-cluster-base:1"
    docker = ["docker", "--config", str(config)]
    for arguments in (("tag", testbed["TESTBED_BASE_IMAGE"], name), ("push", name), ("rmi", name)):
        subprocess.run([*docker, *arguments], check=True, capture_output=True)
    return name


@pytest.fixture
def pod(cluster: Cluster, namespace: str, base_image: str) -> str:
    container = {
        "name": "app",
        "image": base_image,
        "command": ["python3", "-c", APP],
        "readinessProbe": {"tcpSocket": {"port": 8000}, "periodSeconds": 1},
    }
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "app"},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }
    cluster.apply(PODS, body, namespace)
    until = time.monotonic() + 90  # a fresh node has its first image to fetch
    while time.monotonic() < until:
        found = cluster.get(PODS, "app", namespace) or {}
        conditions = found.get("status", {}).get("conditions") or ()
        if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
            return "app"
        time.sleep(0.3)
    pytest.fail(f"the pod did not start: {found.get('status')}")


def post(url: str, body: bytes) -> tuple[int, bytes]:
    with urllib.request.urlopen(urllib.request.Request(url, body), timeout=30) as answer:
        return answer.status, answer.read()


def test_a_tunnel_carries_large_bodies_side_by_side(
    cluster: Cluster, namespace: str, pod: str
) -> None:
    bodies = [bytes([number]) * (3 << 20) for number in range(4)]
    answers: list[tuple[int, bytes]] = []
    with cluster.tunnel(pod, namespace, 8000) as tunnel:
        threads = [
            threading.Thread(target=lambda b=body: answers.append(post(f"{tunnel.url}/made", b)))
            for body in bodies
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(answers) == [(201, body) for body in bodies]


def test_an_app_that_serves_one_at_a_time_answers_at_once(
    cluster: Cluster, namespace: str, pod: str
) -> None:
    """Nothing that we opened only to look holds its one worker: a node would for a second."""
    for _ in range(10):  # what else the machine does may take its time, too
        with cluster.tunnel(pod, namespace, 8002) as tunnel:
            began = time.monotonic()
            assert post(f"{tunnel.url}/made", b"hello") == (201, b"hello")
            if time.monotonic() - began < 0.9:
                return
    pytest.fail("each answer took as long as a node holds a worker")


def test_a_connection_that_proved_the_way_and_was_not_used_is_let_go(
    cluster: Cluster, namespace: str, pod: str
) -> None:
    with cluster.tunnel(pod, namespace, 8002):
        time.sleep(2)  # the tunnel's moment, and the node's second
        with cluster.tunnel(pod, namespace, 8002) as other:
            assert post(f"{other.url}/made", b"hello") == (201, b"hello")


def test_a_port_where_nobody_listens_says_so(cluster: Cluster, namespace: str, pod: str) -> None:
    with cluster.tunnel(pod, namespace, 8001) as tunnel:
        with pytest.raises((URLError, ConnectionError)) as raised:  # as it ends, or is sent
            post(tunnel.url, b"x")
        assert not isinstance(raised.value, HTTPError)
        until = time.monotonic() + 5
        while not tunnel.last_error and time.monotonic() < until:
            time.sleep(0.1)
        assert "connection refused" in tunnel.last_error


def test_without_port_forward_the_pod_proxy_is_the_way(
    cluster: Cluster, limited: Callable[..., Cluster], namespace: str, pod: str
) -> None:
    stranger = limited("pods/portforward")
    with pytest.raises(TunnelError, match="port-forward") as raised:
        stranger.tunnel(pod, namespace, 8000)
    with pytest.raises(TunnelError, match="there is no way to the new pods"):
        stranger.pod_proxy(pod, namespace, 8000, after=raised.value)
    with cluster.pod_proxy(pod, namespace, 8000, after=raised.value) as proxy:
        assert post(f"{proxy.url}/made?x=1", b"hello") == (200, b"hello")
        assert post(f"{proxy.url}/made", b"hello") == (201, b"hello")


def test_logs(cluster: Cluster, namespace: str, pod: str) -> None:
    assert cluster.logs(pod, namespace, "app", previous=False, lines=5) == ("ready",)
    with pytest.raises(FerryError):
        cluster.logs(pod, namespace, "app", previous=True, lines=5)
    assert "cannot be read" in cluster.try_logs(pod, namespace, "none", lines=5)[0]
