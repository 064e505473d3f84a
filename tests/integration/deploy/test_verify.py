"""After the rollout: checks and smoke tests on the new pods, checks through the url."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

from modelferry.artifacts import PushedImage, Rollout, RolloutState
from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import LEASES, PODS, Resource
from modelferry.errors import InputError, RolloutError
from modelferry.plan.spec import RunContext
from modelferry.rollout.objects.conditions import is_true
from modelferry.rollout.release.claim import BEAT_S
from modelferry.rollout.release.lease import Superseded
from prove.kube_passage import Passage
from tests.service_account import log_in

Deploy = Callable[..., Rollout]
Images = tuple[PushedImage, PushedImage]

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: score}
spec:
  selector: {matchLabels: {app: score}}
  template:
    metadata: {labels: {app: score}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: score
          image: $IMAGE
          env: [{name: MODE, value: MODUS}]
          ports: [{name: http, containerPort: 8000}]
"""
SERVE = DEPLOYMENT.replace("MODUS", "serve")
BALANCER = """\
apiVersion: v1
kind: Service
metadata: {name: score}
spec:
  type: LoadBalancer
  selector: {app: score}
  ports: [{port: 8080, targetPort: http}]
"""
INGRESS = """\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: score}
spec:
  rules:
    - http:
        paths:
          - {path: /, pathType: Prefix, backend: {service: {name: score, port: {number: 8080}}}}
"""
NIGHTLY = """\
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: "0 3 1 1 *"
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{name: score, image: $IMAGE, command: ["true"]}]
"""
CRON_JOBS = Resource(api_version="batch/v1", kind="CronJob", plural="cronjobs", namespaced=True)
SMOKE = """\
import os
import urllib.request

def test_it_asks_the_new_version():
    with urllib.request.urlopen(os.environ["MODEL_API_URL"], timeout=10) as answer:
        assert answer.read() == b"version WANTED"

def test_nothing_of_ours_is_here():
    assert "KUBECONFIG" not in os.environ
    assert not any(name.startswith("INPUT_") for name in os.environ)
"""

EATS = """\
cat > "$HOME/eat.py" <<'END'
import os, time, urllib.request
url = os.environ["MODEL_API_URL"]
try:
    urllib.request.urlopen(url + "/eat", data=b"1", timeout=10)
except OSError:
    time.sleep(5)
END
python3 "$HOME/eat.py"
"""


