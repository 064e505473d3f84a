"""Deploys that go wrong: never green, the cause in the first line, no waiting for the hopeless."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from modelferry.artifacts import PushedImage, Rollout
from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import NAMESPACES, PODS, Resource
from modelferry.errors import InputError, RolloutError, RolloutFailed
from modelferry.rollout.watching import telling
from modelferry.values import Digest

Deploy = Callable[..., Rollout]
Images = tuple[PushedImage, PushedImage]

_BUSY_S = 15  # what a machine with other work adds; prove/failures.py counts from the failure on
DEAF = "livenessProbe: {httpGet: {path: /, port: 8001}, periodSeconds: 1, failureThreshold: 2}"
PROBE = "readinessProbe: {httpGet: {path: /, port: 8000}, periodSeconds: 1}"


def workload(kind: str, *, mode: str = "serve", more: str = PROBE, spec: str = "") -> str:
    """The container's image stands in line 13."""
    return f"""\
apiVersion: apps/v1
kind: {kind}
metadata:
  name: score
spec:
  selector: {{matchLabels: {{app: score}}}}
  template:
    metadata: {{labels: {{app: score}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: score
          image: $IMAGE
          env: [{{name: MODE, value: "{mode}"}}]
          {more}
{spec}"""


def alone(kind: str, mode: str) -> str:
    head = {"Pod": "v1", "Job": "batch/v1"}[kind]
    pod = f"""\
      terminationGracePeriodSeconds: 0
      restartPolicy: Never
      containers:
        - name: score
          image: $IMAGE
          env: [{{name: MODE, value: {mode}}}]
"""
    spec = f"  backoffLimit: 0\n  template:\n    spec:\n{pod}" if kind == "Job" else pod
    return f"apiVersion: {head}\nkind: {kind}\nmetadata: {{name: score}}\nspec:\n{spec}"


def with_claim(storage_class: str) -> str:
    claim = f"""\
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: data}}
spec:
  storageClassName: {storage_class}
  accessModes: [ReadWriteOnce]
  resources: {{requests: {{storage: 1Mi}}}}
"""
    volume = "      volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]\n"
    return workload("Deployment", spec=volume) + claim


@dataclass(frozen=True)
class Case:
    manifest: str
    first_line: str  # regular expression
    within_s: float
    line: int = 13  # of the annotation: the container's image, or the object
    seen: str = ""


CASES = {
    "crash": Case(
        workload("Deployment", mode="crash"),
        r"pod score-\w+-\w+ \(deployment/score\): container score crashed \(exit 1\) 3 times:"
        r" ImportError: no module named onnxruntime",
        35,
        seen="loading the model",
    ),
    "crash of a StatefulSet": Case(
        workload("StatefulSet", mode="crash"),
        r"pod score-0 \(statefulset/score\): container score crashed \(exit 1\) 3 times: ImportErr",
        40,
    ),
    "crash of a DaemonSet": Case(
        workload("DaemonSet", mode="crash"),
        r"pod score-\w+ \(daemonset/score\): container score crashed \(exit 1\) 3 times: ImportErr",
        40,
    ),
    "crash after it looked healthy": Case(
        workload("Deployment", mode="crash-late", more=""),
        r"container score crashed \(exit 1\) 3 times: CUDA error: out of memory",
        45,
    ),
    "condemned by its liveness probe": Case(
        # that it is killed comes at the end of its grace period; until then it is called ready
        workload("Deployment", more=DEAF).replace("PeriodSeconds: 0", "PeriodSeconds: 15"),
        r"container score failed its liveness probe and is killed for the second time: Liveness"
        r" probe failed: .*connection refused",
        35,
    ),
    "a liveness probe of the wrong port": Case(
        # its program is ready long before
        workload("Deployment", more=f"{PROBE}\n          {DEAF}"),
        r"container score failed its liveness probe and is killed for the second time: ",
        35,
    ),
    "postStart hook": Case(
        workload(
            "Deployment",
            more="lifecycle: {postStart: {exec: {command: [sh, -c, 'echo no luck; exit 4']}}}",
        ),
        r"container score crashed \(exit \d+\) 3 times: its postStart hook failed$",
        40,
        seen="no luck",
    ),
    "ends": Case(
        workload("Deployment", mode="end"),
        r"container score ended \(exit 0\) 3 times, though it should keep running",
        40,
        seen="all rows are scored",
    ),
    "memory": Case(
        workload("Deployment", mode="eat", more="resources: {limits: {memory: 48Mi}}"),
        r"container score was killed for want of memory \(OOMKilled, limit 48Mi\) 3 times",
        50,
    ),
    "no such command": Case(
        workload("Deployment", more="command: [/no/such/program]"),
        r"container score cannot be started: .*no such file",
        20,
    ),
    "no such ConfigMap": Case(
        workload("Deployment", more="envFrom: [{configMapRef: {name: absent}}]"),
        r'container score cannot be created: configmap "absent" not found',
        28,
    ),
    "no such Secret": Case(
        workload("Deployment", more='envFrom: [{secretRef: {name: "absent"}}]'),
        r'container score cannot be created: secret "absent" not found',
        28,
    ),
    "no such volume": Case(
        workload(
            "Deployment",
            more="volumeMounts: [{name: v, mountPath: /v}]",
            spec="      volumes: [{name: v, secret: {secretName: absent}}]\n",
        ),
        r'a volume cannot be mounted: .*secret "absent" not found',
        32,
        line=1,
    ),
    "never ready": Case(
        workload("Deployment", mode="sick"),
        r"deployment/score\): not ready after 12\.0 s: Readiness probe failed: HTTP probe failed"
        r" with statuscode: 500$",
        16,
        line=1,
    ),
    "hanging init container": Case(
        workload(
            "Deployment",
            spec="      initContainers: [{name: wait, image: $IMAGE, command: [sleep, '60']}]\n",
        ),
        r"deployment/score\): not ready after 12\.0 s: init container wait still runs$",
        16,
        line=1,
    ),
    "no node": Case(
        workload("Deployment", spec="      nodeSelector: {kind: of-gold}\n"),
        r"it fits no node: .*didn't match Pod's node affinity/selector",
        45,
        line=1,
    ),
    "no such claim": Case(
        workload(
            "Deployment",
            more="volumeMounts: [{name: v, mountPath: /v}]",
            spec="      volumes: [{name: v, persistentVolumeClaim: {claimName: absent}}]\n",
        ),
        r'persistentvolumeclaim "absent" not found',
        25,
        line=1,
    ),
    "claim of no such StorageClass": Case(
        with_claim("t-absent"),
        r"claim data cannot be bound: storageclass\.storage\.k8s\.io \"t-absent\" not found",
        35,
        line=1,
        seen="claim data, which it waits for:\n  event Warning ProvisioningFailed",
    ),
    "progress deadline": Case(
        workload("Deployment", mode="sick").replace(
            "spec:\n", "spec:\n  progressDeadlineSeconds: 4\n", 1
        ),
        r"deployment/score: no progress within progressDeadlineSeconds",
        12,
        line=1,
    ),
    "failing Job": Case(
        alone("Job", "stop"),
        r"job/score: the job failed: BackoffLimitExceeded.*: the input is empty",
        15,
        line=1,
    ),
    "failing bare Pod": Case(
        alone("Pod", "stop"),
        r"pod/score: it failed: container score ended with exit code 1.*: the input is empty",
        15,
        line=1,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_failure_class(deploy: Deploy, images: Images, name: str) -> None:
    case = CASES[name]
    timeout_s = 12 if name in ("never ready", "hanging init container") else 90
    started = time.monotonic()
    with pytest.raises(RolloutFailed) as raised:
        deploy(case.manifest, images[0], timeout_s=timeout_s)
    took = time.monotonic() - started
    error = raised.value
    assert re.search(case.first_line, error.what.splitlines()[0]), str(error)
    assert re.search(case.seen, error.seen), error.seen
    label = error.what.partition(": ")[0]
    assert not error.seen.startswith(f"{label}: "), "the cause stands once"
    assert "unable to retrieve container logs" not in error.seen
    assert error.status == 8
    first = error.annotations[0]
    assert (first.file, first.line) == ("app.yaml", case.line)
    assert re.search(case.first_line, first.message)
    assert took < case.within_s + _BUSY_S, error.what


def test_image_that_is_not_there(deploy: Deploy, images: Images) -> None:
    digest = Digest("sha256:" + "1" * 64)
    gone = PushedImage(ref=images[0].ref.pinned(digest), digest=digest, tags=("v9",))
    started = time.monotonic()
    with pytest.raises(RolloutFailed, match=r"cannot be pulled: .*not found"):
        deploy(workload("Deployment"), gone)
    assert time.monotonic() - started < 25  # it is asked for twice


def test_a_tag_that_the_node_has_from_before(deploy: Deploy, images: Images) -> None:
    """The false green of deploying by tag: the registry has a new image, the node runs the old."""
    deploy(workload("Deployment"), images[0], deploy_by="tag")
    stale = workload("Deployment", more=PROBE + "\n          imagePullPolicy: IfNotPresent")
    moved = PushedImage(ref=images[1].ref, digest=images[1].digest, tags=images[0].tags)
    with pytest.raises(RolloutFailed, match=r"runs sha256:\w+, not sha256:\w+ which .*:v1 is now"):
        deploy(stale, moved, deploy_by="tag")


def test_quota(deploy: Deploy, images: Images, cluster: Cluster, namespace: str) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none"},
        "spec": {"hard": {"pods": "0"}},
    }
    resource = cluster.resource("v1", "ResourceQuota")
    assert resource
    cluster.apply(resource, quota, namespace)
    for kind in ("Deployment", "StatefulSet"):
        with pytest.raises(RolloutFailed, match=r"its pods are refused: .*exceeded quota: none"):
            deploy(workload(kind), images[0])


def test_a_claim_that_nobody_provisions_is_named(
    deploy: Deploy, images: Images, cluster: Cluster, unique: str
) -> None:
    resource = cluster.resource("storage.k8s.io/v1", "StorageClass")
    assert resource
    body = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": unique},
        "provisioner": "example.org/nobody",
    }
    made = cluster.apply(resource, body, None)
    try:
        with pytest.raises(RolloutFailed) as raised:
            deploy(with_claim(unique), images[0], timeout_s=12)
    finally:
        cluster.delete(resource, unique, None, uid=made["metadata"]["uid"])
    assert "not ready after 12.0 s: claim data is not bound: Waiting for" in raised.value.what
    assert "event Normal ExternalProvisioning" in raised.value.seen
    assert "the provisioner for claim data" in raised.value.do