@pytest.fixture
def suite(context: RunContext, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    monkeypatch.setenv("INPUT_PASSWORD", "hunter2")

    def write(version: str) -> str:
        file = context.workspace / "smoke/test_new.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(SMOKE.replace("WANTED", version))
        return "smoke/test_new.py"

    return write


def test_smoke_tests_ask_the_new_pods(
    deploy: Deploy, images: Images, suite: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for version, image in zip("12", images, strict=True):
        rollout = deploy(SERVE, image, smoke_tests=suite(version))
        assert rollout.state is RolloutState.SUCCEEDED
    assert caplog.text.count("2 smoke tests passed") == 2


def test_smoke_tests_that_fail_end_the_rollout(
    deploy: Deploy, images: Images, suite: Callable[[str], str]
) -> None:
    with pytest.raises(RolloutError) as raised:
        deploy(SERVE, images[0], smoke_tests=suite("7"))
    assert raised.value.status == 8
    assert "1 of 2 smoke tests failed: test_it_asks_the_new_version" in raised.value.what
    assert "log of score-" in raised.value.seen
    first, second = raised.value.annotations
    assert (first.file, first.line) == ("app.yaml", 1)
    assert (second.file, second.line) == ("smoke/test_new.py", 6)


def test_a_pod_that_crashes_under_the_smoke_tests_is_red(deploy: Deploy, images: Images) -> None:
    """Though they do not mind, and it is ready again when they end."""
    manifest = SERVE.replace(
        "ports:", "readinessProbe: {httpGet: {path: /, port: http}}\n          ports:"
    )
    with pytest.raises(RolloutError) as raised:
        deploy(manifest, images[0], smoke_tests=EATS)
    cause = r"container score crashed \(exit 1\) once after it was ready, while it was checked"
    assert re.search(rf"pod score-\S+ \(deployment/score\): {cause}", raised.value.what)
    assert raised.value.what.endswith(": CUDA error: out of memory")
    assert raised.value.annotations[0].line == 12


def test_an_older_run_makes_way_while_it_checks(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str
) -> None:
    ends: list[BaseException] = []

    def older() -> None:
        with pytest.raises(Superseded) as raised:
            deploy(SERVE, images[0], run="100", checks="GET / contains 9", start_timeout_s=60)
        ends.append(raised.value)

    thread = threading.Thread(target=older)
    thread.start()
    _wait_for_pod(cluster, namespace)
    rollout = deploy(SERVE, images[1], run="101", timeout_s=30)
    thread.join()
    assert rollout.state is RolloutState.SUCCEEDED
    assert "run 101 is newer than run 100" in str(ends[0])


def test_a_run_that_lost_its_lease_under_the_smoke_tests_is_not_green(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str
) -> None:
    def take_away() -> None:
        _wait_for_pod(cluster, namespace)
        holder = {"op": "add", "path": "/spec/holderIdentity", "value": "300/1 abcd"}
        cluster.patch(LEASES, "modelferry.app", namespace, [holder])

    thread = threading.Thread(target=take_away)
    thread.start()
    seconds = 2 * BEAT_S + 2
    with pytest.raises(Superseded, match="lost its turn to run 300"):
        deploy(SERVE, images[0], smoke_tests=f"sleep {seconds}")
    thread.join()


def _wait_for_pod(cluster: Cluster, namespace: str) -> None:
    """One that is ready is being asked."""
    until = time.monotonic() + 60
    while not any(is_true(pod, "Ready") for pod in cluster.list(PODS, namespace)[0]):
        assert time.monotonic() < until
        time.sleep(0.2)


def test_a_command_is_a_smoke_test_too(deploy: Deploy, images: Images) -> None:
    deploy(SERVE, images[0], smoke_tests='test -n "$MODEL_API_URL"')
    with pytest.raises(RolloutError, match="ended with exit code 3"):
        deploy(SERVE, images[0], smoke_tests="exit 3")


@pytest.fixture
def limited(
    cluster: Cluster, namespace: str, testbed: Mapping[str, str]
) -> Callable[[tuple[str, ...]], str]:
    """A kubeconfig of somebody who may all but these subresources of pods."""

    def make(without: tuple[str, ...]) -> str:
        parts = {"pods/portforward", "pods/proxy", "pods/log"} - set(without)
        groups = ["", "apps", "batch", "coordination.k8s.io"]
        kinds = ["pods", "services", "configmaps", "secrets", "events", "leases"]
        kinds += ["deployments", "replicasets", *sorted(parts)]
        rules = [{"apiGroups": groups, "resources": kinds, "verbs": ["*"]}]
        return log_in(cluster, namespace, rules, testbed["KUBECONFIG"])

    return make


def test_without_port_forward_the_pod_proxy_is_the_way(
    deploy: Deploy,
    images: Images,
    suite: Callable[[str], str],
    limited: Callable[..., str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    kubeconfig = limited(("pods/portforward",))
    deploy(
        SERVE,
        images[0],
        kubeconfig=kubeconfig,
        checks="GET / contains version",
        smoke_tests=suite("1"),
    )
    assert "asking through the API server's pod proxy" in caplog.text


def test_without_any_way_smoke_tests_are_refused_at_once(
    deploy: Deploy, images: Images, limited: Callable[..., str], cluster: Cluster, namespace: str
) -> None:
    kubeconfig = limited(("pods/portforward", "pods/proxy"))
    with pytest.raises(RolloutError, match="may not get pods/portforward"):
        deploy(SERVE, images[0], kubeconfig=kubeconfig, smoke_tests="true")
    assert cluster.list(PODS, namespace)[0] == ()
    assert deploy(SERVE, images[0], kubeconfig=kubeconfig).state is RolloutState.SUCCEEDED


def test_a_way_that_closes_is_no_failed_check(
    deploy: Deploy, images: Images, limited: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Preflight was told another thing: the right was taken away since."""
    kubeconfig = limited(("pods/portforward", "pods/proxy"))
    monkeypatch.setattr(Cluster, "check_apply", lambda *_, **__: ())
    with pytest.raises(RolloutError) as raised:
        deploy(SERVE, images[0], kubeconfig=kubeconfig, checks="GET /")
    assert "there is no way to the new pods" in raised.value.what
    assert "check failed" not in str(raised.value)


def test_settings_that_nobody_reads_again_are_told(deploy: Deploy, images: Images) -> None:
    settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app}\ndata: {a: '1'}\n---\n"
    manifest = settings + SERVE.replace(
        "ports:", "envFrom: [{configMapRef: {name: app}}]\n          ports:"
    )
    assert deploy(manifest, images[0]).notices == ()
    (notice,) = deploy(manifest.replace("'1'", "'2'"), images[0]).notices
    assert notice.startswith("configmap/app changes, and deployment/score reads it but is not")
    assert deploy(manifest.replace("'1'", "'3'"), images[1]).notices == ()


def test_a_service_that_leads_to_no_pod_is_told(
    deploy: Deploy, images: Images, caplog: pytest.LogCaptureFixture
) -> None:
    inner = BALANCER.replace("  type: LoadBalancer\n", "")
    wrong = inner.replace("app: score", "app: skore").replace("name: score", "name: wrong")
    (notice,) = deploy(f"{SERVE}---\n{inner}---\n{wrong}", images[0]).notices
    line = SERVE.count("\n") + inner.count("\n") + 2 + 5
    assert notice.startswith(f"app.yaml:{line}: service/wrong selects app=skore, which no pod in")
    assert notice in caplog.text


def test_what_the_manifests_no_longer_have_is_told_once(
    deploy: Deploy,
    images: Images,
    cluster: Cluster,
    namespace: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    both = f"{SERVE}---\n{NIGHTLY}---\n{NIGHTLY.replace('nightly', 'gone')}"
    first = deploy(both, images[0])
    found = cluster.get(CRON_JOBS, "gone", namespace)
    assert found
    cluster.delete(CRON_JOBS, "gone", namespace, uid=found["metadata"]["uid"])
    assert first.notices == ()
    caplog.clear()
    caplog.set_level(logging.INFO)
    (notice,) = deploy(SERVE, images[1]).notices
    assert notice == (
        "release 1 had cronjob/nightly, which the manifests no longer have: it stays as it is;"
        f" kubectl --namespace {namespace} delete cronjobs.batch/nightly removes it"
    )
    assert caplog.text.index(notice) < caplog.text.index("applied: update deployment/score")
    assert cluster.get(CRON_JOBS, "nightly", namespace)
    assert deploy(SERVE, images[1]).notices == ()


def test_checks_that_find_no_pod_are_told(
    deploy: Deploy, images: Images, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = SERVE.replace("spec:\n  selector", "spec:\n  replicas: 0\n  selector", 1)
    rollout = deploy(manifest, images[0], checks="GET /", smoke_tests="exit 3")
    told = "on deployment/score: it has no pod of this release"
    assert rollout.notices == (f"no checks {told}", f"no smoke tests {told}")
    assert rollout.notices[0] in caplog.text


def test_a_pod_that_crashes_under_the_checks_ends_them(deploy: Deploy, images: Images) -> None:
    began = time.monotonic()
    manifest = DEPLOYMENT.replace("MODUS", "crash")
    with pytest.raises(RolloutError, match=r"ended with exit code 1|crashed"):
        deploy(manifest, images[0], checks="GET /", start_timeout_s=90)
    assert time.monotonic() - began < 60


def test_a_pod_that_goes_while_it_is_asked_proves_nothing(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str, evictor: threading.Event
) -> None:
    """The first pod is deleted under a check that nobody could answer; the next one answers."""
    rollout = deploy(SERVE, images[0], checks="GET / contains version", start_timeout_s=40)
    assert rollout.state is RolloutState.SUCCEEDED
    assert evictor.is_set()


@pytest.fixture
def evictor(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Deletes the pod to which the first way leads, before anything is asked."""
    done = threading.Event()
    open_tunnel = Cluster.tunnel

    def tunnel(self: Cluster, pod: str, space: str, port: int, **how: str):
        found = open_tunnel(self, pod, space, port, **how)
        if not done.is_set():
            done.set()
            body = cluster.get(PODS, pod, space)
            assert body
            cluster.delete(PODS, pod, space, uid=body["metadata"]["uid"])
            while cluster.get(PODS, pod, space):
                time.sleep(0.1)
        return found

    monkeypatch.setattr(Cluster, "tunnel", tunnel)
    return done


@pytest.mark.parametrize("away", ["restarts", "resets"])
def test_an_api_server_that_is_away_under_the_checks(
    deploy: Deploy,
    images: Images,
    testbed: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
    away: str,
) -> None:
    """That the way is gone for a moment says nothing of the app."""
    kubeconfig = yaml.safe_load(Path(testbed["KUBECONFIG"]).read_text())
    cluster = kubeconfig["clusters"][0]["cluster"]
    with Passage(cluster["server"]) as passage:
        cluster["server"] = passage.url
        open_tunnel = Cluster.tunnel
        done = threading.Event()

        def tunnel(self: Cluster, pod: str, space: str, port: int, **how: str):
            found = open_tunnel(self, pod, space, port, **how)
            if not done.is_set():
                done.set()
                leave = passage.reset if away == "resets" else lambda: passage.close(4)
                threading.Thread(target=leave).start()
                time.sleep(0.2)
            return found

        monkeypatch.setattr(Cluster, "tunnel", tunnel)
        checks = 'GET / contains version\nPOST / {"a": 1} contains 8 bytes'
        rollout = deploy(
            SERVE,
            images[0],
            kubeconfig=yaml.safe_dump(kubeconfig),
            checks=checks,
            start_timeout_s=30,
        )
    assert rollout.state is RolloutState.SUCCEEDED
    assert done.is_set()


def test_checks_through_the_load_balancer(
    deploy: Deploy, images: Images, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    manifest = f"{BALANCER}---\n{SERVE}"
    for version, image in zip("12", images, strict=True):
        checks = f'GET / contains version {version}\nPOST / {{"a": 1}} contains 8 bytes'
        rollout = deploy(manifest, image, checks=checks, check_url=True)
        assert rollout.url
        assert f"checks through {rollout.url} (service/score)" in caplog.text


def test_a_load_balancer_that_leads_nowhere(deploy: Deploy, images: Images) -> None:
    manifest = f"{BALANCER.replace('app: score', 'app: scoer')}---\n{SERVE}"
    with pytest.raises(RolloutError) as raised:
        deploy(manifest, images[0], checks="GET /", check_url=True, start_timeout_s=4)
    assert "a check failed through http://" in raised.value.what
    assert "(service/score)" in raised.value.what
    assert "GET / → no answer" in raised.value.what


def test_an_ingress_that_nobody_serves(deploy: Deploy, images: Images) -> None:
    service = BALANCER.replace("  type: LoadBalancer\n", "")
    manifest = f"{SERVE}---\n{service}---\n{INGRESS}"
    with pytest.raises(RolloutError, match="ingress/score got no address in 2 s") as raised:
        deploy(manifest, images[0], checks="GET /", check_url=True, start_timeout_s=2)
    assert raised.value.annotations[0].line == 23
    assert deploy(manifest, images[0], checks="GET /").url is None


def test_check_url_without_any_address_is_refused_at_once(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str
) -> None:
    with pytest.raises(InputError, match=r"check-url.*nothing that gets an address"):
        deploy(SERVE, images[0], checks="GET /", check_url=True)
    assert cluster.list(PODS, namespace)[0] == ()