def test_what_keeps_a_pod_is_told_long_before_the_time_is_up(
    deploy: Deploy,
    images: Images,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(telling, "_SAYINGS_S", 3)
    monkeypatch.setattr(telling, "_LOG_S", 5)
    caplog.set_level(logging.INFO)
    with pytest.raises(RolloutFailed):
        deploy(workload("Deployment", mode="sick"), images[0], timeout_s=20)
    before, _, _ = caplog.text.partition("not ready after")
    assert before.count("Readiness probe failed: HTTP probe failed with statuscode: 500") == 1
    assert before.count("  | the weights are not there yet") == 1
    assert re.search(r"pod score-\S+ \(deployment/score\): container score is not ready", before)


def test_a_namespace_that_is_deleted_meanwhile_is_told_at_once(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str
) -> None:
    """Its pods take 30 s to end, and no controller says a word."""
    deploy(workload("Deployment"), images[0])
    manifest = workload("Deployment", mode="sick").replace("Seconds: 0", "Seconds: 30")
    deleted_at: list[float] = []

    def pods() -> tuple[Mapping[str, Any], ...]:
        return cluster.list(PODS, namespace)[0]

    def delete() -> None:
        while len(pods()) < 2 or not all(pod["status"].get("phase") == "Running" for pod in pods()):
            time.sleep(0.2)
        found = cluster.get(NAMESPACES, namespace, None)
        assert found
        deleted_at.append(time.monotonic())
        cluster.delete(NAMESPACES, namespace, None, uid=found["metadata"]["uid"])

    deleting = threading.Thread(target=delete)
    deleting.start()
    with pytest.raises(RolloutFailed, match=f"namespace {namespace} is being deleted") as raised:
        deploy(manifest, images[1], run="4712")
    took_s = time.monotonic() - deleted_at[0]
    deleting.join()
    assert took_s < 25
    assert "make it anew" in raised.value.do
    assert not raised.value.rolled_back
    assert "all of it goes with the namespace" in raised.value.seen


def test_a_failing_check(deploy: Deploy, images: Images) -> None:
    manifest = workload("Deployment", mode="sick", more="ports: [{containerPort: 8000}]")
    with pytest.raises(RolloutFailed) as raised:
        deploy(manifest, images[0], checks="GET /", start_timeout_s=3)
    assert re.match(
        r"a check failed on pod score-\w+-\w+ \(deployment/score\): GET / → 500", raised.value.what
    )


def test_checks_that_pass_save_no_container_from_its_liveness_probe(
    deploy: Deploy, images: Images
) -> None:
    manifest = workload("Deployment", more=DEAF).replace("PeriodSeconds: 0", "PeriodSeconds: 15")
    late = manifest.replace("  selector", "  minReadySeconds: 5\n  selector")
    with pytest.raises(RolloutFailed, match=r"failed its liveness probe"):
        deploy(late, images[0], checks="GET /", port=8000)


def test_checks_of_a_port_where_nobody_listens(deploy: Deploy, images: Images) -> None:
    started = time.monotonic()
    with pytest.raises(RolloutFailed) as raised:
        deploy(workload("Deployment"), images[0], checks="GET /", port=8001, start_timeout_s=25)
    assert time.monotonic() - started < 25 + 20  # it is not waited for twice
    told = r"nothing in it listens on port 8001: GET / → connection refused"
    assert re.search(told, raised.value.annotations[0].message)
    assert "8001: connect: connection refused" in raised.value.seen


def test_several_workloads_are_told_together(deploy: Deploy, images: Images) -> None:
    good = workload("Deployment").replace("score", "good")
    other = workload("Deployment", more="envFrom: [{configMapRef: {name: absent}}]")
    other = other.replace("score", "other")
    with pytest.raises(RolloutFailed, match=r"deployment/other") as raised:
        deploy(f"{good}---\n{other}", images[0])
    assert "deployment/good" not in raised.value.what
    assert raised.value.annotations[0].line == 13 + 16


# Refused before the first write


@pytest.fixture
def nothing_written(cluster: Cluster, namespace: str) -> Iterator[None]:
    yield
    for kind in ("Deployment", "Pod", "ConfigMap"):
        resource = cluster.resource("apps/v1" if kind == "Deployment" else "v1", kind)
        assert resource
        found, _ = cluster.list(resource, namespace)
        names = [body["metadata"]["name"] for body in found]
        assert [name for name in names if name != "kube-root-ca.crt"] == []


CONFIG = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: b}\n"


PLAIN = workload("Deployment")
REFUSED = {
    "placeholder": (
        PLAIN.replace("$IMAGE", "$ACR_DNS/app:$TAG"),
        InputError,
        r"app\.yaml:13: \$TAG in the image",
    ),
    "nothing replaced": (
        PLAIN.replace("$IMAGE", "nginx:1"),
        InputError,
        r"no manifest runs .*score.*nginx:1",
    ),
    "unknown kind": (
        PLAIN.replace("apps/v1", "apps/v9"),
        RolloutError,
        r"it serves no Deployment of apps/v9",
    ),
    "unknown field": (
        PLAIN.replace("  selector", "  replica: 3\n  selector"),
        RolloutError,
        r"replica",
    ),
    "bad name": (
        PLAIN.replace("name: score\nspec", "name: Score_1\nspec"),
        RolloutError,
        r"deployment/Score_1: .*Invalid value",
    ),
    "bad yaml": (
        PLAIN.replace("  template", "  template:\n    x: [}\n  y"),
        InputError,
        r"app\.yaml:8: ",
    ),
}


@pytest.mark.usefixtures("nothing_written")
@pytest.mark.parametrize("name", REFUSED)
def test_refused_before_the_first_write(deploy: Deploy, images: Images, name: str) -> None:
    manifest, kind, message = REFUSED[name]
    with pytest.raises(kind) as raised:
        deploy(manifest + CONFIG, images[0])
    assert re.search(message, str(raised.value), re.DOTALL), str(raised.value)
    assert raised.value.annotations[0].file == "app.yaml"


def test_namespace_that_does_not_exist(deploy: Deploy, images: Images) -> None:
    with pytest.raises(RolloutError, match=r"has no namespace t-nowhere"):
        deploy(workload("Deployment"), images[0], namespace="t-nowhere")


def test_a_selector_that_cannot_change(deploy: Deploy, images: Images) -> None:
    deploy(workload("Deployment"), images[0])
    changed = workload("Deployment").replace("app: score", "app: other")
    with pytest.raises(RolloutError, match=r"deployment/score: .*field is immutable") as raised:
        deploy(changed, images[0])
    assert not isinstance(raised.value, RolloutFailed)
    assert "give the object another name" in raised.value.do


def test_a_field_of_another_manager(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str
) -> None:
    deployments = Resource(
        api_version="apps/v1", kind="Deployment", plural="deployments", namespaced=True
    )
    manifest = workload("Deployment").replace("  selector", "  minReadySeconds: 1\n  selector")
    deploy(manifest, images[0])
    cluster._transport.json(
        "PATCH",
        deployments.path(namespace, "score"),
        query=[("fieldManager", "argo-cd")],
        body={"spec": {"minReadySeconds": 2}},
        content_type="application/merge-patch+json",
    )
    with pytest.raises(
        RolloutError, match=r"\.spec\.minReadySeconds is owned by argo-cd"
    ) as raised:
        deploy(manifest, images[1])
    assert "force" in raised.value.do
    deploy(manifest, images[1], force=True)
    live = cluster.get(deployments, "score", namespace)
    assert live
    assert live["spec"]["minReadySeconds"] == 1


def test_a_replacement_that_would_be_refused_leaves_the_old_pod(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str
) -> None:
    deploy(alone("Pod", "serve"), images[0])
    before = cluster.get(PODS, "score", namespace)
    broken = alone("Pod", "serve").replace("restartPolicy: Never", "restartPolicy: Sometimes")
    with pytest.raises(RolloutError, match=r"restartPolicy"):
        deploy(broken, images[1])
    after = cluster.get(PODS, "score", namespace)
    assert before
    assert after
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
